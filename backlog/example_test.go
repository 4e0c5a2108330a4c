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

func ExampleOpenNamespace() {
	n, err := backlog.OpenNamespace("") // or "/run/netns/blue", as root
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	settings, err := n.Sysctls()
	if err != nil {
		log.Fatal(err)
	}
	counters, err := n.Counters()
	if err != nil {
		log.Fatal(err)
	}
	_, counted := counters["TcpExtListenDrops"]
	fmt.Println(settings.Somaxconn > 0, counted)
	// Output: true true
}

func ExampleNamespace_Listeners() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	n, err := backlog.OpenNamespace("")
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	listeners, err := n.Listeners()
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range listeners {
		if l.Addr.String() == server.Addr().String() {
			fmt.Println(l.Type, l.Depth < l.Capacity(), l.Drops)
		}
	}
	// Output: stream true 0
}

func ExampleOwners() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	n, err := backlog.OpenNamespace("")
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	l, err := n.Lookup(server.Addr().(*net.TCPAddr).AddrPort(), 0)
	if err != nil {
		log.Fatal(err)
	}
	var owners backlog.Owners
	for _, o := range owners.Find([]uint32{l.Inode})[l.Inode] {
		fmt.Println(o.PID == os.Getpid())
	}
	// Output: true
}
