package serve

import (
	"context"
	"errors"
	"net"

	"onconn/listen"
)

// A listenFunc is net.Listen or listen.Listen.
type listenFunc func(network, address string) (net.Listener, error)

func ours(network, address string) (net.Listener, error) { return listen.Listen(network, address) }

// closing accepts and closes, on one goroutine.
func closing(open listenFunc) server {
	return accepting(open, func(conn net.Conn) { conn.Close() })
}

// holding keeps each connection until its client closes it, on a goroutine in Read.
func holding(open listenFunc) server {
	return accepting(open, func(conn net.Conn) {
		go func() {
			defer conn.Close()
			var b [1]byte
			for {
				if _, err := conn.Read(b[:]); err != nil {
					return
				}
			}
		}()
	})
}

func accepting(open listenFunc, serve func(net.Conn)) server {
	return func(ctx context.Context, addr string, _ int) error {
		ln, err := open("tcp", addr)
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { ln.Close() })()
		for {
			conn, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
			serve(conn)
		}
	}
}
