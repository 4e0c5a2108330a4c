package cluster_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/cluster"
)

// closerRole: worker 1 accepts nothing, and closes its listener when it is told
// to. The others answer.
func closerRole() error {
	if cluster.ID() != 1 {
		return nameRole()
	}
	ln, err := listening()
	if err != nil {
		return err
	}
	err = cluster.OnMessage(func(json.RawMessage) {
		ln.Close()
		cluster.Send("closed")
	})
	<-cluster.Draining()
	return err
}

// What a worker has not taken when it closes its listener, is disconnected, or is
// killed while it is stopped, goes to others.
func TestNotTakenGoesToOthers(t *testing.T) {
	for _, mode := range []cluster.Mode{cluster.RoundRobin, cluster.ReusePort} {
		for name, leave := range map[string]func(*running, *cluster.Worker){
			"close": func(r *running, w *cluster.Worker) {
				w.Send("close")
				r.await(cluster.Messaged)
			},
			"disconnect": func(r *running, w *cluster.Worker) { w.Disconnect() },
			"kill while stopped": func(r *running, w *cluster.Worker) {
				stop(t, w)
				w.Kill(syscall.SIGKILL)
			},
		} {
			t.Run(mode.String()+"/"+name, func(t *testing.T) {
				r := start(t, "closer", cluster.Config{Workers: 2, Mode: mode, Env: on("tcp", "127.0.0.1:0"), DrainTimeout: 2 * time.Second})
				a := r.listening(2)
				const n = 40
				var conns []net.Conn
				for range n {
					c := dial(t, a)
					defer c.Close()
					conns = append(conns, c)
				}
				leave(r, r.Workers()[0])
				for i, c := range conns {
					if id := readID(t, c); id == 1 {
						t.Errorf("connection %d was served by worker 1", i)
					}
				}
			})
		}
	}
}

// shyRole holds its connections until their clients close them, and tells the
// primary how many it holds at most.
func shyRole() error { return holdRole() }

// With every worker at its limit the primary stops accepting: the kernel's queue
// holds the rest, and nobody is lost.
func TestBackPressure(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			const workers, most, clients = 2, 3, 30
			r := start(t, "shy", cluster.Config{Workers: workers, Mode: mode, MaxConns: most, MaxQueued: 4, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(workers)
			var conns []net.Conn
			for range clients {
				conns = append(conns, dial(t, a))
			}
			active := func() (n int64) {
				for _, w := range r.Workers() {
					s := w.Stats()
					if s.Active > most {
						t.Errorf("worker %d holds %d connections", w.ID, s.Active)
					}
					n += s.Active
				}
				return n
			}
			eventually(t, "all workers are full", func() bool { return active() == workers*most })
			if mode == cluster.RoundRobin {
				eventually(t, "the kernel's queue holds the rest", func() bool {
					return depth(t, a)+workers*most+1 >= clients
				})
			}
			var wg sync.WaitGroup
			for _, c := range conns {
				wg.Go(func() {
					readID(t, c)
					active()
					c.Close()
				})
			}
			wg.Wait()
		})
	}
}

// depth is the accept queue of the listener at a in this process.
func depth(t *testing.T, a net.Addr) int {
	t.Helper()
	for _, fd := range listeningFDs() {
		if here, err := fd.Getsockname(); err == nil && here.String() == a.String() {
			q, err := backlog.Of(fd)
			if err != nil {
				t.Fatal(err)
			}
			return q.Depth
		}
	}
	t.Fatal("no listener here")
	return 0
}

// finisherRole answers a line that comes late, and ends when Accept fails.
func finisherRole() error {
	ln, err := listening()
	if err != nil {
		return err
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			return nil // at once: what is still open would be cut
		}
		go func() {
			defer c.Close()
			fmt.Fprintf(c, "%d\n", cluster.ID())
			if line, err := bufio.NewReader(c).ReadString('\n'); err == nil {
				fmt.Fprintf(c, "late %s", line)
			}
		}()
	}
}

// A drain finishes what was begun, even in a program that ends as soon as its
// Accept fails.
func TestDrain(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "finisher", cluster.Config{Workers: 2, Mode: mode, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(2)
			var conns []net.Conn
			for range 8 {
				c := dial(t, a)
				defer c.Close()
				readID(t, c)
				conns = append(conns, c)
			}
			workers := r.Workers()
			down := make(chan struct{})
			go func() {
				r.Shutdown(t.Context())
				close(down)
			}()
			for _, w := range workers {
				eventually(t, "the workers drain", func() bool { return w.State() >= cluster.StateDraining })
			}
			for _, c := range conns {
				fmt.Fprintln(c, "question")
				c.SetReadDeadline(time.Now().Add(10 * time.Second))
				line, err := bufio.NewReader(c).ReadString('\n')
				if line != "late question\n" {
					t.Errorf("the answer is %q, %v", line, err)
				}
				c.Close()
			}
			<-down
			for range 2 {
				if e := r.await(cluster.Exited); e.Status.ExitStatus() != 0 {
					t.Errorf("worker %d ended with %s", e.Worker.ID, cluster.Describe(e.Status))
				}
			}
			if c, err := net.Dial("tcp", a.String()); err == nil {
				c.Close()
				t.Error("somebody still listens")
			}
		})
	}
}

// Workers that don't finish in time are ended: by SIGTERM, else by SIGKILL.
func TestDrainTimeout(t *testing.T) {
	r := start(t, "finisher", cluster.Config{Workers: 1, Env: on("tcp", "127.0.0.1:0"), DrainTimeout: 50 * time.Millisecond})
	c := dial(t, r.listening(1))
	defer c.Close()
	readID(t, c)
	r.Shutdown(t.Context())
	if e := r.await(cluster.Exited); e.Status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %s", cluster.Describe(e.Status))
	}
	r = start(t, "finisher", cluster.Config{Workers: 1, Env: on("tcp", "127.0.0.1:0"), DrainTimeout: 50 * time.Millisecond})
	r.listening(1)
	stop(t, r.Workers()[0])
	r.Shutdown(t.Context())
	if e := r.await(cluster.Exited); e.Status.Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %s", cluster.Describe(e.Status))
	}
}

// stop stops a worker, and waits until it has.
func stop(t *testing.T, w *cluster.Worker) {
	t.Helper()
	w.Kill(syscall.SIGSTOP)
	eventually(t, "the worker is stopped", func() bool { return processState(w.PID) == 'T' })
}

// A crashed worker is replaced in its slot. Meanwhile nobody is refused.
func TestCrash(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "name", cluster.Config{Workers: 2, Mode: mode, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(2)
			for range 3 {
				for _, w := range r.Workers() {
					w.Kill(syscall.SIGKILL) // all at once
				}
				for range 20 {
					ask(t, a)
				}
				eventually(t, "2 workers live", func() bool { return len(r.Workers()) == 2 })
			}
			for _, w := range r.Workers() {
				if w.ID <= 2 || w.Slot > 1 {
					t.Errorf("worker %d is in slot %d", w.ID, w.Slot)
				}
			}
		})
	}
}

// A worker that is started later doesn't change the socket under those that
// accept from it: with listeners of the primary's own they are passed to every
// worker as LISTEN_FDS too, where they begin as blocking ones.
func TestSocketStaysNonBlocking(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			at := freeAddr(t)
			r := start(t, "name", cluster.Config{Workers: 2, Mode: mode, Env: on("tcp", at),
				Listen: []cluster.Address{{Network: "tcp", Address: at}}})
			a := r.listening(2)
			r.Workers()[0].Kill(syscall.SIGKILL)
			r.await(cluster.Forked)
			for _, fd := range listeningFDs() {
				flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
				if err != nil || flags&unix.O_NONBLOCK == 0 {
					t.Errorf("listening socket %d has the flags %#x, %v", fd, flags, err)
				}
			}
			r.listening(1)
			for range 10 {
				ask(t, a)
			}
		})
	}
}

// freeAddr is a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
