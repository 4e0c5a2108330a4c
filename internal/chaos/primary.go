package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
)

// primaryConfig is what the primary is told.
type primaryConfig struct {
	Mode    string
	Workers int
	Worker  workerConfig
	Args    []string
}

// A command is a line that the primary gets: what the script wants done.
type command struct {
	Seq     int
	Do      string // "signal", "order", "limit", "reload", "scale", "upgrade", "end"
	Workers []int  `json:",omitempty"` // by ID; none: the primary itself (limit)
	Signal  syscall.Signal
	Order   order
	Limit   int // of descriptors; 0: as before
	Scale   int
}

// A saying is a line that the primary writes.
type saying struct {
	Hello  netip.AddrPort // it runs: the first line, also after an upgrade
	Seq    int            // of the command that this answers
	Err    string
	Worker workerInfo // Event is about it
	Event  string     // forked, ready, exited
	Status string     // exited
	At     time.Time
	All    []workerInfo // that there are, with Hello and with an answer
}

// workerInfo is a worker as the judge knows it.
type workerInfo struct {
	ID, Slot, PID int
	Serving       bool
}

type primary struct {
	*cluster.Primary
	mu    sync.Mutex
	out   *json.Encoder
	ready map[int]bool // workers, by ID
}

// stableAfter is so short that a worker which the script ends is replaced at once
// as a rule: what is looked for isn't how a crash loop is braked.
const stableAfter = 100 * time.Millisecond

// primaryMain is the role of the primary. It ends with its standard input.
func primaryMain(cfg primaryConfig) error {
	p := &primary{out: json.NewEncoder(os.Stdout), ready: map[int]bool{}}
	mode, err := cluster.ParseMode(cfg.Mode)
	if err != nil {
		return err
	}
	env, err := roleEnv("worker", cfg.Worker)
	if err != nil {
		return err
	}
	p.Primary, err = cluster.New(cluster.Config{
		Workers: cfg.Workers, Mode: mode, Args: cfg.Args, Env: env, Stdout: os.Stderr,
		Listen: []cluster.Address{{Network: "tcp", Address: address}}, OnEvent: p.event, StableAfter: stableAfter,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	if err := p.Start(context.Background()); err != nil {
		return err
	}
	for _, w := range p.Workers() { // that the image before this one had
		if w.State() == cluster.StateOnline {
			p.setReady(w.ID)
		}
	}
	p.say(saying{Hello: netip.MustParseAddrPort(p.Addrs()[0].String()), All: p.all()})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return fmt.Errorf("a command: %w", err)
		}
		if c.Do == "end" {
			break
		}
		go p.obey(c)
	}
	p.end()
	return nil
}

// end drains. Workers that are stopped could not.
func (p *primary) end() {
	for _, w := range p.Workers() {
		w.Kill(syscall.SIGCONT)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*grace)
	defer cancel()
	p.Shutdown(ctx)
}

func (p *primary) say(s saying) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Encode(s)
}

func (p *primary) event(e cluster.Event) {
	s := saying{Event: e.Kind.String(), At: time.Now()}
	switch e.Kind {
	case cluster.Forked:
	case cluster.Ready:
		p.setReady(e.Worker.ID)
	case cluster.Exited:
		s.Status = cluster.Describe(e.Status)
	default:
		return
	}
	s.Worker = workerInfo{e.Worker.ID, e.Worker.Slot, e.Worker.PID, e.Kind == cluster.Ready}
	p.say(s)
}

func (p *primary) setReady(id int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready[id] = true
}

// all are the workers that there are, and whether they serve.
func (p *primary) all() (all []workerInfo) {
	workers := p.Workers()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range workers {
		all = append(all, workerInfo{w.ID, w.Slot, w.PID, p.ready[w.ID] && w.State() == cluster.StateOnline})
	}
	return all
}

func (p *primary) obey(c command) {
	s := saying{Seq: c.Seq}
	if err := p.do(c); err != nil {
		s.Err = err.Error()
	}
	s.All = p.all()
	p.say(s)
}

func (p *primary) do(c command) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch c.Do {
	case "reload":
		return p.Reload(ctx)
	case "scale":
		return p.Scale(ctx, c.Scale)
	case "upgrade":
		return p.Upgrade(ctx)
	case "limit":
		if len(c.Workers) == 0 {
			return limit(os.Getpid(), c.Limit)
		}
	}
	for _, w := range p.Workers() {
		for _, id := range c.Workers {
			if w.ID != id {
				continue
			}
			if err := p.doTo(w, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *primary) doTo(w *cluster.Worker, c command) error {
	switch c.Do {
	case "signal":
		return w.Kill(c.Signal)
	case "order":
		return w.Send(c.Order)
	case "limit":
		return limit(w.PID, c.Limit)
	}
	return fmt.Errorf("unknown command %q", c.Do)
}

// limit lowers the limit of descriptors of a process, or restores what every Go
// program has: as many as it may. An upgrade must not forget what was before.
func limit(pid, n int) error {
	var now unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &now)
	if err == nil {
		now.Cur = now.Max
		if n > 0 {
			now.Cur = uint64(n)
		}
		err = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &now, nil)
	}
	if errors.Is(err, unix.ESRCH) { // it has gone
		return nil
	}
	return os.NewSyscallError("prlimit", err)
}
