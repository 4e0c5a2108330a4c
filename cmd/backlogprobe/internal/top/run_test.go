package top

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
	"onconn/internal/testleak"
	"onconn/listen"
)

// A script answers every look with the same report, and every third with an
// error if it is to.
type script struct {
	looks  []time.Duration
	resets []int // before which look
	fails  bool
}

func (s *script) Look(ctx context.Context, d time.Duration) (*survey.Report, error) {
	s.looks = append(s.looks, d)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(d / 20):
	}
	if s.fails && len(s.looks)%3 == 0 {
		return nil, errors.New("the namespace has gone")
	}
	return made(), nil
}

func (s *script) Reset() { s.resets = append(s.resets, len(s.looks)) }

// child is what the test binary does in a terminal. It fails if anything goes on
// after Run.
func child() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGUSR1)
	defer stop()
	source, err := childSource(os.Getenv("TOP_TEST_CHILD"))
	if err == nil {
		err = Run(ctx, source, Options{Style: terminal.Style{Width: 80, Colour: true}, Filter: os.Getenv("TOP_TEST_FILTER"), Input: os.Stdin, Output: os.Stdout})
	}
	if s, ok := source.(*survey.Survey); ok {
		s.Close()
	}
	if err == nil {
		stop()
		err = goleak.Find(goleak.IgnoreTopFunction("os/signal.loop"))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func childSource(role string) (Source, error) {
	if role != "survey" {
		return &script{fails: role == "fails"}, nil
	}
	f, err := survey.ParseFilter(strings.Fields(os.Getenv("TOP_TEST_FILTER")))
	if err != nil {
		return nil, err
	}
	return survey.Open(survey.Options{Filter: f, Sum: true, Owners: true, Hurt: true, Accepts: true})
}

// A real survey of a real listener, whose queue fills while it is looked at.
func TestSurvey(t *testing.T) {
	testleak.FDs(t)
	ln, err := listen.Config{Backlog: 3}.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := newPTY(t, 80, 24)
	_, end := p.start("survey", "TOP_TEST_FILTER=sport = "+ln.Addr().String()[len("127.0.0.1"):])
	p.wait(0, "accept queue 0/4")
	before := len(p.written())
	for range 4 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	p.wait(before, "100%")
	p.press("\x1b", ">✗") // in the table, by a mark
	p.press("q", "\x1b[?1049l")
	if err := end(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// restored checks that a terminal is as it was before top.
func restored(t *testing.T, p *pty, before int) {
	t.Helper()
	p.wait(before, "\x1b[?1049l") // the main screen
	const cooked = unix.ICANON | unix.ECHO
	for end := time.Now().Add(10 * time.Second); p.termios().Lflag&cooked != cooked; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the terminal is left in raw mode")
		}
	}
}

// Keys that are typed into a real terminal. At the end it is as it was before.
func TestTerminal(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	t.Chdir(t.TempDir())
	p := newPTY(t, 80, 24)
	_, end := p.start("top")
	p.wait(0, "somaxconn 4096")
	p.press("\r", "WHO ACCEPTS")
	p.press("\x1b", "Send-Q") // Esc: the table
	p.press("h", "any key goes back")
	p.press("h", "Send-Q")
	p.press("/", "Enter apply")
	p.press("node\r", "1 of 4 listeners")
	p.press(" ", "PAUSED")
	p.press("w", "written: backlogprobe-20261122-140231.json")
	if _, err := os.Stat("backlogprobe-20261122-140231.json"); err != nil {
		t.Error(err)
	}
	p.press("r", "from the next second")
	before := len(p.written())
	p.resize(39, 9)
	p.wait(before, "too small")
	before = len(p.written())
	p.master.WriteString("q")
	restored(t, p, before)
	if err := end(); err != nil {
		t.Errorf("it ended with %v:\n%q", err, p.written()[before:])
	}
}

func TestWaysToEnd(t *testing.T) {
	for name, stop := range map[string]func(*pty, *os.Process){
		"Ctrl-C":  func(p *pty, _ *os.Process) { p.master.WriteString("\x03") },
		"SIGINT":  func(_ *pty, c *os.Process) { c.Signal(syscall.SIGINT) },
		"SIGTERM": func(_ *pty, c *os.Process) { c.Signal(syscall.SIGTERM) },
		"context": func(_ *pty, c *os.Process) { c.Signal(syscall.SIGUSR1) },
	} {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			p := newPTY(t, 80, 24)
			process, end := p.start("top")
			p.wait(0, "somaxconn 4096")
			before := len(p.written())
			stop(p, process)
			restored(t, p, before)
			if err := end(); err != nil {
				t.Errorf("it ended with %v:\n%q", err, p.written()[before:])
			}
		})
	}
}

// An error in sampling is shown, and passes.
func TestErrorPasses(t *testing.T) {
	testleak.FDs(t)
	p := newPTY(t, 80, 24)
	_, end := p.start("fails")
	p.wait(0, "the namespace has gone")
	p.wait(strings.LastIndex(p.written(), "the namespace has gone"), "run as root") // the usual note again
	p.press("q", "\x1b[?1049l")
	if err := end(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// Ctrl-Z gives the terminal back to the shell, and fg takes it again.
func TestSuspend(t *testing.T) {
	testleak.FDs(t)
	p := newPTY(t, 80, 24)
	process, end := p.start("top")
	p.wait(0, "somaxconn 4096")
	before := len(p.written())
	p.master.WriteString("\x1a")
	restored(t, p, before)
	before = len(p.written())
	// The leader of an orphaned group isn't stopped by SIGTSTP: it waits for a
	// SIGCONT by itself, and loses one that comes before it does.
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	woken := make(chan struct{})
	defer close(woken)
	go func() {
		for {
			select {
			case <-again.C:
				process.Signal(syscall.SIGCONT)
			case <-woken:
				return
			}
		}
	}()
	p.wait(before, "somaxconn 4096")
	p.press("q", "\x1b[?1049l")
	if err := end(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// The first screen comes at once, and each later look takes a second; after an
// error there is a pause.
func TestLook(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &script{fails: true}
	resets := make(chan struct{}, 1)
	var got []lookMsg
	begin := time.Now()
	look(ctx, s, resets, func(msg tea.Msg) {
		resets <- struct{}{}
		if got = append(got, msg.(lookMsg)); len(got) == 4 {
			cancel()
		}
	})
	if want := []time.Duration{0, refresh, refresh, refresh}; !slices.Equal(s.looks, want) {
		t.Errorf("the looks took %v, want %v", s.looks, want)
	}
	if want := []int{1, 2, 3}; !slices.Equal(s.resets, want) {
		t.Errorf("resets before looks %v, want %v", s.resets, want)
	}
	if got[0].report == nil || got[2].err == nil || got[3].err != nil {
		t.Errorf("it sent %v", got)
	}
	if d := time.Since(begin); d < refresh {
		t.Errorf("after an error it looked again at once: all took %v", d)
	}
}
