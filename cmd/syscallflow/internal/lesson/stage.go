package lesson

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/session"
	"onconn/cmd/syscallflow/internal/tracer"
)

// patience is how long a program may take to answer.
const patience = 8 * time.Second

// A stage is a server of ours that runs, and is told what to do.
type stage struct {
	in    *os.File
	to    *os.File
	out   *bufio.Reader
	stop  context.CancelFunc
	ended chan struct{}
	err   error // valid when ended

	recording *recording.Recording // valid when ended; nil: not traced
	asked     []recording.Request
	failed    error // the first thing that went wrong
}

// start starts a role. A traced one is recorded, with the packets where we may.
func start(ctx context.Context, traced bool, role string, args ...string) (*stage, error) {
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		inRead.Close()
		inWrite.Close()
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	s := &stage{in: inWrite, to: outRead, out: bufio.NewReader(outRead), stop: stop, ended: make(chan struct{})}
	command := append([]string{self(), rolePrefix + role}, args...)
	run := func() { s.err = plain(ctx, command, inRead, outWrite) }
	if traced {
		run = func() {
			result, err := session.Record(ctx, session.Config{
				Command: tracer.Command{Args: command, Stdin: inRead, Stdout: outWrite},
				Waits:   true, Packets: true, Grace: time.Second,
			})
			s.recording, s.err = result.Recording, err
		}
	}
	go func() {
		defer close(s.ended)
		run()
		inRead.Close()
		outWrite.Close()
	}()
	return s, nil
}

// plain runs a program that isn't traced.
func plain(ctx context.Context, command []string, in, out *os.File) error {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = in, out, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(unix.SIGTERM) }
	c.WaitDelay = time.Second
	return c.Run()
}

// tell has the server make a call, and returns its value, or the name of the errno as
// an error. Once something has gone wrong that is no call's doing, nothing more is told.
func (s *stage) tell(format string, values ...any) (string, error) {
	if s.failed != nil {
		return "", s.failed
	}
	line := fmt.Sprintf(format, values...)
	if _, err := fmt.Fprintln(s.in, line); err != nil {
		return "", s.fail(line, err)
	}
	text, err := s.hear()
	if err != nil {
		return "", s.fail(line, err)
	}
	value, ok := strings.CutPrefix(text, "ok")
	if !ok {
		return "", errno(text)
	}
	return strings.TrimSpace(value), nil
}

func (s *stage) fail(line string, err error) error {
	s.failed = fmt.Errorf("the server, told %q: %w", line, err)
	return s.failed
}

// hear waits for a line of the program.
func (s *stage) hear() (string, error) {
	s.to.SetReadDeadline(time.Now().Add(patience))
	text, err := s.out.ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = errors.New("it has ended")
	}
	return strings.TrimSpace(text), err
}

// must is tell for calls without which there is no lesson.
func (s *stage) must(format string, values ...any) string {
	value, err := s.tell(format, values...)
	if err != nil && s.failed == nil {
		s.fail(fmt.Sprintf(format, values...), err)
	}
	return value
}

// mustNumber is must for the first number that is answered.
func (s *stage) mustNumber(format string, values ...any) int {
	first, _, _ := strings.Cut(s.must(format, values...), " ")
	n, err := strconv.Atoi(first)
	if err != nil && s.failed == nil {
		s.fail(fmt.Sprintf(format, values...), err)
	}
	return n
}

// listener makes a socket that listens on a free port.
func (s *stage) listener(backlog int, options ...string) (fd, port int) {
	fd = s.mustNumber("socket")
	for _, o := range options {
		s.must("%s %d", o, fd)
	}
	port = s.mustNumber("bind %d 0", fd)
	s.must("listen %d %d", fd, backlog)
	return fd, port
}

// end lets the program end, and waits for that.
func (s *stage) end() (*recording.Recording, error) {
	s.in.Close()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.stop()
		<-s.ended
	}
	s.stop()
	s.to.Close()
	if s.recording != nil {
		for _, q := range s.asked {
			began := recording.Time(s.recording.Began.UnixNano())
			q.Begin, q.End = q.Begin-began, q.End-began
			s.recording.Requests = append(s.recording.Requests, q)
		}
		rename(s.recording)
	}
	return s.recording, errors.Join(s.failed, s.err)
}

// rename calls our programs by what they are, instead of all by the name of this one.
func rename(r *recording.Recording) {
	for i := range r.Processes {
		p := &r.Processes[i]
		if len(p.Args) > 1 && strings.HasPrefix(p.Args[1], rolePrefix) {
			p.Name = strings.TrimPrefix(p.Args[1], rolePrefix)
		}
	}
}

// An errno is the name of one.
type errno string

func (e errno) Error() string { return string(e) }

// outcome is what a call ended with: "ok", or the name of the errno.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if name, ok := errors.AsType[errno](err); ok {
		return string(name)
	}
	if number, ok := errors.AsType[unix.Errno](err); ok {
		return unix.ErrnoName(number)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return "no answer"
	}
	if errors.Is(err, io.EOF) {
		return "end"
	}
	return err.Error()
}
