package cluster_test

import (
	"encoding/json"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
)

// What waits for a worker that is stopped is served by others, and when it runs
// again it gets its share.
func TestStoppedWorker(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "name", cluster.Config{Workers: 2, Mode: mode, HangAfter: 100 * time.Millisecond, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(2)
			ask(t, a)
			w := r.Workers()[0]
			for range 2 {
				stop(t, w)
				var conns []net.Conn
				for range 100 {
					c := dial(t, a)
					defer c.Close()
					conns = append(conns, c)
				}
				for i, c := range conns {
					if readID(t, c) == w.ID {
						t.Errorf("connection %d was served by the stopped worker", i)
					}
				}
				if e := r.await(cluster.Hung); e.Worker != w {
					t.Errorf("worker %d hangs, it says", e.Worker.ID)
				}
				if s := r.Status().Workers[0].State; s != "hung" {
					t.Errorf("its state is %s", s)
				}
				w.Kill(syscall.SIGCONT)
				if e := r.await(cluster.Woke); e.Worker != w {
					t.Errorf("worker %d woke, it says", e.Worker.ID)
				}
				eventually(t, "it serves again", func() bool { return ask(t, a) == w.ID })
			}
		})
	}
}

// blockerRole serves one connection after the other; worker 1 blocks when told
// to, until it is told to go on.
func blockerRole() error {
	ln, err := listening()
	if err != nil {
		return err
	}
	resume := make(chan bool)
	block := make(chan bool, 1)
	cluster.OnMessage(func(m json.RawMessage) {
		if string(m) == `"block"` {
			block <- true
		} else {
			resume <- true
		}
	})
	for {
		c, err := ln.Accept()
		if err != nil {
			return nil
		}
		select {
		case <-block:
			cluster.Send("blocked")
			<-resume
		default:
		}
		fmt.Fprintf(c, "%d\n", cluster.ID())
		c.Close()
	}
}

// A worker that is alive but takes nothing delays only the connection that it has
// in hand.
func TestBlockedWorker(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "blocker", cluster.Config{Workers: 2, Mode: mode, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(2)
			w := r.Workers()[0]
			w.Send("block")
			blocked := make(chan cluster.Event, 1)
			go func() { blocked <- r.await(cluster.Messaged) }()
			var hands []net.Conn
			for done := false; !done; { // until one has met it
				c := dial(t, a)
				defer c.Close()
				hands = append(hands, c)
				select {
				case <-blocked:
					done = true
				case <-time.After(time.Millisecond):
				}
			}
			for range 50 {
				if ask(t, a) == w.ID {
					t.Error("the blocked worker answered")
				}
			}
			w.Send("resume")
			for _, c := range hands {
				readID(t, c)
			}
			eventually(t, "it serves again", func() bool { return ask(t, a) == w.ID })
		})
	}
}

// A worker that hangs for too long is killed and replaced.
func TestKillHung(t *testing.T) {
	r := start(t, "name", cluster.Config{Workers: 1, HangAfter: 50 * time.Millisecond, KillHung: 100 * time.Millisecond, Env: on("tcp", "127.0.0.1:0")})
	a := r.listening(1)
	w := r.Workers()[0]
	w.Kill(unix.SIGSTOP)
	r.await(cluster.Hung)
	if e := r.await(cluster.Exited); e.Worker != w || e.Status.Signal() != unix.SIGKILL {
		t.Errorf("worker %d ended with %s", e.Worker.ID, cluster.Describe(e.Status))
	}
	if id := ask(t, a); id != 2 {
		t.Errorf("worker %d answered", id)
	}
}
