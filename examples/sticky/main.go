// Sticky shows another scheduler than round robin: with cluster.NewSourceHash
// all connections of one client address go to the same worker, whatever their
// port, so that the worker can keep something about the client in memory.
//
//	go run ./examples/sticky -demo
//
// Things to try while it runs:
//
//	curl --interface 127.0.0.5 http://127.0.0.1:8000    again and again; other addresses
//	kill -9 PID    of a worker: its clients go to others, the rest stays where it is,
//	               and the worker's successor gets them back
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"onconn/cluster"
	"onconn/cluster/httpserve"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8000", "where to listen, `host:port`")
	workers := flag.Int("workers", 4, "how many workers, 1 or more")
	demo := flag.Bool("demo", false, "let clients at 127.0.0.1 to 127.0.0.12 ask three times each")
	flag.Parse()
	if flag.NArg() > 0 || *workers < 1 {
		fmt.Fprintln(os.Stderr, "sticky: can't make sense of", os.Args[1:])
		flag.Usage()
		os.Exit(2)
	}
	var err error
	if cluster.IsPrimary() {
		err = primary(*address, *workers, *demo)
	} else {
		err = worker(*address)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sticky:", err)
		os.Exit(1)
	}
}

func primary(address string, workers int, demo bool) error {
	complete := make(chan struct{})
	listening := 0
	p, err := cluster.New(cluster.Config{
		Workers: workers,
		Policy:  cluster.NewSourceHash,
		Listen:  []cluster.Address{{Network: "tcp", Address: address}},
		OnEvent: func(e cluster.Event) {
			if e.Kind == cluster.Listening {
				if listening++; listening == workers {
					close(complete)
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
	go func() {
		<-complete // before that a client may meet another worker than later
		at := p.Addrs()[0].(*net.TCPAddr)
		fmt.Printf("%d workers listen on %v; try: curl --interface 127.0.0.5 http://127.0.0.1:%d\n", workers, at, at.Port)
		if demo {
			clients(at.Port)
		}
	}()
	select {
	case <-ctx.Done():
	case err = <-p.Failed():
	}
	p.Shutdown(context.Background())
	return err
}

func worker(address string) error {
	ln, err := cluster.Listen("tcp", address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := fmt.Sprintf("worker %d (pid %d) answers %s\n", cluster.ID(), os.Getpid(), r.RemoteAddr)
		fmt.Print(answer)
		fmt.Fprint(w, answer)
	}), ReadHeaderTimeout: 5 * time.Second}
	return httpserve.Serve(srv, ln)
}

// clients asks from several addresses, each time on a new connection, and
// prints which clients each worker has.
func clients(port int) {
	has := map[int][]string{}
	for i := range 12 {
		from := net.IPv4(127, 0, 0, byte(1+i))
		client := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext,
		}}
		met := map[int]bool{}
		for range 3 {
			r, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d", port))
			if err != nil {
				fmt.Fprintln(os.Stderr, "sticky: the demo:", err)
				return
			}
			var id int
			fmt.Fscanf(r.Body, "worker %d", &id)
			r.Body.Close()
			if !met[id] {
				met[id] = true
				has[id] = append(has[id], from.String())
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(has)) {
		fmt.Printf("worker %d has %v\n", id, has[id])
	}
}
