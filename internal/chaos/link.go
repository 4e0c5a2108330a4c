package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// A link is the judge's connection to a process that it started: lines of JSON
// in both directions. The process ends when its standard input does.
type link struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.ReadCloser
}

// start runs this program again in a role. A terminal's Ctrl-C isn't for it.
func start(role string, config any, args []string, stderr io.Writer) (*link, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	env, err := roleEnv(role, config)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // a worker that outlives all has standard error
	l := &link{cmd: cmd}
	if l.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if l.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("the %s: %w", role, err)
	}
	return l, nil
}

// end closes its input and waits until it has ended, at most for patience: then
// it is killed.
func (l *link) end(patience time.Duration) error {
	l.in.Close()
	defer time.AfterFunc(patience, func() { l.cmd.Process.Kill() }).Stop()
	io.Copy(io.Discard, l.out)
	return l.cmd.Wait()
}

// A director has the primary do what the script wants, one command at a time or
// several.
type director struct {
	*link
	stage *stage
	hello chan netip.AddrPort // from each image of the primary
	gone  chan struct{}       // closed: it says nothing more

	gate    sync.RWMutex // held for writing by an upgrade: nothing may be said meanwhile
	mu      sync.Mutex
	seq     int
	answers map[int]chan saying
}

func newDirector(l *link, s *stage) *director {
	d := &director{link: l, stage: s, hello: make(chan netip.AddrPort, 1), gone: make(chan struct{}), answers: map[int]chan saying{}}
	go d.listen()
	return d
}

func (d *director) listen() {
	defer close(d.gone)
	lines := bufio.NewScanner(d.out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s saying
		if json.Unmarshal(lines.Bytes(), &s) != nil {
			continue
		}
		switch {
		case s.Hello.IsValid():
			d.stage.meet(s.All, time.Now())
			d.hello <- s.Hello
		case s.Event != "":
			d.stage.hear(s)
		default:
			d.stage.update(s.All)
			d.mu.Lock()
			answer := d.answers[s.Seq]
			delete(d.answers, s.Seq)
			d.mu.Unlock()
			if answer != nil {
				answer <- s
			}
		}
	}
}

var errPrimaryGone = errors.New("the primary has ended")

// ask gives a command and waits for the answer.
func (d *director) ask(c command) (saying, error) {
	d.gate.RLock()
	defer d.gate.RUnlock()
	answer, err := d.tell(c)
	if err != nil {
		return saying{}, err
	}
	select {
	case s := <-answer:
		return s, s.err()
	case <-d.gone:
		return saying{}, errPrimaryGone
	}
}

func (d *director) tell(c command) (<-chan saying, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	c.Seq = d.seq
	answer := make(chan saying, 1)
	d.answers[c.Seq] = answer
	line, err := json.Marshal(c)
	if err == nil {
		_, err = d.in.Write(append(line, '\n'))
	}
	return answer, err
}

func (s saying) err() error {
	if s.Err != "" {
		return errors.New(s.Err)
	}
	return nil
}

// upgrade has the primary replace itself. The new image says hello; an answer
// tells why there is none.
func (d *director) upgrade() error {
	d.gate.Lock()
	defer d.gate.Unlock()
	answer, err := d.tell(command{Do: "upgrade"})
	if err != nil {
		return err
	}
	select {
	case s := <-answer:
		return s.err()
	case <-d.hello:
		return nil
	case <-d.gone:
		return errPrimaryGone
	}
}

// awaitHello returns the address on which the primary listens.
func (d *director) awaitHello(ctx context.Context) (netip.AddrPort, error) {
	select {
	case a := <-d.hello:
		return a, nil
	case <-d.gone:
		return netip.AddrPort{}, errPrimaryGone
	case <-ctx.Done():
		return netip.AddrPort{}, ctx.Err()
	}
}
