package accept

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/epoll"
	"onconn/internal/testleak"
	"onconn/sock"
)

// A process is a child that runs a loop and obeys one-word commands.
type process struct {
	t   testing.TB
	ctl *os.File
	pid int
}

// status is a child's answer to each command.
type status struct {
	Stats
	OnShed  int           // sum of what the hook was told
	CPU     time.Duration // user and system time so far
	Mallocs uint64        // so far
	Short   bool          // there is a shortage
	Reserve bool
	Log     string
}

// spawn starts the test binary in a role, with a listening socket. It ends when
// the test does.
func spawn(t testing.TB, ln sock.FD, role string, env ...string) *process {
	t.Helper()
	testleak.Zombies(t)
	ours, theirs, err := sock.Pair(sock.SeqPacket)
	check(t, err)
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"accept.test"}, &syscall.ProcAttr{
		Env:   append(append(os.Environ(), "ACCEPT_TEST_ROLE="+role, "GORACE=atexit_sleep_ms=0"), env...),
		Files: []uintptr{0, 1, 2, uintptr(ln), uintptr(theirs)},
	})
	theirs.Close()
	check(t, err)
	p := &process{t, os.NewFile(uintptr(ours), "control"), pid}
	t.Cleanup(func() {
		p.ctl.Close() // at which it exits
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
			t.Errorf("wait4: %v", err)
		}
	})
	return p
}

// do gives a command and returns what has come of it.
func (p *process) do(command string) (s status) {
	p.t.Helper()
	p.ctl.SetDeadline(time.Now().Add(patience))
	_, err := p.ctl.WriteString(command)
	check(p.t, err)
	buf := make([]byte, 64<<10)
	n, err := p.ctl.Read(buf)
	check(p.t, err)
	check(p.t, json.Unmarshal(buf[:n], &s))
	return s
}

// child is the test binary's main in a child.
func child(role string) {
	const ln, control = sock.FD(3), 4
	for fd := 3; fd <= control; fd++ {
		unix.CloseOnExec(fd)
	}
	ctl := os.NewFile(control, "control")
	var c interface{ do(string) status }
	switch role {
	case "serve":
		c = newServer(ln)
	case "exclusive":
		c = newExclusive(ln)
	case "net":
		c = newNetServer(ln)
	}
	buf := make([]byte, 64)
	for {
		n, err := ctl.Read(buf)
		if n == 0 || err != nil {
			os.Exit(0)
		}
		answer, _ := json.Marshal(c.do(string(buf[:n])))
		ctl.Write(answer)
	}
}

// server is the role of a loop that serves, or is told not to.
type server struct {
	loop   *Loop
	log    bytes.Buffer
	onShed int

	// Of the loop's goroutine.
	onconnection func(sock.FD, sock.Addr)
	held         []sock.FD

	grabbing chan struct{}
	grabbed  sync.WaitGroup
}

// newServer takes NOFILE (how many descriptors it may have), SHED_AFTER in ms,
// and SHARED from the environment.
func newServer(ln sock.FD) *server {
	s := &server{onconnection: answer}
	shedAfter, _ := strconv.Atoi(os.Getenv("SHED_AFTER"))
	var err error
	s.loop, err = New(Options{
		ShedAfter: time.Duration(shedAfter) * time.Millisecond,
		OnShed:    func(n int) { s.onShed += n },
		Logger:    slog.New(slog.NewJSONHandler(&s.log, nil)),
	})
	fatal(err)
	var opts []Option
	if os.Getenv("SHARED") != "" {
		opts = append(opts, Shared())
	}
	_, err = s.loop.Add(ln, func(fd sock.FD, peer sock.Addr) { s.onconnection(fd, peer) }, opts...)
	fatal(err)
	if n, _ := strconv.ParseUint(os.Getenv("NOFILE"), 10, 64); n > 0 {
		fatal(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}))
	}
	go func() { fatal(s.loop.Run(context.Background())) }()
	return s
}

func (s *server) do(command string) (answer status) {
	done := make(chan struct{})
	s.loop.Post(func() {
		s.obey(command)
		answer = used()
		answer.Stats = s.loop.Stats()
		answer.OnShed = s.onShed
		answer.Short = !s.loop.shortage.next.IsZero()
		answer.Reserve = s.loop.shortage.reserve != sock.None
		answer.Log = s.log.String()
		close(done)
	})
	<-done
	return answer
}

func (s *server) obey(command string) {
	switch command {
	case "status":
	case "hold": // what comes, without an answer
		s.onconnection = func(fd sock.FD, _ sock.Addr) { s.held = append(s.held, fd) }
	case "close": // without an answer
		s.onconnection = func(fd sock.FD, _ sock.Addr) { fd.Close() }
	case "serve one": // of those held
		answer(s.held[0], sock.Addr{})
		s.held = s.held[1:]
	case "serve":
		s.release(answer)
	case "serve slowly": // holding each descriptor for a little while
		s.release(func(fd sock.FD, peer sock.Addr) {
			time.AfterFunc(3*time.Millisecond, func() { answer(fd, peer) })
		})
	case "grab": // every descriptor that comes free
		s.grabbing = make(chan struct{})
		s.grabbed.Go(s.grab)
	case "ungrab":
		close(s.grabbing)
		s.grabbed.Wait()
	default:
		fatal(fmt.Errorf("unknown command %q", command))
	}
}

// release hands what is held, and what comes from now on, to f.
func (s *server) release(f func(sock.FD, sock.Addr)) {
	for _, fd := range s.held {
		f(fd, sock.Addr{})
	}
	s.held = nil
	s.onconnection = f
}

func (s *server) grab() {
	var fds []sock.FD
	for {
		select {
		case <-s.grabbing:
			for _, fd := range fds {
				fd.Close()
			}
			return
		default:
			if fd, err := sock.FD(0).Dup(); err == nil {
				fds = append(fds, fd)
			}
		}
	}
}

// exclusive is the role of the usual epoll loop with EPOLLEXCLUSIVE.
type exclusive struct{ accepted atomic.Int64 }

func newExclusive(ln sock.FD) *exclusive {
	e := &exclusive{}
	p, err := epoll.New()
	fatal(err)
	fatal(p.Add(ln, unix.EPOLLIN|unix.EPOLLEXCLUSIVE))
	go func() {
		events := make([]unix.EpollEvent, 1)
		for {
			_, err := p.Wait(events, -1)
			fatal(err)
			for {
				fd, peer, err := ln.Accept()
				if err != nil {
					break
				}
				e.accepted.Add(1)
				answer(fd, peer)
			}
		}
	}()
	return e
}

func (e *exclusive) do(string) status {
	s := used()
	s.Accepted = e.accepted.Load()
	return s
}

// netServer is the role of package net's accept and close.
type netServer struct{}

func newNetServer(fd sock.FD) netServer {
	ln, err := net.FileListener(os.NewFile(uintptr(fd), "listener"))
	fatal(err)
	go func() {
		for {
			c, err := ln.Accept()
			fatal(err)
			c.Close()
		}
	}()
	return netServer{}
}

func (netServer) do(string) status { return used() }

// used is what the process has used so far.
func used() (s status) {
	var u unix.Rusage
	fatal(unix.Getrusage(unix.RUSAGE_SELF, &u))
	s.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Mallocs = m.Mallocs
	return s
}

// fatal ends a child, which makes its parent's next command fail.
func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", strings.TrimSpace(err.Error()))
		os.Exit(1)
	}
}
