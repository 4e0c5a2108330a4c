package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/bench/load"
	"onconn/internal/bench/peer"
)

// A bench is one call of the command.
type bench struct {
	rounds   int
	window   time.Duration // 0: that of the table, or half a second
	idle     int           // at most so many idle connections; 0: the table's
	servers  unix.CPUSet
	clients  unix.CPUSet
	progress func(format string, args ...any)
	pace     pace

	commands map[string]peer.Command // of peers that could be had
	missing  map[string]error
}

// A Run is what was measured for a table once.
type Run struct {
	Windows []Window
	Bytes   map[string][]float64 // of Memory: user memory for an idle connection, by server
	Rate    float64              // of Half
	Missing map[string]string    // servers that this machine can't have
	Broken  string               // why it ended early; then it has no say
}

// get builds or finds the peers of the tables in dir.
func (b *bench) get(ctx context.Context, tables []Table, dir string) error {
	b.commands, b.missing = map[string]peer.Command{}, map[string]error{}
	for _, p := range peer.All() {
		if !slices.ContainsFunc(tables, func(t Table) bool { return slices.Contains(t.Servers, p.Name) }) {
			continue
		}
		b.progress("building %s", p.Name)
		command, err := p.Get(ctx, dir)
		switch {
		case err == nil:
			b.commands[p.Name] = command
		case errors.Is(err, peer.ErrMissing):
			b.missing[p.Name] = err
		default:
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}

// roundsOf is how often each server of a table is measured: where nothing takes turns,
// a median of three will do.
func (b *bench) roundsOf(t Table) int {
	if t.Memory {
		return min(b.rounds, 3)
	}
	return b.rounds
}

func (b *bench) idleOf(t Table) int {
	if b.idle > 0 {
		return min(b.idle, t.Idle)
	}
	return t.Idle
}

// run measures a table.
func (b *bench) run(ctx context.Context, t Table) (*Run, error) {
	r := &Run{Missing: map[string]string{}}
	if t.Memory {
		return r, b.runMemory(ctx, t, r)
	}
	running, stop, err := b.startAll(ctx, t, r)
	defer stop()
	if err != nil || len(running) == 0 {
		return r, err
	}
	cfg := t.Load
	cfg.For = t.Window
	if cfg.For == 0 {
		cfg.For = 500 * time.Millisecond
	}
	if b.window > 0 {
		cfg.For = b.window
	}
	warm := cfg
	if t.Half {
		warm.InFlight = inFlight
	}
	slowest := 0.0
	for _, s := range running { // warm up, and see what each can do
		b.step("%s: %s warms up", t.Name, s.name)
		w, err := b.quiet(ctx, s, warm)
		if err != nil {
			return r, err
		}
		if slowest == 0 || w.PerSecond < slowest {
			slowest = w.PerSecond
		}
	}
	if t.Half {
		cfg.Rate = max(slowest/2, 1)
		r.Rate = cfg.Rate
	}
	if b.window == 0 {
		cfg.For = long(cfg, slowest)
	}
	for round := range b.rounds {
		for i := range running {
			s := running[i]
			if round%2 == 1 { // so that none always comes after the same one
				s = running[len(running)-1-i]
			}
			b.step("%s: round %d of %d, %s", t.Name, round+1, b.rounds, s.name)
			w, err := b.quiet(ctx, s, cfg)
			if err != nil {
				return r, err
			}
			w.Round = round
			r.Windows = append(r.Windows, w)
		}
	}
	return r, nil
}

// long is a window in which the slowest server has enough connections, 5 s at most.
func long(cfg load.Config, slowest float64) time.Duration {
	if cfg.Rate > 0 {
		slowest = cfg.Rate
	}
	const enough, limit = 500, 5 * time.Second
	if slowest*limit.Seconds() < enough {
		return max(cfg.For, limit)
	}
	return max(cfg.For, time.Duration(enough/slowest*float64(time.Second)))
}

// startAll starts the servers of a table that can be had, and the clients of their idle
// connections. stop ends them, also after an error.
func (b *bench) startAll(ctx context.Context, t Table, r *Run) (running []*server, stop func(), err error) {
	var holds []func()
	stop = func() {
		for _, release := range holds {
			release()
		}
		for _, s := range running {
			s.stop()
		}
	}
	for _, name := range t.Servers {
		s, err := b.startOne(ctx, t, name, r)
		if err != nil {
			return running, stop, err
		}
		if s == nil {
			continue
		}
		running = append(running, s)
		if n := b.idleOf(t); n > 0 {
			b.progress("%s: %d connections to %s", t.Name, n, name)
			release, err := b.hold(s, n, true)
			if err != nil {
				return running, stop, fmt.Errorf("%s: %w", name, err)
			}
			holds = append(holds, release)
		}
	}
	return running, stop, nil
}

// startOne starts a server; nil: this machine can't have it.
func (b *bench) startOne(ctx context.Context, t Table, name string, r *Run) (*server, error) {
	if err := b.missing[name]; err != nil {
		r.Missing[name] = err.Error()
		return nil, nil
	}
	command := b.commands[name]
	if command == nil {
		return nil, fmt.Errorf("table %s has a server %q that there is not", t.Name, name)
	}
	return start(ctx, name, command, t.Workers, b.servers)
}

// hold has another process open n connections and keep them until release.
func (b *bench) hold(s *server, n int, ask bool) (release func(), err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "hold", s.addr, strconv.Itoa(n), strconv.FormatBool(ask))
	said := new(tail)
	cmd.Stderr = said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(cmd, b.clients); err != nil {
		return nil, err
	}
	release = func() {
		in.Close()
		cmd.Wait()
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		release()
		return nil, fmt.Errorf("idle connections: %w: %s", err, said)
	}
	return release, nil
}
