package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/testleak"
	"onconn/sock"
)

// A primary that was never started, or is over, says so.
func TestOrderOfCalls(t *testing.T) {
	testleak.FDs(t)
	p, err := cluster.New(cluster.Config{Workers: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Fork(); err == nil {
		t.Error("Fork before Start")
	}
	p.Shutdown(t.Context())
	p.Shutdown(t.Context())
	if err := p.Start(t.Context()); err == nil {
		t.Error("Start after Shutdown")
	}
	p, _ = cluster.New(cluster.Config{Workers: -1})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err == nil {
		t.Error("a second Start")
	}
	p.Shutdown(t.Context())
	if _, err := p.Fork(); err == nil {
		t.Error("Fork after Shutdown")
	}
}

// OnEvent may start workers, however many events wait.
func TestForkFromOnEvent(t *testing.T) {
	testleak.FDs(t)
	var p *cluster.Primary
	forked, last := 0, make(chan struct{})
	p, err := cluster.New(cluster.Config{
		Workers: -1, Env: append(on("tcp", "127.0.0.1:0"), envRole+"=name", fastExit),
		OnEvent: func(e cluster.Event) {
			if e.Kind != cluster.Forked {
				return
			}
			if forked++; forked == 5 {
				close(last)
			} else if _, err := p.Fork(); err != nil {
				t.Error(err)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Fork(); err != nil {
		t.Fatal(err)
	}
	<-last
	var slots []int
	for _, w := range p.Workers() {
		slots = append(slots, w.Slot)
	}
	p.Shutdown(t.Context())
	if !slices.Equal(slots, []int{0, 1, 2, 3, 4}) && !slices.Equal(slots, []int{0, 1, 2, 3}) { // the last may not be in yet
		t.Errorf("the workers have the slots %v", slots)
	}
}

// Variables of the user reach the worker, and later ones win.
func TestEnvironment(t *testing.T) {
	t.Setenv("LISTEN_ADDR", ":8080")
	t.Setenv("OVERRIDDEN", "parent")
	t.Setenv("LISTEN_FDS", "7")
	r := start(t, "env", cluster.Config{Workers: -1, Env: []string{"OVERRIDDEN=config"}})
	if _, err := r.Fork("OVERRIDDEN=fork", "EXTRA=1"); err != nil {
		t.Fatal(err)
	}
	out := text(t, r.await(cluster.Messaged).Data)
	for _, want := range []string{"LISTEN_ADDR=:8080\n", "OVERRIDDEN=fork\n", "EXTRA=1\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "LISTEN_FDS=") {
		t.Errorf("the primary's own LISTEN_FDS is passed on:\n%s", out)
	}
}

// fdsRole accepts bare descriptors.
func fdsRole() error {
	ln, err := listening()
	if err != nil {
		return err
	}
	for {
		fd, _, err := ln.(interface {
			AcceptFD() (sock.FD, sock.Addr, error)
		}).AcceptFD()
		if err != nil {
			return nil
		}
		fmt.Fprintf(fd, "%d\n", cluster.ID())
		fd.Close()
	}
}

// A worker that takes bare descriptors gets one after the other too, with room
// for only one in its queue.
func TestBareDescriptors(t *testing.T) {
	r := start(t, "fds", cluster.Config{Workers: 1, MaxQueued: 1, Env: on("tcp", "127.0.0.1:0")})
	a := r.listening(1)
	for range 20 {
		ask(t, a)
	}
}

// askerRole listens when it is told to, in the function that is told.
func askerRole() error {
	err := cluster.OnMessage(func(json.RawMessage) {
		ln, err := listening()
		if err != nil {
			cluster.Send(err.Error())
			return
		}
		cluster.Send("listening")
		ln.Close()
	})
	<-cluster.Draining()
	return err
}

func TestListenInOnMessage(t *testing.T) {
	r := start(t, "asker", cluster.Config{Workers: 1, Env: on("tcp", "127.0.0.1:0")})
	for range 2 {
		if err := r.Workers()[0].Send("listen"); err != nil {
			t.Fatal(err)
		}
		if got := text(t, r.await(cluster.Messaged).Data); got != "listening" {
			t.Errorf("it said %q", got)
		}
	}
}

// deafRole shuts down the queue that it should receive from, and stays.
func deafRole() error {
	if cluster.ID() != 1 {
		return nameRole()
	}
	if _, err := listening(); err != nil {
		return err
	}
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, l := range links {
		var n int
		fmt.Sscan(filepath.Base(l), &n)
		if t, err := sock.SockType.Get(sock.FD(n)); err == nil && t == sock.SeqPacket && n > 3 {
			sock.FD(n).Shutdown(syscall.SHUT_RD)
		}
	}
	cluster.Send("deaf")
	select {}
}

// A worker whose queue takes nothing is ended, and its connections go on.
func TestBrokenQueue(t *testing.T) {
	r := start(t, "deaf", cluster.Config{Workers: 1, Env: on("tcp", "127.0.0.1:0")})
	a := r.listening(1)
	r.await(cluster.Messaged)
	if id := ask(t, a); id < 2 {
		t.Errorf("worker %d answered", id)
	}
}

// A worker whose queue was full gets connections again when it has taken some.
func TestFullQueueRecovers(t *testing.T) {
	r := start(t, "name", cluster.Config{Workers: 1, MaxQueued: 10, Env: on("tcp", "127.0.0.1:0")})
	a := r.listening(1)
	w := r.Workers()[0]
	stop(t, w)
	var conns []net.Conn
	for range 30 { // 10 of them fill the queue
		c := dial(t, a)
		defer c.Close()
		conns = append(conns, c)
	}
	eventually(t, "the queue is full", func() bool { return r.Status().Workers[0].Queued == 10 })
	w.Kill(syscall.SIGCONT)
	for _, c := range conns {
		readID(t, c)
	}
	if got := w.Stats().Accepted; got != 30 {
		t.Errorf("it has taken %d", got)
	}
}

// Connections that wait for room are served before the end, within the drain
// timeout.
func TestShutdownServesWhatWaits(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "hold", cluster.Config{Workers: 1, Mode: mode, MaxConns: 1, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(1)
			first := dial(t, a)
			readID(t, first)
			second := dial(t, a)
			defer second.Close()
			w := r.Workers()[0]
			down := make(chan struct{})
			go func() {
				r.Shutdown(context.Background())
				close(down)
			}()
			time.Sleep(1500 * time.Millisecond) // longer than an idle program may take to accept
			first.Close()
			if id := readID(t, second); id != w.ID {
				t.Errorf("worker %d answered", id)
			}
			second.Close()
			<-down
		})
	}
}
