package listen

import (
	"errors"
	"net"
	"testing"
	"time"

	"onconn/internal/testleak"
)

// What waits at Finish is returned, and then the listener has ended, whichever
// way Accept waits.
func TestFinish(t *testing.T) {
	for name, c := range map[string]Config{"polled": {}, "shared": {Shared: true}} {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			const n = 5
			ln, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			for range n {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			if err := ln.Finish(); err != nil {
				t.Fatal(err)
			}
			for range n {
				c, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
			}
			if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("after the last one: %v", err)
			}
			ln.Close()
			if err := ln.Finish(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Finish after Close: %v", err)
			}
		})
	}
}

// Finish ends an Accept that waits already.
func TestFinishWakesAccept(t *testing.T) {
	for name, c := range map[string]Config{"polled": {}, "shared": {Shared: true}} {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			ln, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			got := make(chan error)
			go func() {
				_, err := ln.Accept()
				got <- err
			}()
			for waiting := false; !waiting; { // until Accept has made its waiter
				ln.mu.Lock()
				waiting = ln.wait != nil
				ln.mu.Unlock()
			}
			ln.Finish()
			select {
			case err := <-got:
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("Accept returned %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Accept still waits")
			}
		})
	}
}

// A client that keeps coming can't keep Finish from ending.
func TestFinishUnderLoad(t *testing.T) {
	testleak.FDs(t)
	ln, err := Config{Backlog: 4}.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dial := func() {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	dial()
	ln.Finish()
	for n := 0; ; n++ {
		c, err := ln.Accept()
		if err != nil {
			if n != 5 {
				t.Errorf("it returned %d connections, its queue holds 5", n)
			}
			return
		}
		c.Close()
		dial()
	}
}

// OnConnClose comes once for each connection, after it was counted.
func TestOnConnClose(t *testing.T) {
	testleak.FDs(t)
	var counters Counters
	closed := make(chan int64, 2)
	c := Config{Counters: &counters, OnConnClose: func() { closed <- counters.Active.Load() }}
	ln, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	conn.Close()
	if active := <-closed; active != 0 || len(closed) != 0 {
		t.Errorf("%d active, called %d times more", active, len(closed))
	}
}
