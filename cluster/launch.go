package cluster

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"onconn/sock"
)

// launch starts the process of w, whose first message already waits for it.
func (p *Primary) launch(w *Worker, env []string) (err error) {
	defer func() {
		if err != nil {
			for _, s := range p.kept {
				s.leave(w, true, false)
			}
			w.letGo()
		}
	}()
	cmd, err := p.command(w, env)
	if err != nil {
		return err
	}
	theirs, err := p.newLink(w)
	if err != nil {
		return err
	}
	defer theirs.Close()
	if w.board, err = newBoard(); err != nil {
		return err
	}
	read, write, err := newPipe()
	if err != nil {
		return err
	}
	defer write.Close()
	w.stderr = newRelay(read)
	cmd.err = write
	hello := message{Op: opHello, Version: protocolVersion, ID: w.ID, Drain: p.cfg.DrainTimeout}
	if err = w.channel.send(hello, w.board.file, p.bell, read, sock.FD(p.cfg.Stderr.Fd())); err != nil {
		return err
	}
	w.started = time.Now()
	if w.PID, w.pidfd, err = p.starter.start(cmd, theirs); err != nil {
		return err
	}
	p.relay(w.stderr)
	return nil
}

// relay runs a relay until it ends, or the primary.
func (p *Primary) relay(r *relay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.relays[r] = true
	go func() {
		r.run(p)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.relays, r)
	}()
}

// letGo closes what a worker has that was never started.
func (w *Worker) letGo() {
	if w.channel != nil {
		w.channel.close()
	}
	if w.board != nil {
		w.board.close()
	}
	if w.stderr != nil {
		w.stderr.close()
	}
}

// command is what a worker runs.
func (p *Primary) command(w *Worker, env []string) (command, error) {
	c := command{
		path: p.cfg.Exec, dir: p.cfg.Dir, id: w.ID,
		args: append([]string{p.cfg.Exec}, p.cfg.Args...),
		in:   p.null, out: p.cfg.Stdout, node: p.cfg.Node,
	}
	c.env = environment(os.Environ(), p.cfg.Env, env)
	if p.cfg.Node {
		writing, err := p.cfg.nodeWriting()
		if err != nil {
			return command{}, err
		}
		c.env = append(c.env, envNodeWriting+"="+string(writing))
	}
	if p.cfg.Mode == RoundRobin || p.cfg.Node {
		return c, nil
	}
	for i, s := range p.kept {
		fd, err := s.forListenFDs(w)
		if err != nil {
			return command{}, err
		}
		c.listen = append(c.listen, inherited{fd, fmt.Sprintf("listen%d", i)})
	}
	if p.notify != nil && len(c.listen) > 0 {
		c.env = append(c.env, "NOTIFY_SOCKET="+p.notify.Address())
	}
	return c, nil
}

// environment joins lists of variables, of which later ones win, without those
// that are for this process alone.
func environment(lists ...[]string) (env []string) {
	at := map[string]int{}
	for _, name := range ownVariables {
		at[name] = -1
	}
	for _, v := range slices.Concat(lists...) {
		name, _, _ := strings.Cut(v, "=")
		i, ok := at[name]
		switch {
		case !ok:
			at[name] = len(env)
			env = append(env, v)
		case i >= 0:
			env[i] = v
		}
	}
	return env
}
