// Package listentest tests that a net.Listener behaves as those of package net
// do. It is for listeners what golang.org/x/net/nettest is for connections.
package listentest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Make makes a listener, and a function that connects to it. The listener's
// queue must hold 64 connections. The test closes both the listener and the
// connections; what else Make needs it ends with t.Cleanup.
type Make func(t *testing.T) (l net.Listener, dial func() (net.Conn, error))

// TestListener runs the suite, one subtest for each property.
func TestListener(t *testing.T, mk Make) {
	for _, tt := range []struct {
		name string
		test func(*fixture)
	}{
		{"Data", testData},
		{"Addresses", testAddresses},
		{"QueueOrder", testQueueOrder},
		{"ConcurrentAccept", testConcurrentAccept},
		{"DialStorm", testDialStorm},
		{"CloseUnblocksAccept", testCloseUnblocksAccept},
		{"AcceptAfterClose", testAcceptAfterClose},
		{"CloseTwice", testCloseTwice},
		{"ConcurrentClose", testConcurrentClose},
		{"ConnOutlivesListener", testConnOutlivesListener},
		{"PastDeadline", testPastDeadline},
		{"DeadlineUnblocksAccept", testDeadlineUnblocksAccept},
		{"DeadlineMoves", testDeadlineMoves},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, dial := mk(t)
			t.Cleanup(func() { l.Close() })
			tt.test(&fixture{t, l, dial})
		})
	}
}

// limit is how long something may take that should happen at once.
const limit = 10 * time.Second

type fixture struct {
	*testing.T
	l    net.Listener
	dial func() (net.Conn, error)
}

// connect dials, and closes the connection at the test's end.
func (f *fixture) connect() net.Conn {
	f.Helper()
	c, err := f.dial()
	if err != nil {
		f.Fatalf("dial: %v", err)
	}
	f.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	return c
}

// accept accepts, and closes the connection at the test's end.
func (f *fixture) accept() net.Conn {
	f.Helper()
	c, err := f.l.Accept()
	if err != nil {
		f.Fatalf("Accept: %v", err)
	}
	f.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	return c
}

// soon fails the test if f takes too long.
func (f *fixture) soon(what string, do func()) {
	f.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		f.Fatalf("%s takes more than %v", what, limit)
	}
}

// wantError checks the shape that net's errors have.
func (f *fixture) wantError(op string, err, target error) {
	f.Helper()
	var opErr *net.OpError
	switch {
	case !errors.As(err, &opErr):
		f.Errorf("%s: %v (%T), not a *net.OpError", op, err, err)
	case opErr.Op != op || !strings.HasPrefix(opErr.Net, f.l.Addr().Network()) || opErr.Addr == nil:
		f.Errorf("%s: Op %q, Net %q, Addr %v", op, opErr.Op, opErr.Net, opErr.Addr)
	case !errors.Is(err, target):
		f.Errorf("%s: %v, not %v", op, err, target)
	case opErr.Timeout() != (target == os.ErrDeadlineExceeded):
		f.Errorf("%s: %v: Timeout is %v", op, err, opErr.Timeout())
	}
}

func testData(f *fixture) {
	client, server := f.connect(), f.accept()
	for _, dir := range []struct{ from, to net.Conn }{{client, server}, {server, client}} {
		if _, err := dir.from.Write([]byte("hello")); err != nil {
			f.Fatal(err)
		}
		buf := make([]byte, 5)
		if _, err := io.ReadFull(dir.to, buf); err != nil || string(buf) != "hello" {
			f.Fatalf("read %q, %v", buf, err)
		}
	}
	client.Close()
	if n, err := server.Read(make([]byte, 1)); err != io.EOF {
		f.Errorf("after the client closed: %d bytes, %v", n, err)
	}
}

func testAddresses(f *fixture) {
	addr := f.l.Addr()
	if addr.Network() == "" || f.l.Addr().String() != addr.String() {
		f.Errorf("address %q %q, then %q", addr.Network(), addr, f.l.Addr())
	}
	client, server := f.connect(), f.accept()
	if got := server.LocalAddr(); got.Network() != addr.Network() || got.String() != client.RemoteAddr().String() {
		f.Errorf("server's local address %v, client's remote %v", got, client.RemoteAddr())
	}
	if got := server.RemoteAddr(); got.Network() != addr.Network() || got.String() != client.LocalAddr().String() {
		f.Errorf("server's remote address %v, client's local %v", got, client.LocalAddr())
	}
}

// testQueueOrder connects before anyone accepts, and accepts in that order.
func testQueueOrder(f *fixture) {
	const conns = 32
	for i := range conns {
		if _, err := f.connect().Write([]byte{byte(i)}); err != nil {
			f.Fatal(err)
		}
	}
	for i := range conns {
		var b [1]byte
		if _, err := io.ReadFull(f.accept(), b[:]); err != nil || b[0] != byte(i) {
			f.Fatalf("accepted connection %d as number %d, %v", b[0], i, err)
		}
	}
}

// numbered dials n connections at once, each of which sends its number and
// reads it back.
func (f *fixture) numbered(n int) *sync.WaitGroup {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := f.echo(uint32(i)); err != nil {
				f.Errorf("connection %d: %v", i, err)
			}
		})
	}
	return &all
}

func (f *fixture) echo(number uint32) error {
	c, err := f.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	b := binary.BigEndian.AppendUint32(nil, number)
	if _, err := c.Write(b); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if got := binary.BigEndian.Uint32(b); got != number {
		return fmt.Errorf("got the answer to %d", got)
	}
	return nil
}

// serve answers one connection of numbered.
func serve(c net.Conn) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	var b [4]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	_, err := c.Write(b[:])
	return err
}

// acceptors runs n goroutines that accept and serve until the listener closes.
func (f *fixture) acceptors(n int) *sync.WaitGroup {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for {
				c, err := f.l.Accept()
				if err != nil {
					f.wantError("accept", err, net.ErrClosed)
					return
				}
				if err := serve(c); err != nil {
					f.Errorf("serve: %v", err)
				}
			}
		})
	}
	return &all
}

func testConcurrentAccept(f *fixture) {
	acceptors := f.acceptors(8)
	f.soon("serving 60 connections", f.numbered(60).Wait)
	f.l.Close()
	f.soon("ending 8 Accepts", acceptors.Wait)
}

func testDialStorm(f *fixture) {
	acceptor := f.acceptors(1)
	for range 5 {
		f.soon("serving 60 connections", f.numbered(60).Wait)
	}
	f.l.Close()
	f.soon("ending Accept", acceptor.Wait)
}

// testCloseUnblocksAccept has each goroutine accept something first, so that
// most of them wait when the listener is closed.
func testCloseUnblocksAccept(f *fixture) {
	acceptors := f.acceptors(4)
	f.soon("serving 16 connections", f.numbered(16).Wait)
	if err := f.l.Close(); err != nil {
		f.Error(err)
	}
	f.soon("ending 4 Accepts", acceptors.Wait)
}

func testAcceptAfterClose(f *fixture) {
	f.l.Close()
	for range 2 {
		c, err := f.l.Accept()
		if c != nil {
			f.Errorf("a closed listener accepted %v", c)
		}
		f.wantError("accept", err, net.ErrClosed)
	}
}

func testCloseTwice(f *fixture) {
	if err := f.l.Close(); err != nil {
		f.Error(err)
	}
	f.wantError("close", f.l.Close(), net.ErrClosed)
}

func testConcurrentClose(f *fixture) {
	const closers = 8
	acceptors := f.acceptors(4)
	errs := make(chan error, closers)
	for range closers {
		go func() { errs <- f.l.Close() }()
	}
	ok := 0
	for range closers {
		if err := <-errs; err == nil {
			ok++
		} else {
			f.wantError("close", err, net.ErrClosed)
		}
	}
	if ok != 1 {
		f.Errorf("Close succeeded %d times", ok)
	}
	f.soon("ending 4 Accepts", acceptors.Wait)
}

func testConnOutlivesListener(f *fixture) {
	client, server := f.connect(), f.accept()
	if err := f.l.Close(); err != nil {
		f.Error(err)
	}
	if _, err := client.Write([]byte("x")); err != nil {
		f.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
		f.Error(err)
	}
}

// setDeadline skips the test if the listener has no deadline.
func (f *fixture) setDeadline(t time.Time) {
	f.Helper()
	l, ok := f.l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		f.Skipf("%T has no SetDeadline", f.l)
	}
	if err := l.SetDeadline(t); err != nil {
		f.Fatal(err)
	}
}

func testPastDeadline(f *fixture) {
	f.setDeadline(time.Now().Add(-time.Second))
	for range 2 {
		_, err := f.l.Accept()
		f.wantError("accept", err, os.ErrDeadlineExceeded)
	}
	f.setDeadline(time.Time{})
	f.connect()
	f.accept()
}

func testDeadlineUnblocksAccept(f *fixture) {
	const wait = 30 * time.Millisecond
	begin := time.Now()
	f.setDeadline(begin.Add(wait))
	f.soon("a deadline", func() {
		_, err := f.l.Accept()
		f.wantError("accept", err, os.ErrDeadlineExceeded)
	})
	if took := time.Since(begin); took < wait {
		f.Errorf("Accept gave up after %v of %v", took, wait)
	}
}

// testDeadlineMoves moves the deadline of Accepts that wait.
func testDeadlineMoves(f *fixture) {
	f.setDeadline(time.Now().Add(time.Hour))
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			_, err := f.l.Accept()
			errs <- err
		}()
	}
	f.setDeadline(time.Now().Add(2 * time.Hour))
	f.setDeadline(time.Now().Add(10 * time.Millisecond))
	for range cap(errs) {
		f.soon("a deadline that was moved", func() {
			f.wantError("accept", <-errs, os.ErrDeadlineExceeded)
		})
	}
	f.setDeadline(time.Time{})
	f.connect()
	f.accept()
}
