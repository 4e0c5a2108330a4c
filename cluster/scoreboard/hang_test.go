package scoreboard

import (
	"syscall"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/clients"
)

// S2: one of two workers is stopped. 200 connections are served by the other.
func TestS2Stopped(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		r := start(t, "http", cluster.Config{Mode: mode})
		w := r.Workers()[0]
		stop(t, w.PID)
		got := r.clients(clients.Config{Clients: 200, Most: 200}).Wait()
		if t.Log(got); got.OK != 200 {
			t.Error("not all were answered while it was stopped")
		}
		w.Kill(syscall.SIGCONT)
		before := w.Stats().Accepted
		run := r.clients(clients.Config{Clients: 2, Think: time.Millisecond})
		eventually(t, "it serves again", func() bool { return w.Stats().Accepted > before })
		if got := run.Stop(); got.Lost() > 0 {
			t.Error(got)
		}
	})
}

// S2b: one of two workers takes nothing for a while. 300 connections are served by
// the other meanwhile.
func TestS2bBlocked(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		r := start(t, "block", cluster.Config{Mode: mode})
		w := r.Workers()[0]
		w.Send("shut")
		blocked := make(chan bool)
		go func() {
			r.await(cluster.Messaged)
			close(blocked)
		}()
		run := r.clients(clients.Config{Clients: 2, Think: time.Millisecond}) // Accept waits for one more
		select {
		case <-blocked:
		case <-time.After(patience):
			t.Fatal("it doesn't block")
		}
		run.Stop()
		got := r.clients(clients.Config{Clients: 1, Most: 300}).Wait()
		if t.Log(got); got.OK != 300 {
			t.Error("not all were answered while it was blocked")
		}
		w.Send("open")
		before := w.Stats().Accepted
		run = r.clients(clients.Config{Clients: 2, Think: time.Millisecond})
		eventually(t, "it serves again", func() bool { return w.Stats().Accepted > before })
		if got := run.Stop(); got.Lost() > 0 {
			t.Error(got)
		}
	})
}
