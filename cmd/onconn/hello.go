package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"onconn/cluster"
	"onconn/cluster/httpserve"
)

// notifyRequest is what a worker of the demo sends to the primary: how many
// requests it has answered since the last one.
type notifyRequest struct {
	Cmd string `json:"cmd"` // "notifyRequest"
	N   int64  `json:"n"`
}

// notifyEvery is how often a busy worker tells its count: a message for each
// request would cost more than the request.
const notifyEvery = 200 * time.Millisecond

// clientTimeout is how long a client may take to send a request or to read the
// answer. A silent one must not hold a drain until it is cut off.
const clientTimeout = cluster.DefaultDrainTimeout / 2

// hello is the built-in worker: it says hello on all addresses until it is
// asked to go.
func hello(addresses []cluster.Address) error {
	var count atomic.Int64
	id := strconv.Itoa(cluster.ID())
	srv := &httpserve.Server{HTTP: &http.Server{
		ReadTimeout: clientTimeout, WriteTimeout: clientTimeout, IdleTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			count.Add(1)
			w.Header().Set("Onconn-Worker", id)
			io.WriteString(w, "hello world\n")
		}),
	}, Grace: time.Second} // Ctrl-C is often waited for
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	served := make(chan error, len(addresses))
	for _, a := range addresses {
		ln, err := cluster.Listen(a.Network, a.Address)
		if err != nil {
			return err
		}
		go func(ln net.Listener) { served <- srv.Serve(ln) }(ln)
	}
	tick := time.NewTicker(notifyEvery)
	defer tick.Stop()
	draining := cluster.Draining()
	var going <-chan time.Time
	for open := len(addresses); open > 0; {
		select {
		case <-tick.C:
			notify(&count)
		case <-draining:
			draining = nil // Serve ends by itself when its connections are over
			going = time.After(sameSignal)
		case <-term:
			// Where all processes are signalled at once, as systemd does, the
			// primary gives the workers what waits before it asks them to go.
			going = time.After(sameSignal)
		case <-going:
			cluster.Disconnect()
			signal.Reset(syscall.SIGTERM) // the next one is the primary's, after the drain timeout
		case err := <-served:
			if err != nil {
				return err
			}
			open--
		}
	}
	notify(&count)
	return nil
}

// notify sends the count. A primary that is gone doesn't want it any more.
func notify(count *atomic.Int64) {
	if n := count.Swap(0); n > 0 {
		cluster.Send(notifyRequest{"notifyRequest", n})
	}
}
