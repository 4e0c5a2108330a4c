package scoreboard

import (
	"fmt"
	"io"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/clients"
)

// S3: a worker has no descriptors left for a moment, then both.
func TestS3WorkerOutOfDescriptors(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		r := start(t, "http", cluster.Config{Mode: mode})
		both := r.Workers()
		undo := limit(t, both[0].PID, 0)
		got := r.clients(clients.Config{Clients: 32, Most: 200}).Wait()
		if t.Log("one: ", got); got.OK != 200 {
			t.Error("not all were answered by the other")
		}
		undoOther := limit(t, both[1].PID, 0)
		run := r.clients(clients.Config{Clients: 50, Most: 50})
		time.Sleep(200 * time.Millisecond) // they wait, or not yet; both is well
		undo()
		undoOther()
		if got = run.Wait(); got.OK != 50 {
			t.Error("not all were answered when it was over: ", got)
		}
		t.Log("both: ", got)
		for _, w := range both {
			before := w.Stats().Accepted
			run := r.clients(clients.Config{Clients: 4, Think: time.Millisecond})
			eventually(t, "it serves again", func() bool { return w.Stats().Accepted > before })
			if got := run.Stop(); got.Lost() > 0 {
				t.Error(got)
			}
		}
	})
}

// S4: the primary has two descriptors left, and 300 connections come.
func TestS4PrimaryOutOfDescriptors(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		p := startPrimary(t, mode)
		limit(t, p.cmd.Process.Pid, 2)
		got := ask(p.addr, clients.Config{Clients: 32, Most: 300}).Wait()
		if t.Log(got); got.OK != 300 {
			t.Error("not all were answered")
		}
	})
}

// S9: all workers are full, and one connection waits. That costs no CPU, and it is
// served when there is room.
func TestS9Full(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		p := startPrimary(t, mode, "SCOREBOARD_MAX_CONNS=1")
		var held []io.Closer
		for range 2 {
			c := open(t, p.addr)
			held = append(held, c)
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		run := ask(p.addr, clients.Config{Clients: 1, Most: 1})
		spent := func() (ticks int) {
			for _, pid := range append(p.workers, p.cmd.Process.Pid) {
				ticks += cpu(pid)
			}
			return ticks
		}
		before, begin := spent(), time.Now()
		time.Sleep(time.Second) // what is measured is the CPU time in it
		ticks, took := spent()-before, time.Since(begin)
		t.Logf("%d ms of CPU in %v", 10*ticks, took.Round(time.Millisecond))
		if time.Duration(ticks)*10*time.Millisecond > took/4 {
			t.Error("waiting costs CPU")
		}
		if n := run.Counts().All(); n != 0 {
			t.Errorf("%d requests were answered by full workers", n)
		}
		held[0].Close()
		if got := run.Wait(); got.OK != 1 {
			t.Error(got)
		}
	})
}
