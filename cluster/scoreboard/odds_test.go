package scoreboard

import (
	"errors"
	"flag"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
	"onconn/fdpass"
	"onconn/internal/clients"
	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

var messages = flag.Int("messages", 100, "how many `messages` of 60 KiB TestS13Messages sends; 1024 are the 60 MiB of the scoreboard")

// S13: messages to a worker while it serves.
func TestS13Messages(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		r := start(t, "http", cluster.Config{Workers: 1, Mode: mode})
		w := r.Workers()[0]
		accepted := w.Stats().Accepted
		run := r.clientsApart(clients.Config{Clients: 4})
		eventually(t, "busy clients", func() bool { return w.Stats().Accepted > accepted+4 })
		text := strings.Repeat("x", 60<<10)
		began := time.Now()
		for range *messages {
			if err := w.Send(text); err != nil {
				t.Fatal(err)
			}
		}
		took := time.Since(began)
		got := run.stop()
		without := r.clientsApart(clients.Config{Clients: 4, Most: got.All}).wait()
		t.Logf("%d messages in %v: %s; without: %s", *messages, took.Round(time.Millisecond), got.Text, without.Text)
		if got.Lost+without.Lost > 0 {
			t.Error("requests were lost")
		}
	})
}

// S14: a worker with an exclusive server goes when it is disconnected.
func TestS14Exclusive(t *testing.T) {
	r := start(t, "exclusive", cluster.Config{})
	w := r.Workers()[0]
	w.Disconnect()
	if e := r.await(cluster.Exited); e.Worker != w || e.Status.ExitStatus() != 0 {
		t.Errorf("worker %d ended with %s", e.Worker.ID, cluster.Describe(e.Status))
	}
}

// S16: a second listen on the own port fails as it does elsewhere, and harms
// nothing.
func TestS16ListenTwice(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		r := start(t, "twice", cluster.Config{Workers: 1, Mode: mode})
		r.Workers()[0].Send("how was it?")
		if e := r.await(cluster.Messaged); string(e.Data) != "true" {
			t.Errorf("EADDRINUSE: %s", e.Data)
		}
		if got := r.clients(clients.Config{Clients: 1, Most: 1}).Wait(); got.OK != 1 {
			t.Error(got)
		}
	})
}

// S17: a descriptor that is no socket comes through the queue. The receiver lives
// on, and what comes behind it is served.
func TestS17NoSocket(t *testing.T) {
	testleak.FDs(t)
	q, err := fdpass.NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	receive, err := q.ReceiveEnd().Dup()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := listen.Config{}.FromSources(&net.TCPAddr{}, fdpass.NewReceiver(receive))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := unix.Open(os.Args[0], unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	a, b, err := sock.Pair(sock.Stream)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	if _, err := q.Send([]fdpass.Record{{FD: sock.FD(file)}, {FD: b}}); err != nil {
		t.Fatal(err)
	}
	if c, err := ln.Accept(); err == nil || errors.Is(err, net.ErrClosed) {
		t.Error("the file was taken for a connection, or for the end: ", c, err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
