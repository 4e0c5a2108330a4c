package backlog_test

import (
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"onconn/backlog"
	"onconn/sock"
)

func ExampleAdvise() {
	a, err := backlog.Advise(backlog.Load{
		Arrivals: 1500,
		Accepts:  4000,
		Stall:    80 * time.Millisecond,
		Promise:  time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.0f + %.0f: listen(fd, %d)\n", a.Mean, a.Margin, a.Backlog)
	fmt.Println("whoever comes last waits", a.Wait.Round(time.Millisecond))
	fmt.Println("at most", a.Most)
	// Output:
	// 120 + 33: listen(fd, 153)
	// whoever comes last waits 38ms
	// at most 4000
}

func ExampleWatch() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	n, err := backlog.OpenNamespace("")
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	addr := sock.FromNetAddr(l.Addr())
	w, err := backlog.Watch(n, backlog.WatchConfig{
		Select: func(l backlog.Listener) bool { return l.Addr == addr },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	for range 3 { // and nobody accepts
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
	}
	o := w.Observations()[0]
	for ; o.Peak < 3; o = w.Observations()[0] {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("peak", o.Peak, "dropped", o.Dropped, "full", o.Full)
	// Output: peak 3 dropped 0 full 0s
}

// The process that holds the listener need not know.
func ExampleSetLimit() {
	fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer fd.Close()
	if err := fd.Listen(5); err != nil { // on a port that the kernel chooses
		log.Fatal(err)
	}
	addr, err := fd.Getsockname()
	if err != nil {
		log.Fatal(err)
	}

	n, err := backlog.OpenNamespace("")
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	l, err := n.Lookup(addr.AddrPort(), 0)
	if err != nil {
		log.Fatal(err)
	}
	owner := backlog.Owner{PID: os.Getpid(), FD: int(fd)} // Owners finds others
	before, after, err := backlog.SetLimit(l, owner, 1024)
	fmt.Println(before.Limit, after.Limit, err)
	// Output: 5 1024 <nil>
}
