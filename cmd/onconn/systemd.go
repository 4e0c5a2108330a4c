package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"onconn/cluster"
	"onconn/internal/sdnotify"
	"onconn/listen"
	"onconn/sock"
)

// storedPrefix begins the names that [cluster.Primary.Sockets] has.
const storedPrefix = "onconn-"

// storedSockets are those that an onconn before this one left in systemd's store,
// and the names of those that are of no use.
func storedSockets() (sockets map[string]sock.FD, useless []string, err error) {
	fds, err := listen.InheritedNames(func(name string) bool { return strings.HasPrefix(name, storedPrefix) })
	if err != nil {
		return nil, nil, err
	}
	sockets = map[string]sock.FD{}
	for _, f := range fds {
		_, twice := sockets[f.Name]
		switch {
		case twice:
			f.FD.Close()
		case !reachable(f.FD):
			f.FD.Close()
			useless = append(useless, f.Name)
		default:
			sockets[f.Name] = f.FD
		}
	}
	return sockets, useless, nil
}

// reachable reports whether clients find the socket: an onconn that ends in order
// removes the file of a unix socket.
func reachable(fd sock.FD) bool {
	a, err := fd.Getsockname()
	if err != nil {
		return false
	}
	u, ok := a.NetAddr(sock.Stream).(*net.UnixAddr)
	if !ok || strings.HasPrefix(u.Name, "@") {
		return true
	}
	fi, err := os.Lstat(u.Name)
	return err == nil && fi.Mode().Type() == os.ModeSocket
}

// supervised is what systemd is told, if it has started this process as
// Type=notify. A goroutine of its own talks to it, since it may be slow.
type supervised struct {
	notifier *sdnotify.Notifier
	log      io.Writer
	lines    chan string
	changed  chan struct{} // listeners may have
	done     sync.WaitGroup

	storing sync.Mutex
	ending  bool // the store stays as it is

	mu      sync.Mutex
	primary *cluster.Primary
	ready   map[int]bool    // slots
	stored  map[string]bool // sockets in the store
	useless []string        // and those that are to leave it
	told    bool            // READY=1
	failed  bool            // that it can't be told was said
}

// newSupervised is told which sockets are in the store, and which of them are
// useless.
func newSupervised(stored map[string]sock.FD, useless []string, log io.Writer) (*supervised, error) {
	n, err := sdnotify.FromEnvironment()
	s := &supervised{
		notifier: n, log: log, lines: make(chan string, 64), changed: make(chan struct{}, 1),
		ready: map[int]bool{}, stored: map[string]bool{}, useless: useless,
	}
	for name := range stored {
		s.stored[name] = true
	}
	return s, err
}

// begin tells that the cluster was started. After an upgrade the workers are
// ready already.
func (s *supervised) begin(p *cluster.Primary) {
	s.mu.Lock()
	s.primary = p
	s.mu.Unlock()
	s.lookAtSockets()
	s.tellReady(p.Status().Upgrades > 0)
	s.done.Go(s.run)
}

// event is called for each of the cluster's.
func (s *supervised) event(e cluster.Event) {
	switch e.Kind {
	case cluster.Ready:
		s.mu.Lock()
		s.ready[e.Worker.Slot] = true
		s.mu.Unlock()
		s.tellReady(false)
	case cluster.Listening, cluster.Exited:
		s.lookAtSockets()
	}
}

// tellReady says READY=1, once, when all workers are.
func (s *supervised) tellReady(already bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told || s.primary == nil || !already && len(s.ready) < s.primary.Status().Target {
		return
	}
	s.told = true
	s.say(sdnotify.Ready, sdnotify.Status(fmt.Sprintf("%d workers", s.primary.Status().Target)))
}

// say leaves lines to the goroutine. It never waits.
func (s *supervised) say(lines ...string) {
	select {
	case s.lines <- strings.Join(lines, "\n"):
	default: // systemd doesn't read
	}
}

// lookAtSockets has the goroutine compare the listening sockets with those in
// the store.
func (s *supervised) lookAtSockets() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run talks to systemd until end.
func (s *supervised) run() {
	var watchdog <-chan time.Time
	if d := s.notifier.WatchdogInterval(); d > 0 {
		tick := time.NewTicker(d)
		defer tick.Stop()
		watchdog = tick.C
	}
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return
			}
			s.check(s.notifier.Send(line))
		case <-s.changed:
			s.store()
		case <-watchdog:
			s.primary.Status() // takes the locks of the primary and of every listener, or never returns
			s.check(s.notifier.Send(sdnotify.KeepAlive))
		}
	}
}

// store makes the sockets in systemd's store those that are listened on: what
// nobody accepts from must not stay open.
func (s *supervised) store() {
	s.storing.Lock()
	defer s.storing.Unlock()
	if s.notifier == nil || s.ending {
		return
	}
	for _, name := range s.useless {
		s.check(s.notifier.Remove(name))
	}
	s.useless = nil
	sockets := s.primary.Sockets()
	for name, fd := range sockets {
		if !s.stored[name] {
			s.stored[name] = true
			s.check(s.notifier.Store(name, fd))
		}
	}
	for name := range s.stored {
		if _, ok := sockets[name]; !ok {
			delete(s.stored, name)
			s.check(s.notifier.Remove(name))
		}
	}
}

// check tells the first error.
func (s *supervised) check(err error) {
	if err != nil && !s.failed {
		s.failed = true
		fmt.Fprintln(s.log, "onconn:", err)
	}
}

// stopping is the last that is said. The sockets stay in the store, where clients
// wait for the next onconn, unless systemd empties it: in a stop that is no
// restart.
func (s *supervised) stopping() {
	s.storing.Lock()
	s.ending = true
	s.storing.Unlock()
	s.say(sdnotify.Stopping)
}

// end returns when all is said.
func (s *supervised) end() {
	close(s.lines)
	s.done.Wait()
}
