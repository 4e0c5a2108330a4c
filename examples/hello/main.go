// Hello is the cluster article's first program: one process for each CPU
// answers HTTP on port 8000, tells the primary of each request, and the primary
// prints each second how many there were.
//
//	go run ./examples/hello
//
// Things to try while it runs:
//
//	curl -i http://localhost:8000            its Worker header changes each time
//	ab -n 10000 -c 50 http://localhost:8000/ numReqs counts up
//	kill -9 PID                              of a worker: another takes its place
//
// Ctrl-C drains: no new connections, and requests that have begun are answered.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"onconn/cluster"
	"onconn/cluster/httpserve"
)

// message is what a worker sends to the primary for each request.
type message struct {
	Cmd string `json:"cmd"`
}

// One program, run many times: every process starts here, with the same flags.
func main() {
	address := flag.String("listen", ":8000", "where to listen, `host:port`")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "hello: unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	run := worker
	if cluster.IsPrimary() {
		run = primary
	}
	if err := run(*address); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func primary(address string) error {
	var numReqs atomic.Int64
	p, err := cluster.New(cluster.Config{ // by default a worker for each CPU
		// Opened before there are workers, so that a port which is taken is one
		// error here. Without it the first worker that listens has it opened.
		Listen: []cluster.Address{{Network: "tcp", Address: address}},
		OnEvent: func(e cluster.Event) {
			switch e.Kind {
			case cluster.Listening:
				fmt.Printf("worker %d (pid %d) is listening\n", e.Worker.ID, e.Worker.PID)
			case cluster.Messaged:
				var m message
				if json.Unmarshal(e.Data, &m) == nil && m.Cmd == "notifyRequest" {
					numReqs.Add(1)
				}
			}
		},
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second Ctrl-C kills
	if err := p.Start(ctx); err != nil {
		return err
	}
	at := p.Addrs()[0].String()
	fmt.Printf("listening on %s; try: curl -i http://%s\n", at, strings.Replace(at, "[::]", "localhost", 1))

	second := time.NewTicker(time.Second)
	for err == nil && ctx.Err() == nil {
		select {
		case <-second.C:
			fmt.Println("numReqs =", numReqs.Load())
		case err = <-p.Failed():
		case <-ctx.Done():
		}
	}
	fmt.Println("draining; Ctrl-C again to stop at once")
	p.Shutdown(context.Background())
	fmt.Println("numReqs =", numReqs.Load()) // with those of the drain
	return err
}

func worker(address string) error {
	// No socket is opened here: the primary accepts, and this listener takes
	// what it hands over.
	ln, err := cluster.Listen("tcp", address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Worker", strconv.Itoa(cluster.ID()))
		io.WriteString(w, "hello world\n")
		cluster.Send(message{"notifyRequest"}) // fails when nobody is left to count
	}), ReadHeaderTimeout: 5 * time.Second}
	// It returns when the worker was asked to go and its connections are over.
	return httpserve.Serve(srv, ln)
}
