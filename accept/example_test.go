package accept_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"

	"golang.org/x/sys/unix"

	"onconn/accept"
	"onconn/sock"
)

// An HTTP server of one goroutine: the loop accepts connections, watches them
// until their request is there, and has it answered.
func Example() {
	ln, err := sock.Socket(sock.Inet, sock.Stream, sock.TCP)
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	if err := ln.Bind(sock.IPAddr(netip.MustParseAddrPort("127.0.0.1:0"))); err != nil {
		log.Fatal(err)
	}
	if err := ln.Listen(511); err != nil {
		log.Fatal(err)
	}
	loop, err := accept.New(accept.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()

	// One function for all connections: it is told which one is ready.
	answer := func(conn sock.FD, _ uint32) {
		request := make([]byte, 4096)
		if n, err := conn.Read(request); n > 0 && err == nil {
			conn.Write([]byte("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello\n"))
		}
		loop.Unwatch(conn)
		conn.Close()
	}
	_, err = loop.Add(ln, func(conn sock.FD, peer sock.Addr) {
		if err := loop.Watch(conn, unix.EPOLLIN, answer); err != nil {
			conn.Close()
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		addr, _ := ln.Getsockname()
		resp, err := http.Get("http://" + addr.String())
		if err != nil {
			log.Print(err)
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		fmt.Printf("%s: %s", resp.Status, body)
	}()
	if err := loop.Run(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("accepted:", loop.Stats().Accepted)

	// Output:
	// 200 OK: hello
	// accepted: 1
}

// An echo server: each connection's bytes are sent back until it ends.
func ExampleLoop_Watch() {
	client, conn, err := sock.Pair(sock.Stream)
	if err != nil {
		log.Fatal(err)
	}
	loop, err := accept.New(accept.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()

	ctx, stop := context.WithCancel(context.Background())
	buf := make([]byte, 4096) // one for all connections: callbacks don't overlap
	err = loop.Watch(conn, unix.EPOLLIN, func(conn sock.FD, _ uint32) {
		n, err := conn.Read(buf)
		if n > 0 {
			conn.Write(buf[:n]) // a real one would keep what doesn't fit
			return
		}
		if accept.Classify(err) == accept.Again {
			return
		}
		loop.Unwatch(conn)
		conn.Close()
		stop()
	})
	if err != nil {
		log.Fatal(err)
	}

	client.Write([]byte("echo"))
	client.Shutdown(unix.SHUT_WR)
	if err := loop.Run(ctx); err != nil {
		log.Fatal(err)
	}
	n, _ := client.Read(buf)
	fmt.Printf("%s\n", buf[:n])
	client.Close()

	// Output: echo
}

// Back-pressure: while there is no room for another connection the source is
// paused, and the kernel's queue holds who comes.
func ExampleListener_Pause() {
	ln, err := sock.Socket(sock.Unix, sock.Stream, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	if err := ln.Bind(sock.UnixAddr("")); err != nil { // the kernel picks a name
		log.Fatal(err)
	}
	if err := ln.Listen(16); err != nil {
		log.Fatal(err)
	}
	loop, err := accept.New(accept.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()

	const room = 2
	ctx, stop := context.WithCancel(context.Background())
	var listener *accept.Listener
	var held []sock.FD
	leave := func() { // what a connection's end would do, later
		for _, conn := range held {
			conn.Close()
		}
		held = nil
		listener.Resume()
	}
	served := 0
	listener, err = loop.Add(ln, func(conn sock.FD, _ sock.Addr) {
		held = append(held, conn)
		served++
		switch {
		case served == 5:
			stop()
		case len(held) == room:
			fmt.Println("full after", served)
			listener.Pause()
			loop.Post(leave)
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	addr, _ := ln.Getsockname()
	for range 5 {
		client, err := sock.Socket(sock.Unix, sock.Stream, 0)
		if err != nil {
			log.Fatal(err)
		}
		defer client.Close()
		if err := client.Connect(addr); err != nil {
			log.Fatal(err)
		}
	}
	if err := loop.Run(ctx); err != nil {
		log.Fatal(err)
	}
	leave()
	fmt.Println("served", served)

	// Output:
	// full after 2
	// full after 4
	// served 5
}
