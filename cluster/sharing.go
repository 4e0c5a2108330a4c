package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

// A sharing is how one listener is shared among the workers: a mode at work.
// Its methods are called by one goroutine at a time.
type sharing interface {
	// address is where it listens.
	address() net.Addr
	// join makes a worker one that takes connections. The descriptors are what
	// it accepts from; they stay the sharing's.
	join(*Worker, *line) ([]sock.FD, error)
	// leave undoes join. gone: the worker takes nothing more, not even what it
	// was given already.
	leave(w *Worker, gone bool)
	// vacate: nobody is expected in that slot any more.
	vacate(slot int)
	// quiet returns what waits until nothing more comes to the listening socket
	// of a slot alone; nil: it has none of its own.
	quiet(slot int) func(context.Context) error
	// forListenFDs is the listening socket for a worker whose program may know
	// only LISTEN_FDS.
	forListenFDs(*Worker) (sock.FD, error)
	// stop gives up what the primary listens on. Workers that have the socket
	// too take what waits there.
	stop()
	// waiting is how many accepted connections no worker has taken.
	waiting() int64
	// room tells that some worker has room again.
	room()
	// look finds workers that take nothing of what waits for them, and tells when
	// to look again, or never. onWait sets what is to be called when something
	// waits: it has look called soon.
	look(time.Time) (again time.Duration)
	onWait(watch func())
	// held is how many connections were accepted for which no worker has room; it
	// adds to queued what waits for each worker.
	held(queued map[*Worker]int64) int
	// hold stops what runs in the background until release.
	hold()
	release()
	// image adds to a server's image, and revive takes a seat over from one.
	image(*serverImage)
	revive(*Worker, *line, seatImage) error
	// inherit takes over the rest of an image, when all are seated.
	inherit(serverImage, map[int]*Worker) error
	// sockets are the listening sockets, by slot where that matters.
	sockets() map[int]sock.FD
	// close gives up everything.
	close()
}

// share opens the listener k in the given mode.
func (p *Primary) share(ctx context.Context, k key, cfg listen.Config, mode Mode) (sharing, error) {
	if isPacket(k.Network) {
		return p.openPacket(ctx, k, cfg)
	}
	cfg.Logger = p.log
	switch mode {
	case RoundRobin:
		ln, err := p.listen(ctx, cfg, k)
		if err != nil {
			return nil, err
		}
		r := &roundRobin{newDispatcher(p), ln}
		if err := r.open(ln.Descriptor()); err != nil {
			ln.Close()
			return nil, err
		}
		return r, nil
	case Shared:
		ln, err := p.listen(ctx, cfg, k)
		if err != nil {
			return nil, err
		}
		return newSharedSocket(p, ln), nil
	case ReusePort:
		if strings.HasPrefix(k.Network, "unix") || k.Network == "fd" || k.Network == "vsock" {
			return nil, fmt.Errorf("reuseport mode needs a tcp address: %s is on network %s", k.Address, k.Network)
		}
		return newReusePort(ctx, p, k, cfg)
	}
	return nil, fmt.Errorf("unknown mode %d", mode)
}

// roundRobin: the primary accepts and a worker gets the connection.
type roundRobin struct {
	*dispatcher
	ln *listen.Listener
}

func (r *roundRobin) address() net.Addr { return r.ln.Addr() }

func (r *roundRobin) join(w *Worker, l *line) ([]sock.FD, error) {
	fd, err := r.dispatcher.join(w, l)
	return []sock.FD{fd}, err
}

func (r *roundRobin) vacate(int)                            {}
func (r *roundRobin) quiet(int) func(context.Context) error { return nil }
func (r *roundRobin) hold()                                 {}
func (r *roundRobin) release()                              {}

func (r *roundRobin) forListenFDs(*Worker) (sock.FD, error) {
	return sock.None, errors.New("a program that knows only LISTEN_FDS can't be served in rr mode")
}

func (r *roundRobin) stop() {
	r.finish(r.ln.Descriptor())
	r.ln.Close()
}

func (r *roundRobin) sockets() map[int]sock.FD { return map[int]sock.FD{0: r.ln.Descriptor()} }

func (r *roundRobin) close() {
	r.dispatcher.close()
	r.ln.Close()
}

// makeBlocking makes a listening socket as sd_listen_fds(3) promises it: a simple
// server calls accept without asking whether it may block. Only before it is
// first given away: workers that have it may have made it non-blocking for all.
func makeBlocking(fd sock.FD, first bool) error {
	if !first {
		return nil
	}
	return os.NewSyscallError("fcntl", unix.SetNonblock(int(fd), false))
}
