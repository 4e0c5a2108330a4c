// Onconnection is what happens below net/http: accept.Loop calls a function for
// each connection, as libuv calls Node's onconnection, and another one when a
// connection can be read. One goroutine serves all clients.
//
//	go run ./examples/onconnection
//
// Things to try while it runs:
//
//	curl -i http://127.0.0.1:8000
//	curl -s telnet://127.0.0.1:8000    says nothing and holds nobody up: curl again beside it
//	strace -f -e trace=network,epoll_ctl,read,write,close -p PID
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"onconn/accept"
	"onconn/listen"
	"onconn/sock"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8000", "where to listen, `host:port`")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "onconnection: unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*address); err != nil {
		fmt.Fprintln(os.Stderr, "onconnection:", err)
		os.Exit(1)
	}
}

func run(address string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := listen.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer ln.Close()
	loop, err := accept.New(accept.Options{})
	if err != nil {
		return err
	}
	defer loop.Close()
	s := &server{loop, map[sock.FD]*client{}}
	if _, err := loop.Add(ln.Descriptor(), s.onconnection); err != nil {
		return err
	}
	fmt.Printf("pid %d is listening on %v; try: curl -i http://%v\n", os.Getpid(), ln.Addr(), ln.Addr())
	err = loop.Run(ctx)
	fmt.Printf("%d connections, %d without a whole request\n", loop.Stats().Accepted, len(s.clients))
	return err
}

// A server has no locks: the loop calls its methods one after the other.
type server struct {
	loop    *accept.Loop
	clients map[sock.FD]*client
}

// A client is a connection whose request isn't complete.
type client struct {
	peer    sock.Addr
	request []byte
}

const maxRequest = 8 << 10

// onconnection owns the descriptor. It must not wait for the request: until it
// returns, nobody else is served.
func (s *server) onconnection(conn sock.FD, peer sock.Addr) {
	if err := s.loop.Watch(conn, unix.EPOLLIN, s.onreadable); err != nil {
		fmt.Fprintln(os.Stderr, "onconnection:", err)
		conn.Close()
		return
	}
	s.clients[conn] = &client{peer: peer}
}

// onreadable reads once and not until EAGAIN: while more waits it is called
// again, and other clients have their turn in between.
func (s *server) onreadable(conn sock.FD, _ uint32) {
	c := s.clients[conn]
	var buf [4096]byte
	n, err := conn.Read(buf[:])
	if err != nil && accept.Classify(err) == accept.Again {
		return
	}
	c.request = append(c.request, buf[:n]...)
	if bytes.Contains(c.request, []byte("\r\n\r\n")) {
		body := fmt.Sprintf("hello %v\n", c.peer)
		// It fits: the connection's send buffer is empty. An error means that
		// the client has gone.
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	} else if err == nil && n > 0 && len(c.request) < maxRequest {
		return // there is more to come
	}
	delete(s.clients, conn)
	s.loop.Unwatch(conn) // before close: the number may be the next client's
	conn.Close()
}
