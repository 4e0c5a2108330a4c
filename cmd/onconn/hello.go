package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"onconn/cluster"
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

// hello is the built-in worker: it says hello on all addresses until it is
// asked to go.
func hello(addresses []cluster.Address) error {
	var count atomic.Int64
	id := strconv.Itoa(cluster.ID())
	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			count.Add(1)
			w.Header().Set("Onconn-Worker", id)
			io.WriteString(w, "hello world\n")
		}),
	}
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
	for open := len(addresses); open > 0; {
		select {
		case <-tick.C:
			notify(&count)
		case <-draining:
			// Not Shutdown, which closes connections whose first request is
			// still on its way. Serve ends by itself when all are over.
			srv.SetKeepAlivesEnabled(false)
			draining = nil
		case err := <-served:
			if !errors.Is(err, net.ErrClosed) {
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
