// Package session records a run of a program: its calls, the packets and the queues of
// its ports, and requests that are made meanwhile.
package session

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/demo"
	"onconn/cmd/syscallflow/internal/follow"
	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/tracer"
	"onconn/cmd/syscallflow/internal/watch"
)

// Config says what to record.
type Config struct {
	Command  tracer.Command // the program
	Attach   []int          // or processes that run already
	Waits    bool           // epoll_wait and its like too
	Packets  bool           // packets and queues too
	Prefix   int            // bytes kept of what is sent and received; 0: 128
	Requests int            // that are made to URL once the program listens there
	URL      *url.URL
	Ready    time.Duration // how long the program may take until it listens; 0: 20 s
	Settle   time.Duration // requests begin when the program has been quiet for so long; 0: 300 ms
	Grace    time.Duration // from the polite request to end to the next one; 0: 3 s
}

// A Result is a recording, and how the program ended.
type Result struct {
	*recording.Recording
	Status unix.WaitStatus
	Ended  bool // by us
}

// Record runs the program until it ends, or until ctx is done: then it is asked to
// end, and has the grace for it. With Requests it is asked to end after them. Of
// processes that were attached, ctx only lets go.
func Record(ctx context.Context, c Config) (Result, error) {
	if c.Ready == 0 {
		c.Ready = 20 * time.Second
	}
	if c.Settle == 0 {
		c.Settle = 300 * time.Millisecond
	}
	if c.Grace == 0 {
		c.Grace = 3 * time.Second
	}
	s := &session{Config: c, came: make(chan struct{})}
	config := follow.Config{Waits: c.Waits, Prefix: c.Prefix, Listening: s.listening}
	s.recorder = follow.New(config)
	var err error
	if s.tracer, err = tracer.New(s.recorder, config.Filters()); err != nil {
		return Result{}, err
	}
	if c.Packets {
		s.watcher = watch.New(s.recorder.Time)
	}
	return s.run(ctx)
}

type session struct {
	Config
	recorder *follow.Recorder
	tracer   *tracer.Tracer
	watcher  *watch.Watcher

	mu       sync.Mutex
	ready    bool          // it listens where the requests go
	came     chan struct{} // closed when ready
	heard    []string      // where it listens
	requests []demo.Request
	failed   error
	released time.Time // when we began to let go of what was attached
}

func (s *session) run(ctx context.Context) (Result, error) {
	var helpers sync.WaitGroup
	ended := false
	helpers.Go(func() {
		if s.Requests > 0 && !s.ask(ctx) {
			return
		}
		if s.Requests == 0 {
			select {
			case <-s.tracer.Done():
				return
			case <-ctx.Done():
			}
		}
		ended = true
		s.end(ctx.Err() != nil && foreground())
	})
	status, err := s.trace()
	at := time.Now().UnixNano()
	helpers.Wait()
	r := Result{s.recorder.Finish(at), status, ended}
	r.Command = s.Command.Args
	if len(s.Attach) > 0 && len(r.Processes) > 0 {
		r.Command = r.Processes[0].Args
	}
	if s.watcher != nil {
		s.watcher.Finish(r.Recording)
	}
	if !s.released.IsZero() {
		cut(r.Recording, s.recorder.Time(s.released.UnixNano()))
	}
	for _, q := range s.requests {
		r.Requests = append(r.Requests, s.request(q))
	}
	return r, errors.Join(err, s.failed)
}

// cut leaves out what was watched later: connections came on, whose calls weren't
// traced, and would be drawn as if nobody accepted them.
func cut(r *recording.Recording, end recording.Time) {
	r.Packets = slices.DeleteFunc(r.Packets, func(p recording.Packet) bool { return p.Time > end })
	r.Depths = slices.DeleteFunc(r.Depths, func(d recording.Depth) bool { return d.Time > end })
}

func (s *session) trace() (unix.WaitStatus, error) {
	if len(s.Attach) > 0 {
		return 0, s.tracer.Attach(s.Attach)
	}
	return s.tracer.Run(s.Command)
}

// listening hears of each listener before its program goes on.
func (s *session) listening(l follow.Listener) {
	if s.watcher != nil {
		s.watcher.Listening(l)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, l.Address)
	if s.URL == nil || s.ready {
		return
	}
	port, _ := strconv.Atoi(s.URL.Port())
	if a, err := netip.ParseAddrPort(l.Address); err == nil && int(a.Port()) == port {
		s.ready = true
		close(s.came)
	}
}

// ask waits for the program to listen and makes the requests, one after the other. It
// returns whether the program is to be ended.
func (s *session) ask(ctx context.Context) bool {
	late := time.NewTimer(s.Ready)
	defer late.Stop()
	select {
	case <-s.came:
	case <-s.tracer.Done():
		s.failed = fmt.Errorf("the program ended before it listened on port %s", s.URL.Port())
		return false
	case <-ctx.Done():
		return true
	case <-late.C:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed = fmt.Errorf("after %v the program doesn't listen on port %s, where the requests are to go; it listens on %q",
			s.Ready, s.URL.Port(), s.heard)
		return true
	}
	s.quiet(ctx, s.Settle)
	for range s.Requests {
		if ctx.Err() != nil {
			break
		}
		s.requests = append(s.requests, demo.Get(ctx, s.URL))
	}
	s.quiet(ctx, 200*time.Millisecond) // it has closed its ends
	return true
}

// quiet waits until the program has made no call for some time, but no longer than it
// may take to begin.
func (s *session) quiet(ctx context.Context, long time.Duration) {
	deadline := time.Now().Add(s.Ready)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last, since := s.recorder.Activity(), time.Now()
	for time.Since(since) < long && time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return
		case <-s.tracer.Done():
			return
		case <-tick.C:
		}
		if now := s.recorder.Activity(); now != last {
			last, since = now, time.Now()
		}
	}
}

// foreground reports whether Ctrl-C of our terminal goes to us, and so to the program
// too: it is in our process group. See tcgetpgrp(3).
func foreground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// end asks the program to end, and insists. One that has got Ctrl-C itself gets no
// second one, which for many means not to wait for clients.
func (s *session) end(interrupted bool) {
	if len(s.Attach) > 0 {
		s.released = time.Now()
		s.tracer.Detach()
		return
	}
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		if sig != unix.SIGINT || !interrupted {
			s.tracer.Signal(sig)
		}
		grace := time.NewTimer(s.Grace)
		select {
		case <-s.tracer.Done():
			grace.Stop()
			return
		case <-grace.C:
		}
	}
	for {
		s.tracer.Kill()
		select {
		case <-s.tracer.Done():
			return
		case <-time.After(100 * time.Millisecond): // what was born meanwhile
		}
	}
}

func (s *session) request(q demo.Request) recording.Request {
	r := recording.Request{
		From: q.From, To: q.To, Text: q.Text, Reply: q.Reply,
		Begin: s.recorder.Time(q.Begin.UnixNano()), End: s.recorder.Time(q.End.UnixNano()),
	}
	if q.Err != nil {
		r.Err = q.Err.Error()
	}
	return r
}
