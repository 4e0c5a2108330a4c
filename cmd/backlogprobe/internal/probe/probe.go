package probe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"onconn/backlog"
	"onconn/sock"
)

// Options bound a probe.
type Options struct {
	Target        Target
	StopAccepting bool                  // stop the server for the measurement of its capacity
	Burst         int                   // clients within a second; 0: none
	Max           int                   // connections open at the same time
	Wait          time.Duration         // for clients who were refused
	Reset         bool                  // close with RST: no TIME_WAIT, and errors in the server's log
	Progress      func(float64, string) // may be nil
}

// A run is a probe under way.
type run struct {
	Options
	report  *Report
	view    *view // nil: hidden
	before  backlog.Counters
	drops   int // of the listener before
	syns    int // of ours that were dropped
	clients int // of ours that were refused once or more
}

// Connect measures by connecting, which takes no rights but those to stop the
// server. When ctx ends, it reports what it has measured so far. The server
// resumes and all connections are closed when it returns, and also if the
// process is killed meanwhile.
func Connect(ctx context.Context, o Options) (*Report, error) {
	r, err := begin(o)
	if err != nil {
		return nil, err
	}
	defer r.view.close()
	if o.StopAccepting {
		err = r.stopAndFill(ctx)
	}
	if err == nil && o.Burst > 0 && ctx.Err() == nil {
		err = r.burst(ctx)
	}
	if err != nil && r.report.Capacity == nil && r.report.Burst == nil {
		return nil, err
	}
	r.end(ctx)
	return r.report, err
}

// Look reads what the kernel shows of the listener, and sends nothing. It is nil
// with the reason if that is hidden.
func Look(t Target) (*ListenerFacts, error) {
	r, err := begin(Options{Target: t})
	if err != nil {
		return nil, err
	}
	r.view.close()
	if r.view == nil {
		err = errors.New(r.report.UnknownWhy["listener"])
	}
	return r.report.Listener, err
}

// begin reads what the kernel shows before anything is sent.
func begin(o Options) (*run, error) {
	if o.Progress == nil {
		o.Progress = func(float64, string) {}
	}
	r := &run{Options: o, report: &Report{Schema: Schema, Time: time.Now(), Target: o.Target.Addr.String()}}
	v, err := look(o.Target)
	switch {
	case err == nil:
	case !errors.Is(err, errHidden) && !errors.Is(err, errForeign):
		return nil, err
	default:
		r.report.unknown("listener", err.Error())
		r.report.unknown("counters", err.Error())
		return r, nil
	}
	r.view = v
	if err := r.facts(); err != nil {
		v.close()
		return nil, err
	}
	return r, nil
}

func (r *run) facts() error {
	state, err := r.view.now()
	if err != nil {
		return err
	}
	sysctls, err := r.view.ns.Sysctls()
	if err != nil {
		return err
	}
	if r.before, err = r.view.ns.Counters(); err != nil {
		return err
	}
	r.drops = state.drops
	first := r.view.members[0]
	r.report.Listener = &ListenerFacts{
		Local: first.Addr.String(), MPTCP: first.MPTCP, Members: len(r.view.members),
		Limit: state.capacity - len(r.view.members), Promised: state.capacity,
		Depth: state.depth, Drops: state.drops, Sysctls: sysctls, Owners: r.owners(),
	}
	if state.depth >= state.capacity {
		r.note("the queue was full before the probe began")
	}
	return nil
}

func (r *run) note(format string, args ...any) {
	r.report.Notes = append(r.report.Notes, fmt.Sprintf(format, args...))
}

// owners finds the processes of all members, each once.
func (r *run) owners() []Owner {
	var inodes []uint32
	for _, m := range r.view.members {
		inodes = append(inodes, m.Inode)
	}
	var find backlog.Owners
	var found []Owner
	for _, list := range find.Find(inodes) {
		for _, o := range list {
			if one := (Owner{o.PID, o.Command}); o.PID != 0 && !slices.Contains(found, one) {
				found = append(found, one)
			}
		}
	}
	slices.SortFunc(found, func(a, b Owner) int { return a.PID - b.PID })
	if found == nil {
		r.report.unknown("listener.owners", "held by processes of other users, or of another pid namespace: run as root")
	}
	return found
}

// bound is how many connections may be open at the same time.
func (r *run) bound() int { return min(r.Max, maxConnections()) }

// tally adds up what the clients of a dialer met, who must not be closed yet.
func (r *run) tally(d *dialer) {
	d.finish()
	for _, a := range d.attempts {
		dropped := a.syns - 1
		if !a.done {
			dropped = a.syns
		}
		r.syns += max(0, dropped)
		if !a.connected() || dropped > 0 {
			r.clients++
		}
	}
}

// end reads the counters again and grades.
func (r *run) end(ctx context.Context) {
	r.report.Took = time.Since(r.report.Time)
	r.report.Interrupted = ctx.Err() != nil
	if r.view != nil {
		r.count()
	}
	r.report.grade()
}

// count puts the counters of the namespace beside those of the listener and
// what we know that we had refused.
func (r *run) count() {
	if r.Target.Addr.Family() == sock.Unix {
		r.report.unknown("counters", "unix sockets don't count whom they refuse")
		return
	}
	after, err := r.view.ns.Counters()
	state, err2 := r.view.now()
	if err := errors.Join(err, err2); err != nil {
		r.report.unknown("counters", err.Error())
		return
	}
	if state.gone {
		r.report.unknown("counters", "the listener was closed meanwhile, and its count of drops with it")
		return
	}
	delta := after.Sub(r.before)
	c := &Counters{
		ListenOverflows: delta["TcpExtListenOverflows"],
		ListenDrops:     delta["TcpExtListenDrops"],
		SyncookiesSent:  delta["TcpExtSyncookiesSent"],
		ReqQFullDrop:    delta["TcpExtTCPReqQFullDrop"],
		Listener:        int(uint32(state.drops - r.drops)),
		SYNs:            r.syns,
		Clients:         r.clients,
	}
	c.compare()
	r.report.Counters = c
}

func (c *Counters) compare() {
	drops := int(c.ListenDrops)
	switch {
	case drops > c.Listener:
		c.Why = fmt.Sprintf("%d more in the namespace: other listeners refused clients too", drops-c.Listener)
	case c.Listener > drops:
		c.Why = fmt.Sprintf("%d more at the listener: a refused final ACK counts twice there, and stray segments count too", c.Listener-drops)
	case drops > c.SYNs:
		c.Why = fmt.Sprintf("%d more than we know of: of other clients, retries while we counted, or final ACKs, whose clients think they are connected", drops-c.SYNs)
	case drops < c.SYNs:
		c.Why = fmt.Sprintf("%d of our SYNs never reached the listener: a firewall, or the network", c.SYNs-drops)
	}
	c.Agree = c.Why == ""
	if c.Agree && c.ListenDrops > c.ListenOverflows {
		c.Why = fmt.Sprintf("%d of the drops were for a full queue of unfinished handshakes, the others for a full accept queue", c.ListenDrops-c.ListenOverflows)
	}
}

// percentile of sorted durations, by the nearest rank.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
