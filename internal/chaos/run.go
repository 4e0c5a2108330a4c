package chaos

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
)

// Options say what to run.
type Options struct {
	Mode        cluster.Mode
	Workers     int
	Connections int           // how many clients make; 0: until Time is over
	Time        time.Duration // how long they make some at most; 0: until Connections are made
	Seed        uint64        // of the script and of what clients send
	KeepAlive   float64       // the share of connections with several requests
	Migrate     bool          // in a network namespace with net.ipv4.tcp_migrate_req=1; needs root, Linux 5.14

	// Args are the arguments with which this program, started again, comes to
	// call [HasRole].
	Args []string
	// Stderr gets what the primary and the workers write; nil: nobody.
	Stderr io.Writer
	// Progress, if not nil, is told the number of connections and of events
	// now and then.
	Progress func(connections, events int)

	// For tests.
	fault   string        // see server.fault
	alone   time.Duration // in place of longestAlone
	timeout time.Duration // in place of tooLong
}

const (
	clientProcesses = 2
	slotsEach       = 160
	// tooLong is when a client takes an answer for lost. What the script does
	// to a worker never takes that long.
	tooLong = 15 * time.Second
	// longestAlone is how long there may be no worker that serves. Restarts are put
	// off for a second at most while there is none.
	longestAlone = 30 * time.Second
	// fastest is more connections in a second than there can be.
	fastest = 50000
	// endTime is how long processes may take to end.
	endTime = 20 * time.Second
)

// Validate finds what can't be run.
func (o *Options) Validate() error {
	switch {
	case o.Workers < 2:
		return fmt.Errorf("%d workers: there are 2 or more, so that one is left when another is killed", o.Workers)
	case o.Connections < 0 || o.Time < 0:
		return errors.New("the number of connections and the time can't be negative")
	case o.Connections == 0 && o.Time == 0:
		return errors.New("neither a number of connections nor a time says when to end")
	case !(o.KeepAlive >= 0 && o.KeepAlive <= 1):
		return fmt.Errorf("a share of %v of keep-alive connections: it is from 0 to 1", o.KeepAlive)
	}
	return nil
}

// oneAtATime is a Writer for several processes.
type oneAtATime struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *oneAtATime) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// A run is one at work.
type run struct {
	Options
	journal *journal
	stage   *stage
	clients []*link

	connections [clientProcesses]atomic.Int64
	all         atomic.Int64

	mu     sync.Mutex
	counts Counts
	losses []*Loss
	times  histogram
	slow   *Answer
	away   time.Duration
	ended  int
	stood  string // why it was ended before its time
}

// Run runs until the clients have made their connections, or ctx is done: then
// the report is about what was done by then. No process is left.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Stderr != nil {
		o.Stderr = &oneAtATime{w: o.Stderr}
	}
	var report *Report
	work := func() (err error) {
		report, err = (&run{Options: o, stage: newStage()}).run(ctx)
		return err
	}
	if !o.Migrate {
		return report, work()
	}
	err := inNamespace("net/ipv4/tcp_migrate_req", "1", work)
	return report, err
}

func (r *run) run(ctx context.Context) (report *Report, err error) {
	capacity := r.Connections
	if byTime := int(r.Time.Seconds()*fastest) + fastest; r.Time > 0 && (capacity == 0 || byTime < capacity) {
		capacity = byTime
	}
	if r.journal, err = newJournal(capacity + 1000); err != nil {
		return nil, err
	}
	defer r.journal.close()

	cfg := primaryConfig{Mode: r.Mode.String(), Workers: r.Workers, Args: r.Args}
	id := rand.Uint32()
	cfg.Worker = workerConfig{Journal: r.journal.path(), Run: id, Fault: r.fault}
	if cfg.Args == nil {
		cfg.Args = []string{}
	}
	l, err := start("primary", cfg, r.Args, r.Stderr)
	if err != nil {
		return nil, err
	}
	d := newDirector(l, r.stage)
	defer func() {
		if e := d.endAll(); err == nil {
			err = e
		}
	}()
	server, err := d.awaitHello(ctx)
	if err != nil {
		return nil, err
	}
	return r.act(ctx, d, server, id)
}

// act has clients and script run against a primary.
func (r *run) act(ctx context.Context, d *director, server netip.AddrPort, id uint32) (*Report, error) {
	if err := r.startClients(server, id); err != nil {
		return nil, err
	}
	p := &performance{director: d, script: newScript(r.Seed, r.Workers), connections: &r.all, events: map[Kind]int{}}
	began := time.Now()
	performing, stop := context.WithCancel(ctx)
	var performed sync.WaitGroup
	performed.Go(func() { p.run(performing) })
	err := r.awaitClients(ctx, d, p)
	took := time.Since(began)
	stop()
	performed.Wait()
	if err != nil {
		return nil, err
	}
	return r.report(p, took), nil
}

func (r *run) startClients(server netip.AddrPort, id uint32) error {
	for i := range clientProcesses {
		cfg := clientConfig{
			Address: server, Run: id, Client: i, Seed: r.Seed, Slots: slotsEach, KeepAlive: r.KeepAlive, Timeout: cmp.Or(r.timeout, tooLong),
		}
		if r.Connections > 0 {
			cfg.Connections = r.Connections*(i+1)/clientProcesses - r.Connections*i/clientProcesses
		}
		l, err := start("client", cfg, r.Args, r.Stderr)
		if err != nil {
			r.endClients()
			return err
		}
		r.clients = append(r.clients, l)
	}
	return nil
}

func (r *run) endClients() {
	for _, l := range r.clients {
		l.cmd.Process.Kill()
		l.end(endTime)
	}
}

// awaitClients returns when all have made their connections, or were told to
// stop by the time or by ctx.
func (r *run) awaitClients(ctx context.Context, d *director, p *performance) error {
	var over <-chan time.Time
	if r.Time > 0 {
		over = time.After(r.Time)
	}
	read := make(chan struct{})
	var reading sync.WaitGroup
	for i, l := range r.clients {
		reading.Go(func() { r.read(i, l) })
	}
	go func() { reading.Wait(); close(read) }()
	defer func() { r.endClients(); <-read }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	stopped := ctx.Done()
	for {
		select {
		case <-read:
			if r.ended < len(r.clients) {
				return errors.New("a client has ended before its time")
			}
			return nil
		case <-d.gone:
			return errPrimaryGone
		case <-over:
			r.stopClients()
		case <-stopped:
			r.stopClients()
			stopped = nil
		case <-tick.C:
			if r.Progress != nil {
				r.Progress(int(r.all.Load()), p.total())
			}
			if r.stood == "" && r.stage.deserted() > cmp.Or(r.alone, longestAlone) {
				r.stood = fmt.Sprintf("for %v no worker was there that serves, so the run was ended", cmp.Or(r.alone, longestAlone))
				r.stopClients()
			}
		}
	}
}

func (r *run) stopClients() {
	for _, l := range r.clients {
		l.in.Close()
	}
}

func (p *performance) total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sum(p.events)
}

// read takes what a client writes, until its end.
func (r *run) read(client int, l *link) {
	lines := bufio.NewScanner(l.out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c clientReport
		if json.Unmarshal(lines.Bytes(), &c) != nil {
			continue
		}
		before := r.connections[client].Swap(c.Connections)
		r.all.Add(c.Connections - before)
		r.mu.Lock()
		if c.Loss != nil {
			r.losses = append(r.losses, c.Loss)
		}
		if c.End != nil {
			if c.End.Worst > r.times.Worst {
				r.slow = c.Slow
			}
			r.times.merge(c.End)
			r.away = max(r.away, c.Away)
			r.counts.Connections += c.Connections
			r.counts.Requests += c.Requests
			r.counts.Answered += c.Answered
			r.ended++
		}
		r.mu.Unlock()
	}
}

// report judges when all is over.
func (r *run) report(p *performance, took time.Duration) *Report {
	endings := r.stage.endings()
	notes := r.journal.notes()
	v := judge(r.counts, r.losses, notes, endings, r.stage.low)
	report := &Report{
		Mode: r.Mode.String(), Seed: r.Seed, Workers: r.Workers, KeepAlive: r.KeepAlive, Migrate: r.Migrate, Counts: r.counts,
		Seconds: took.Seconds(), Events: p.events, Skipped: p.skipped, Failed: list(p.failed), Ended: len(endings), Repeat: r.command(),
		Latency: Latency{
			Median: r.times.quantile(0.5), P99: r.times.quantile(0.99), P999: r.times.quantile(0.999),
			Worst: r.times.Worst, Over1s: r.times.Over1s, Away: r.away,
		},
	}
	report.add(v)
	if r.stood != "" {
		report.StoodStill, report.Passed = r.stood, false
		report.Last = r.stage.near(time.Now().Add(-10*time.Second), time.Now())
	}
	if s := r.slow; s != nil {
		s.Notes = describeAll(notes[peerKey(s.Local)])
		s.Near = r.stage.near(s.Asked, s.Ended)
		report.Slowest = s
	}
	for _, l := range report.Unexplained[:min(len(report.Unexplained), maxDetail)] {
		l.Near = r.stage.near(l.Began, l.Ended)
	}
	return report
}

// command is how to run the same again.
func (r *run) command() string {
	s := fmt.Sprintf("onconn chaos --mode %s --seed %d --workers %d --keep-alive-share %g", r.Mode, r.Seed, r.Workers, r.KeepAlive)
	if r.Connections > 0 {
		s += fmt.Sprintf(" --connections %d", r.Connections)
	} else {
		s += " --connections 0"
	}
	if r.Time > 0 {
		s += fmt.Sprintf(" --time %v", r.Time)
	}
	if r.Migrate {
		s += " --migrate"
	}
	return s
}

// endAll ends the primary, and what it leaves behind if it could not end well.
func (d *director) endAll() error {
	d.tell(command{Do: "end"})
	d.in.Close()
	kill := time.AfterFunc(endTime, func() { d.cmd.Process.Kill() })
	defer kill.Stop()
	<-d.gone
	err := d.cmd.Wait()
	for _, pid := range d.stage.left() {
		unix.Kill(-pid, unix.SIGKILL)
	}
	if err != nil {
		return fmt.Errorf("the primary: %w", err)
	}
	return nil
}
