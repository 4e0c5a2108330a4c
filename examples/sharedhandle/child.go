package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"onconn/fdpass"
	"onconn/listen"
	"onconn/sock"
)

func child() error {
	channel, err := fdpass.NewConn(3)
	if err != nil {
		return fmt.Errorf("a child is started by its master; run it without arguments (%w)", err)
	}
	defer channel.Close()
	var payload [16]byte
	var fds [1]sock.FD
	_, n, err := channel.ReceiveMsg(payload[:], fds[:])
	if err == io.EOF { // the master could not listen
		return nil
	}
	if err != nil || n != 1 {
		return fmt.Errorf("%d handles came: %w", n, err)
	}
	// The socket is bound and listens already: all that is left is to accept.
	// Shared, or each connection would wake all children, for one to get it.
	ln, err := listen.Config{Shared: true}.Own(fds[0])
	if err != nil {
		return err
	}
	go func() {
		channel.ReceiveMsg(payload[:], nil) // returns at the master's end, even if that was kill -9
		ln.Finish()
	}()
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, os.Getpid())
	})}
	if err := srv.Serve(ln); !errors.Is(err, net.ErrClosed) { // what Finish ends with
		return err
	}
	// This waits for requests that have begun, but closes connections whose first
	// one is still on its way. The listener of package cluster waits for those.
	return srv.Shutdown(context.Background())
}
