package connwrap_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/sock"
)

// A connection that accept4 returned becomes a net.Conn.
func ExampleNew() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go func() {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Fprint(client, "hello")
		client.Close()
	}()

	raw, _ := l.(*net.TCPListener).SyscallConn()
	raw.Control(func(s uintptr) {
		fd, peer, err := sock.FD(s).Accept()
		for errors.Is(err, unix.EAGAIN) {
			unix.Poll([]unix.PollFd{{Fd: int32(s), Events: unix.POLLIN}}, -1)
			fd, peer, err = sock.FD(s).Accept()
		}
		conn, err := connwrap.New(fd, connwrap.Config{Network: "tcp", Remote: peer})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer conn.Close()
		p, err := io.ReadAll(conn)
		fmt.Printf("%s from %s, %v\n", p, conn.RemoteAddr().(*net.TCPAddr).IP, err)
	})
	// Output: hello from 127.0.0.1, <nil>
}

// A connection that stays paused is handed on with everything its client sent.
func ExampleConn_Detach() {
	server, client, _ := sock.Pair(sock.Stream)
	defer client.Close()
	client.Write([]byte("not read yet"))

	conn, err := connwrap.New(server, connwrap.Config{
		Network:        "unix",
		PauseOnConnect: true,
		OnClose:        func() { fmt.Println("given up") },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fd, err := conn.Detach()
	fmt.Println(fd == server, err)

	p := make([]byte, 32)
	n, _ := fd.Read(p)
	fmt.Printf("%s\n", p[:n])
	fd.Close()
	// Output:
	// given up
	// true <nil>
	// not read yet
}

// A client that ends its side gets the end of the other one too.
func ExampleConfig_noHalfOpen() {
	s, c, _ := sock.Pair(sock.Stream)
	server, _ := connwrap.New(s, connwrap.Config{Network: "unix", NoHalfOpen: true})
	client, _ := connwrap.New(c, connwrap.Config{Network: "unix"})
	defer server.Close()
	defer client.Close()

	client.CloseWrite()
	_, err := server.Read(make([]byte, 1))
	fmt.Println(err)
	_, err = client.Read(make([]byte, 1))
	fmt.Println(err)
	_, err = server.Write([]byte("too late"))
	fmt.Println(errors.Is(err, unix.EPIPE))
	// Output:
	// EOF
	// EOF
	// true
}

func ExampleConn_WriteBuffers() {
	s, c, _ := sock.Pair(sock.Stream)
	conn, _ := connwrap.New(s, connwrap.Config{Network: "unix"})
	defer c.Close()
	defer conn.Close()

	v := net.Buffers{[]byte("head, "), []byte("body, "), []byte("tail")}
	n, err := conn.WriteBuffers(&v)
	fmt.Println(n, err, len(v))
	p := make([]byte, 32)
	m, _ := c.Read(p)
	fmt.Printf("%s\n", p[:m])
	// Output:
	// 16 <nil> 0
	// head, body, tail
}

// io.Copy sends a file with sendfile(2).
func ExampleConn_ReadFrom() {
	name := filepath.Join(os.TempDir(), fmt.Sprintf("connwrap-example-%d", os.Getpid()))
	os.WriteFile(name, []byte("the file"), 0o600)
	defer os.Remove(name)
	f, _ := os.Open(name)
	defer f.Close()

	s, c, _ := sock.Pair(sock.Stream)
	conn, _ := connwrap.New(s, connwrap.Config{Network: "unix"})
	defer c.Close()
	defer conn.Close()
	fmt.Println(io.Copy(conn, f))
	p := make([]byte, 32)
	n, _ := c.Read(p)
	fmt.Printf("%s\n", p[:n])
	// Output:
	// 8 <nil>
	// the file
}
