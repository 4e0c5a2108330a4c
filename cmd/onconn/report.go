package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"onconn/cluster"
)

// A report tells on standard output what the cluster does: a line each second,
// as text or as JSON.
type report struct {
	out     io.Writer
	flags   *runFlags
	primary *cluster.Primary
	stop    chan struct{}
	stopped sync.WaitGroup

	mu      sync.Mutex
	numReqs int64
	gone    int64 // connections that workers which have exited had got
}

func newReport(f *runFlags) *report {
	return &report{out: os.Stdout, flags: f, stop: make(chan struct{})}
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
	case cluster.Exited:
		r.gone += e.Worker.Stats().Accepted
	}
	if r.flags.json && !r.flags.quiet {
		r.eventJSON(e)
	}
}

func (r *report) eventJSON(e cluster.Event) {
	line := map[string]any{"time": time.Now(), "event": e.Kind.String(), "worker": e.Worker.ID, "pid": e.Worker.PID}
	if e.Addr != nil {
		line["network"], line["address"] = e.Addr.Network(), e.Addr.String()
	}
	if e.Kind == cluster.Exited {
		line["status"] = cluster.Describe(e.Status)
	}
	if e.Err != nil {
		line["error"] = e.Err.Error()
	}
	r.print(line)
}

// print writes a line of JSON.
func (r *report) print(line map[string]any) {
	json.NewEncoder(r.out).Encode(line)
}

// begin says where the cluster listens, and then each second what it did.
func (r *report) begin(p *cluster.Primary) {
	r.primary = p
	if r.flags.quiet {
		return
	}
	if !r.flags.json {
		r.banner()
	}
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

func (r *report) banner() {
	workers := r.primary.Workers()
	fmt.Fprintf(r.out, "onconn: primary %d, %d workers, mode %s, backlog %d\n", os.Getpid(), len(workers), r.flags.mode, r.flags.backlog)
	for _, a := range r.primary.Addrs() {
		fmt.Fprintf(r.out, "onconn: listening on %s\n", a)
		if len(r.flags.command) == 0 {
			fmt.Fprintf(r.out, "onconn: try %s\n", curl(a))
		}
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
		r.secondJSON(workers)
		return
	}
	var b strings.Builder
	if len(r.flags.command) == 0 {
		fmt.Fprintf(&b, "numReqs = %d", r.numReqs)
	} else {
		fmt.Fprintf(&b, "numConns = %d", r.conns(workers))
	}
	for _, w := range workers {
		s := w.Stats()
		if w.State() == cluster.StateStarting {
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

func (r *report) secondJSON(workers []*cluster.Worker) {
	all := make([]map[string]any, 0, len(workers))
	for _, w := range workers {
		s := w.Stats()
		all = append(all, map[string]any{"id": w.ID, "pid": w.PID, "state": w.State().String(),
			"accepted": s.Accepted, "active": s.Active})
	}
	line := map[string]any{"time": time.Now(), "numConns": r.conns(workers), "workers": all}
	if len(r.flags.command) == 0 {
		line["numReqs"] = r.numReqs
	}
	r.print(line)
}

// conns is how many connections the workers took.
func (r *report) conns(workers []*cluster.Worker) int64 {
	n := r.gone
	for _, w := range workers {
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
		line := map[string]any{"time": time.Now(), "event": "end", "numConns": r.gone}
		if len(r.flags.command) == 0 {
			line["numReqs"] = r.numReqs
		}
		r.print(line)
	case len(r.flags.command) == 0:
		fmt.Fprintf(r.out, "onconn: %d requests on %d connections\n", r.numReqs, r.gone)
	default:
		fmt.Fprintf(r.out, "onconn: %d connections\n", r.gone)
	}
}
