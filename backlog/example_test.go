package backlog_test

import (
	"fmt"
	"log"
	"net"
	"os"

	"onconn/backlog"
	"onconn/sock"
)

func ExampleOf() {
	fd, err := sock.Socket(sock.Unix, sock.Stream, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer fd.Close()
	if err := fd.Bind(sock.UnixAddr("")); err != nil {
		log.Fatal(err)
	}
	if err := fd.Listen(511); err != nil {
		log.Fatal(err)
	}
	q, err := backlog.Of(fd)
	fmt.Println(q.Depth, q.Limit, q.Capacity(), err)
	// Output: 0 511 512 <nil>
}

func ExampleHolders() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	owners, err := backlog.Holders(sock.FromNetAddr(l.Addr()))
	if err != nil {
		log.Fatal(err)
	}
	for _, o := range owners {
		fmt.Println(o.PID == os.Getpid())
	}
	// Output: true
}
