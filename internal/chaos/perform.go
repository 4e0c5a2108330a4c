package chaos

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A performance is a script at work.
type performance struct {
	*director
	script      *script
	connections *atomic.Int64 // that clients have made
	effects     sync.WaitGroup

	mu      sync.Mutex
	events  map[Kind]int
	failed  []string // operations that returned an error
	skipped int
}

const (
	// patience is how long a step waits until it may begin: then it is left out.
	patience = 5 * time.Second
	// longestGap is when a step is due though there were not enough connections.
	longestGap = time.Second
	look       = time.Millisecond
)

// run performs until ctx is done, and returns when nothing of it goes on.
func (p *performance) run(ctx context.Context) {
	defer p.effects.Wait()
	for {
		e := p.script.next()
		if !p.pass(ctx, e.Gap) {
			return
		}
		victims, ok := p.admitted(ctx, e)
		if ctx.Err() != nil {
			if ok {
				p.stage.end(e, victims)
			}
			return
		}
		if !ok {
			p.skipped++
			p.stage.note(time.Now(), "skipped: %s", e.Kind)
			continue
		}
		p.mu.Lock()
		p.events[e.Kind]++
		p.mu.Unlock()
		p.effects.Go(func() { p.perform(e, victims) })
	}
}

// pass waits until clients have made some more connections.
func (p *performance) pass(ctx context.Context, gap int) bool {
	until := p.connections.Load() + int64(gap)
	tick := time.NewTicker(look)
	defer tick.Stop()
	for end := time.Now().Add(longestGap); p.connections.Load() < until && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return ctx.Err() == nil
}

// admitted waits until a step may begin.
func (p *performance) admitted(ctx context.Context, e step) (victims []int, ok bool) {
	late := time.After(patience)
	for {
		victims, ok, changed := p.stage.begin(e)
		if ok {
			return victims, true
		}
		select {
		case <-changed:
		case <-late:
			return nil, false
		case <-ctx.Done():
			return nil, false
		}
	}
}

// perform does a step, from begin to end.
func (p *performance) perform(e step, victims []int) {
	p.stage.note(time.Now(), "%s", e.describe(victims))
	err := p.do(e, victims)
	p.stage.note(time.Now(), "%s is done (%v)", e.describe(victims), err)
	if err != nil {
		p.mu.Lock()
		p.failed = append(p.failed, fmt.Sprintf("%s %s: %v", time.Now().Format(clock), e.describe(victims), err))
		p.mu.Unlock()
	}
	p.stage.end(e, victims)
}

func (p *performance) do(e step, victims []int) error {
	ask := func(c command) error {
		c.Workers = victims
		_, err := p.ask(c)
		return err
	}
	// lasting does one thing, and its opposite after a while. The second must
	// come whatever became of the first.
	lasting := func(on, off command) error {
		from := time.Now()
		err := ask(on)
		if on.Do == "limit" {
			p.stage.squeezed(from, time.Now())
		}
		time.Sleep(e.For)
		if again := ask(off); err == nil {
			err = again
		}
		return err
	}
	switch e.Kind {
	case Kill, KillAll:
		return ask(command{Do: "signal", Signal: syscall.SIGKILL})
	case Crash:
		return ask(command{Do: "order", Order: order{Do: "crash"}})
	case Exit:
		return ask(command{Do: "order", Order: order{Do: "exit"}})
	case Stop:
		return lasting(command{Do: "signal", Signal: syscall.SIGSTOP}, command{Do: "signal", Signal: syscall.SIGCONT})
	case Stall:
		err := ask(command{Do: "order", Order: order{Do: "stall", For: e.For}})
		time.Sleep(e.For)
		return err
	case Squeeze, SqueezePrimary:
		return lasting(command{Do: "limit", Limit: e.N}, command{Do: "limit"})
	case Reload:
		return ask(command{Do: "reload"})
	case Scale:
		return ask(command{Do: "scale", Scale: e.N})
	}
	return p.upgrade()
}

func (e step) describe(victims []int) string {
	switch e.Kind {
	case Stop, Stall:
		return fmt.Sprintf("%s worker %v for %v", e.Kind, victims, e.For)
	case Squeeze:
		return fmt.Sprintf("%s worker %v to %d descriptors for %v", e.Kind, victims, e.N, e.For)
	case SqueezePrimary:
		return fmt.Sprintf("%s to %d descriptors for %v", e.Kind, e.N, e.For)
	case Scale:
		return fmt.Sprintf("%s to %d", e.Kind, e.N)
	case Reload, Upgrade:
		return string(e.Kind)
	}
	return fmt.Sprintf("%s worker %v", e.Kind, victims)
}
