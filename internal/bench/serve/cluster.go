package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"

	"onconn/accept"
	"onconn/cluster"
	"onconn/cluster/httpserve"
	"onconn/sock"
)

// clustered runs workers, each of which does work with its listener.
func clustered(mode cluster.Mode, work func(net.Listener) error) server {
	return func(ctx context.Context, addr string, workers int) error {
		if cluster.IsPrimary() {
			p, err := cluster.New(cluster.Config{Workers: workers, Mode: mode})
			if err != nil {
				return err
			}
			return p.Run(ctx)
		}
		ln, err := cluster.Listen("tcp", addr)
		if err != nil {
			return err
		}
		return work(ln)
	}
}

// scripts runs workers in Node: $SCRIPT, testdata/peers/http.js, which takes itself for a
// worker of Node's cluster.
func scripts(ctx context.Context, addr string, workers int) error {
	p, err := cluster.New(cluster.Config{
		Workers: workers, Mode: cluster.RoundRobin, Node: true,
		Exec: "node", Args: []string{os.Getenv("SCRIPT"), addr, strconv.Itoa(workers), "rr"},
	})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

// answering is a worker that answers itself. A connection whose request is there when it
// comes is served at once; a loop waits for the requests of the others.
func answering(ln net.Listener) error {
	loop, err := accept.New(accept.Options{})
	if err != nil {
		return err
	}
	go loop.Run(context.Background()) // as long as the process

	waiting := newWeb(loop)
	var p page
	for {
		conn, peer, err := ln.(interface {
			AcceptFD() (sock.FD, sock.Addr, error)
		}).AcceptFD()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.serve(conn) == over {
			conn.CloseNow()
		} else {
			loop.Post(func() { waiting.onconnection(conn, peer) })
		}
	}
}

// withHTTP is a worker of net/http.
func withHTTP(ln net.Listener) error {
	return httpserve.Serve(&http.Server{Handler: http.HandlerFunc(handle)}, ln)
}
