package serve

import (
	"context"

	"golang.org/x/sys/unix"

	"onconn/accept"
	"onconn/listen"
	"onconn/sock"
)

// onLoop runs a loop that gives what onconnection makes of it the connections of addr.
func onLoop(ctx context.Context, addr string, onconnection func(*accept.Loop) func(sock.FD, sock.Addr)) error {
	ln, err := listen.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fd, err := ln.Release()
	if err != nil {
		return err
	}
	defer fd.Close()
	return acceptFrom(ctx, fd, onconnection)
}

// acceptFrom runs a loop of one source.
func acceptFrom(ctx context.Context, src sock.Source, onconnection func(*accept.Loop) func(sock.FD, sock.Addr)) error {
	loop, err := accept.New(accept.Options{})
	if err != nil {
		return err
	}
	defer loop.Close()
	if _, err := loop.Add(src, onconnection(loop)); err != nil {
		return err
	}
	return loop.Run(ctx)
}

func loopClose(ctx context.Context, addr string, _ int) error {
	return onLoop(ctx, addr, func(*accept.Loop) func(sock.FD, sock.Addr) {
		return func(conn sock.FD, _ sock.Addr) { conn.CloseNow() }
	})
}

func loopHTTP(ctx context.Context, addr string, _ int) error {
	return onLoop(ctx, addr, func(loop *accept.Loop) func(sock.FD, sock.Addr) {
		return newWeb(loop).onconnection
	})
}

// loopHold keeps each connection until its client closes it.
func loopHold(ctx context.Context, addr string, _ int) error {
	return onLoop(ctx, addr, func(loop *accept.Loop) func(sock.FD, sock.Addr) {
		buf := make([]byte, 512)
		ready := func(conn sock.FD, _ uint32) {
			if n, err := conn.Read(buf); n == 0 && accept.Classify(err) != accept.Again {
				loop.Unwatch(conn)
				conn.Close()
			}
		}
		return func(conn sock.FD, _ sock.Addr) {
			if loop.Watch(conn, unix.EPOLLIN, ready) != nil {
				conn.Close()
			}
		}
	})
}
