package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"onconn/cluster"
	"onconn/cluster/control"
	"onconn/internal/cli"
	"onconn/internal/words"
)

// A report tells on standard output what the cluster does: a line each second,
// as text or as JSON.
type report struct {
	out     *output
	err     io.Writer // what goes wrong
	flags   *runFlags
	primary *cluster.Primary
	stop    chan struct{}
	stopped sync.WaitGroup

	mu       sync.Mutex
	numReqs  int64
	ready    map[int]bool // slots that had a ready worker, at the start
	started  bool         // all had
	upgraded bool
	living   map[*cluster.Worker]bool // until their exit is told
	gone     int64                    // connections that the others had got
}

func newReport(f *runFlags) *report {
	return &report{out: newOutput(os.Stdout), flags: f, stop: make(chan struct{}), living: map[*cluster.Worker]bool{}, ready: map[int]bool{}}
}

// event is called for each of the cluster's.
func (r *report) event(e cluster.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case cluster.Messaged:
		var m notifyRequest
		if json.Unmarshal(e.Data, &m) == nil && m.Cmd == "notifyRequest" {
			r.numReqs += m.N
		}
		return
	case cluster.Forked:
		r.living[e.Worker] = true
	case cluster.Exited:
		delete(r.living, e.Worker)
		r.gone += e.Worker.Stats().Accepted
	case cluster.Ready:
		r.isReady(e.Worker)
	}
	if r.flags.json && !r.flags.quiet {
		r.eventJSON(e)
	}
}

// isReady tells when all workers are, and after that each new one. Hangs and
// crash loops are told by the log.
func (r *report) isReady(w *cluster.Worker) {
	r.ready[w.Slot] = true
	if r.started && !r.flags.json && !r.flags.quiet {
		fmt.Fprintf(r.out, "onconn: worker %d (pid %d) is ready\n", w.ID, w.PID)
	}
	r.areReady()
}

func (r *report) areReady() {
	if r.started || r.primary == nil || len(r.ready) < r.primary.Status().Target {
		return
	}
	r.started = true
	if !r.flags.json && !r.flags.quiet {
		fmt.Fprintf(r.out, "onconn: %s ready\n", all(len(r.ready)))
	}
}

func all(workers int) string {
	if workers == 1 {
		return "the worker is"
	}
	return fmt.Sprintf("all %d workers are", workers)
}

func stay(workers int) string {
	if workers == 1 {
		return "the worker stays"
	}
	return fmt.Sprintf("%d workers stay", workers)
}

// eventLine is an event as a line of JSON.
type eventLine struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"`
	Worker  int       `json:"worker"`
	PID     int       `json:"pid"`
	Network string    `json:"network,omitempty"` // listening
	Address string    `json:"address,omitempty"`
	Status  string    `json:"status,omitempty"` // exited, crash loop
	Stderr  string    `json:"stderr,omitempty"`
	Crashes int       `json:"crashes,omitempty"` // crash loop: in a row
	Error   string    `json:"error,omitempty"`   // disconnected
}

// countLine is a second, or the end, as a line of JSON.
type countLine struct {
	Time     time.Time    `json:"time"`
	Event    string       `json:"event"` // "second" or "end"
	NumReqs  *int64       `json:"numReqs,omitempty"`
	NumConns int64        `json:"numConns"`
	Workers  []workerLine `json:"workers,omitempty"`
}

type workerLine struct {
	ID       int    `json:"id"`
	PID      int    `json:"pid"`
	State    string `json:"state"`
	Accepted int64  `json:"accepted"`
	Active   int64  `json:"active"`
}

func (r *report) eventJSON(e cluster.Event) {
	line := eventLine{Time: time.Now(), Event: e.Kind.String(), Worker: e.Worker.ID, PID: e.Worker.PID}
	if e.Addr != nil {
		line.Network, line.Address = e.Addr.Network(), e.Addr.String()
	}
	if e.Kind == cluster.Exited || e.Kind == cluster.CrashLoop {
		line.Status = cluster.Describe(e.Status)
	}
	line.Stderr, line.Crashes = e.Stderr, e.Crashes
	if e.Err != nil {
		line.Error = e.Err.Error()
	}
	r.print(line)
}

// print writes a line of JSON.
func (r *report) print(line any) { json.NewEncoder(r.out).Encode(line) }

// begin says where the cluster listens, and then each second what it did.
func (r *report) begin(p *cluster.Primary, c *control.Server) {
	r.mu.Lock()
	r.primary = p
	r.upgraded = p.Status().Upgrades > 0
	if r.upgraded { // the workers are from before, and are ready
		r.started = true
		for _, w := range p.Workers() {
			r.living[w] = true
			r.gone -= w.Stats().Accepted // all counts begin anew
		}
	}
	r.mu.Unlock()
	steering := r.flags.steering.line(p.Status().Listeners)
	if r.flags.quiet {
		if steering != nil && steering.Wanted != "" {
			fmt.Fprintf(r.err, "onconn: %v\n", steering)
		}
		return
	}
	switch {
	case !r.flags.json:
		r.banner(c, steering)
	case steering != nil:
		r.print(steering)
	}
	r.mu.Lock()
	r.areReady()
	r.mu.Unlock()
	r.stopped.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.second()
			case <-r.stop:
				return
			}
		}
	})
	for _, w := range p.Workers() {
		go r.unaware(w)
	}
}

func (r *report) banner(c *control.Server, steering *steeringLine) {
	workers := r.primary.Workers()
	if r.upgraded {
		fmt.Fprintf(r.out, "onconn: upgraded, version %s, %s; counts begin anew\n", cli.Version(), stay(len(workers)))
	} else {
		fmt.Fprintf(r.out, "onconn: primary %d, %s, mode %s, backlog %d\n", os.Getpid(), words.Count(len(workers), "worker"), r.flags.mode, r.flags.backlog)
	}
	if steering != nil {
		fmt.Fprintf(r.out, "onconn: %v\n", steering)
	}
	if r.upgraded {
		return
	}
	for _, a := range r.primary.Addrs() {
		fmt.Fprintf(r.out, "onconn: listening on %s\n", a)
		if len(r.flags.command) == 0 {
			fmt.Fprintf(r.out, "onconn: try %s\n", curl(a))
		}
	}
	switch {
	case r.flags.control != "" && c != nil:
		fmt.Fprintf(r.out, "onconn: onconn status --control %s shows the workers; reload, scale N and upgrade change them\n", c.Path())
	case c != nil:
		fmt.Fprintf(r.out, "onconn: onconn status %d shows the workers; reload, scale N and upgrade change them\n", os.Getpid())
	}
	fmt.Fprintln(r.out, "onconn: Ctrl-C drains and exits")
}

// curl is a command that asks the demo on a.
func curl(a net.Addr) string {
	switch a := a.(type) {
	case *net.TCPAddr:
		host := a.IP.String()
		if a.IP.IsUnspecified() {
			host = "localhost"
		}
		return "curl http://" + net.JoinHostPort(host, fmt.Sprint(a.Port)) + "/"
	case *net.UnixAddr:
		if name, ok := strings.CutPrefix(a.Name, "@"); ok {
			return "curl --abstract-unix-socket " + name + " http://localhost/"
		}
		return "curl --unix-socket " + a.Name + " http://localhost/"
	}
	return "a client"
}

// second prints the line of a second.
func (r *report) second() {
	r.mu.Lock()
	defer r.mu.Unlock()
	workers := r.primary.Workers()
	if r.flags.json {
		r.countJSON("second", workers)
		return
	}
	if !slices.ContainsFunc(workers, counts) {
		return
	}
	var b strings.Builder
	if len(r.flags.command) == 0 {
		fmt.Fprintf(&b, "numReqs = %d", r.numReqs)
	} else {
		fmt.Fprintf(&b, "numConns = %d", r.conns())
	}
	for _, w := range workers {
		s := w.Stats()
		if !counts(w) {
			fmt.Fprintf(&b, "  #%d -", w.ID)
			continue
		}
		fmt.Fprintf(&b, "  #%d %d", w.ID, s.Accepted)
		if s.Active > 0 {
			fmt.Fprintf(&b, " (%d open)", s.Active)
		}
	}
	fmt.Fprintln(r.out, b.String())
}

func (r *report) countJSON(event string, workers []*cluster.Worker) {
	line := countLine{Time: time.Now(), Event: event, NumConns: r.conns()}
	if len(r.flags.command) == 0 {
		line.NumReqs = &r.numReqs
	}
	for _, w := range workers {
		s := w.Stats()
		line.Workers = append(line.Workers, workerLine{w.ID, w.PID, w.State().String(), s.Accepted, s.Active})
	}
	r.print(line)
}

// counts reports whether the worker counts its connections: a program that knows
// only LISTEN_FDS doesn't.
func counts(w *cluster.Worker) bool { return w.State() != cluster.StateStarting }

// conns is how many connections all workers together took.
func (r *report) conns() int64 {
	n := r.gone
	for w := range r.living {
		n += w.Stats().Accepted
	}
	return n
}

// awareAfter is how long a program may take until it asks for a listener.
const awareAfter = 5 * time.Second

// unaware tells what is wrong with a worker in rr mode that never asks for a
// listener: nothing would ever be handed to it.
func (r *report) unaware(w *cluster.Worker) {
	if r.flags.mode != "rr" || len(r.flags.command) == 0 {
		return
	}
	select {
	case <-w.Done():
	case <-r.stop:
	case <-time.After(awareAfter):
		if w.State() == cluster.StateStarting {
			fmt.Fprintf(os.Stderr, "onconn: worker %d (pid %d) has not called cluster.Listen yet, so it gets no connections in rr mode; "+
				"for a program that knows only LISTEN_FDS use --mode shared or reuseport with --listen\n", w.ID, w.PID)
		}
	}
}

// end stops the lines; draining begins.
func (r *report) end() {
	close(r.stop)
	r.stopped.Wait()
	if !r.flags.quiet && !r.flags.json {
		fmt.Fprintln(r.out, "onconn: draining, Ctrl-C again to stop at once")
	}
}

// close says the last word.
func (r *report) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.flags.quiet:
	case r.flags.json:
		r.countJSON("end", nil)
	case len(r.flags.command) == 0:
		fmt.Fprintf(r.out, "onconn: %d requests on %d connections\n", r.numReqs, r.gone)
	case r.gone > 0:
		fmt.Fprintf(r.out, "onconn: %d connections\n", r.gone)
	}
}
