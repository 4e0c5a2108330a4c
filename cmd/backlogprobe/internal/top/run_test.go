package top

import (
	"context"
	"errors"
	"fmt"
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
)

// A script answers every look with the same report, and every third with an
// error if it is to.
type script struct {
	looks []time.Duration
	fails bool
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

func (s *script) Reset() {}

// child is what the test binary does in a terminal. It fails if anything goes on
// after Run.
func child() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGUSR1)
	defer stop()
	style := terminal.Style{Width: 80, Colour: true}
	err := Run(ctx, &script{fails: os.Getenv("TOP_TEST_CHILD") == "fails"}, Options{Style: style, Input: os.Stdin, Output: os.Stdout})
	if err == nil {
		stop()
		err = goleak.Find(goleak.IgnoreTopFunction("os/signal.loop"), goleak.IgnoreTopFunction("os/signal.signal_recv"))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// restored checks that a terminal is as it was before top.
func restored(t *testing.T, p *pty, before int) {
	t.Helper()
	p.wait(before, "\x1b[?1049l") // the main screen
	if on := uint32(unix.ICANON | unix.ECHO); p.termios().Lflag&on != on {
		t.Error("the terminal is left in raw mode")
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
	p.press("/node", "filter: node_")
	p.press("\r", "1 of 4 listeners")
	p.press(" ", "PAUSED")
	p.press("w", "written: backlogprobe-20261122-140231.json")
	if _, err := os.Stat("backlogprobe-20261122-140231.json"); err != nil {
		t.Error(err)
	}
	p.press("r", "count from now")
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
	// The leader of an orphaned group isn't stopped by SIGTSTP: it goes on by itself.
	process.Signal(syscall.SIGCONT)
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
	var got []lookMsg
	begin := time.Now()
	look(ctx, s, func(msg tea.Msg) {
		if got = append(got, msg.(lookMsg)); len(got) == 4 {
			cancel()
		}
	})
	if want := []time.Duration{0, refresh, refresh, refresh}; !slices.Equal(s.looks, want) {
		t.Errorf("the looks took %v, want %v", s.looks, want)
	}
	if got[0].report == nil || got[2].err == nil || got[3].err != nil {
		t.Errorf("it sent %v", got)
	}
	if d := time.Since(begin); d < refresh {
		t.Errorf("after an error it looked again at once: all took %v", d)
	}
}
