package listen_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"onconn/listen"
)

func Example() {
	l, err := listen.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	}))
	resp, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	fmt.Println(string(body), err, l.Close())
	// Output: hello <nil> <nil>
}

// What waits is read, and the limit changed, while the listener runs.
func ExampleListener_Queue() {
	l, err := listen.Config{Backlog: 128}.Listen(context.Background(), "unix", "")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	q, err := l.Queue()
	fmt.Printf("%d of %d wait, %v\n", q.Depth, q.Capacity(), err)
	err = l.SetBacklog(256)
	asked, granted := l.Backlog()
	fmt.Println(asked, granted, err)
	// Output:
	// 1 of 129 wait, <nil>
	// 256 256 <nil>
}

// The error of a taken address says who has it.
func ExampleInUseError() {
	l, err := listen.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	_, err = listen.Listen("tcp", l.Addr().String())
	var inUse *listen.InUseError
	if errors.As(err, &inUse) {
		fmt.Println(inUse.Holders[0].PID == os.Getpid())
	}
	// Output: true
}

// A context ends Accept through the deadline.
func ExampleListener_SetDeadline() {
	l, err := listen.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() { l.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	cancel()
	_, err = l.Accept()
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	// Output: true
}

// A socket moves from one owner to the next with everything that waits in it.
func ExampleListener_Release() {
	l, err := listen.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	fd, err := l.Release()
	if err != nil {
		log.Fatal(err)
	}
	next, err := listen.Config{}.Own(fd)
	if err != nil {
		log.Fatal(err)
	}
	defer next.Close()
	conn, err := next.Accept()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(conn.RemoteAddr().String() == client.LocalAddr().String(), conn.Close())
	// Output: true <nil>
}
