package survey

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/handshake"
)

// A space is a network namespace that is watched.
type space struct {
	ns       *backlog.Namespace
	name     string
	watcher  *backlog.Watcher   // nil: one reading only
	captured *handshake.Watcher // nil: clients are estimated
	capture  time.Time          // since when

	looked   bool
	last     []backlog.Observation // at the beginning of the look
	counters backlog.Counters

	halfOpen   []backlog.HalfOpen
	halfOpenAt time.Time
	waiting    []backlog.Waiting
	waitingAt  time.Time
}

// openSpaces opens the namespaces that the options ask for, each once, other
// than those that are open. hidden is the number of processes whose namespace we
// may not see; gone are those open whose last process has ended.
func openSpaces(o Options, open []*space) (fresh, gone []*space, hidden int, err error) {
	wanted, hidden, err := wantedSpaces(o)
	if err != nil {
		return nil, nil, 0, err
	}
	have := map[uint64]bool{}
	for _, s := range open {
		have[s.ns.ID()] = true
		if !slices.ContainsFunc(wanted, func(w backlog.NamespaceFile) bool { return w.ID == s.ns.ID() }) {
			gone = append(gone, s)
		}
	}
	for _, w := range wanted {
		if have[w.ID] {
			continue
		}
		ns, err := backlog.OpenNamespace(w.Path)
		switch {
		case err == nil:
		case o.AllNetns && lacks(err):
			hidden += w.Processes
			continue
		case o.AllNetns && errors.Is(err, fs.ErrNotExist): // its process has ended
			continue
		default:
			closeAll(fresh)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EINVAL) {
				err = fmt.Errorf("no network namespace %q: -N takes a name of ip netns, a path, or a PID", w.Name)
			}
			return nil, nil, 0, err
		}
		if have[ns.ID()] {
			ns.Close()
			continue
		}
		have[ns.ID()] = true
		fresh = append(fresh, &space{ns: ns, name: w.Name})
	}
	return fresh, gone, hidden, nil
}

// wantedSpaces are the namespaces that the options ask for. An ID is known of
// those that were found, not of those that were named.
func wantedSpaces(o Options) (wanted []backlog.NamespaceFile, hidden int, err error) {
	switch {
	case o.AllNetns:
		if wanted, hidden, err = backlog.FindNamespaces(); err == nil {
			wanted[0].Name = host
		}
		return wanted, hidden, err
	case len(o.Netns) > 0:
		for _, name := range o.Netns {
			wanted = append(wanted, backlog.NamespaceFile{Name: name, Path: NetnsPath(name)})
		}
		return wanted, 0, nil
	}
	return []backlog.NamespaceFile{{Name: host}}, 0, nil
}

// host is what our own namespace is called.
const host = "host"

func closeAll(all []*space) {
	for _, s := range all {
		s.Close()
	}
}

// NetnsPath is the file of a namespace: of ip-netns(8), of a process, or itself.
// Reports call that of a process pid:12(nginx), and our own host.
func NetnsPath(name string) string {
	pid, _, _ := strings.Cut(strings.TrimPrefix(name, "pid:"), "(")
	switch _, err := strconv.Atoi(pid); {
	case name == host:
		return ""
	case strings.Contains(name, "/"):
		return name
	case err == nil:
		return "/proc/" + pid + "/ns/net"
	}
	return "/run/netns/" + name
}

// begin starts to watch.
func (s *space) begin(o Options) (err error) {
	if !o.Once {
		s.watcher, err = backlog.Watch(s.ns, backlog.WatchConfig{
			Interval: o.Interval, Select: o.Filter.matchListener, Unix: o.Unix, Rates: true,
		})
		if err != nil {
			return err
		}
	}
	if o.Hurt && !o.Once {
		s.captured, err = handshake.Live(s.ns.Path())
		if err != nil && !lacks(err) {
			return err
		}
		s.capture = time.Now()
	}
	return s.mark(o)
}

// mark makes now the beginning of the look.
func (s *space) mark(o Options) (err error) {
	if s.last, err = s.observe(o); err != nil {
		return err
	}
	s.counters, err = s.ns.Counters()
	return err
}

// observe reads what the watcher saw, or without one looks itself.
func (s *space) observe(o Options) ([]backlog.Observation, error) {
	if s.watcher != nil {
		return s.watcher.Observations(), s.watcher.Err()
	}
	all, err := s.ns.Listeners()
	if err != nil {
		return nil, err
	}
	if o.Unix {
		local, err := s.ns.UnixListeners()
		if err != nil {
			return nil, err
		}
		all = append(all, local...)
	}
	now := time.Now()
	seen := make([]backlog.Observation, 0, len(all))
	for _, l := range all {
		if o.Filter.matchListener(l) {
			seen = append(seen, reading(l, now))
		}
	}
	return seen, nil
}

// uncounted reports whether nothing was counted since the look began.
func (s *space) uncounted() bool {
	if s.watcher == nil {
		return false
	}
	before := map[uint64]time.Duration{}
	for _, o := range s.last {
		before[o.Cookie] = o.Counted
	}
	return slices.ContainsFunc(s.watcher.Observations(), func(o backlog.Observation) bool {
		counted, ok := before[o.Cookie]
		return ok && !o.Gone && internet(o.Listener) && o.Counted == counted
	})
}

// reading is an observation of one moment.
func reading(l backlog.Listener, now time.Time) backlog.Observation {
	o := backlog.Observation{Listener: l, Since: now, Until: now, Samples: 1, Peak: l.Depth, PeakAt: now,
		Arrived: -1, Accepted: -1, PeakArrived: -1}
	if l.Depth >= l.Capacity() {
		o.Fulls = 1
	}
	return o
}

func (s *space) reset() {
	if s.watcher != nil {
		s.watcher.Reset()
		s.last = s.watcher.Observations()
	}
}

// seen is what a look saw of a namespace.
type seen struct {
	*space
	Namespace
	from, to []backlog.Observation
	halfOpen []backlog.HalfOpen
	waiting  []backlog.Waiting
}

// look ends a look, and begins the next one.
func (s *space) look(o Options) (l seen, err error) {
	l = seen{space: s, from: s.last, Namespace: Namespace{Name: s.name, ID: s.ns.ID()}}
	before := s.counters
	if s.looked || !o.Once { // else what Open has read is the look
		if err := s.mark(o); err != nil {
			return l, err
		}
	}
	s.looked = true
	l.to = s.last
	l.Counters, l.Delta = s.counters, s.counters.Sub(before)
	if l.Sysctls, err = s.ns.Sysctls(); err != nil {
		return l, err
	}
	if l.halfOpen, err = s.handshakes(); err != nil {
		return l, err
	}
	l.waiting, err = s.queued()
	return l, err
}

// pause is how long what walks all connections of the host is not asked again.
const pause = 900 * time.Millisecond // a bit less than the second between looks

func (s *space) handshakes() (_ []backlog.HalfOpen, err error) {
	if time.Since(s.halfOpenAt) > pause && len(s.last) > 0 {
		s.halfOpen, err = s.ns.HalfOpen(0)
		s.halfOpenAt = time.Now()
	}
	return s.halfOpen, err
}

// queued asks only for connections of the listeners that have some.
func (s *space) queued() (_ []backlog.Waiting, err error) {
	ports := map[uint16]bool{}
	for _, o := range s.last {
		if o.Depth > 0 && internet(o.Listener) && !o.Gone {
			ports[uint16(o.Addr.Port())] = true
		}
	}
	switch {
	case len(ports) == 0:
		s.waiting, s.waitingAt = nil, time.Time{}
	case time.Since(s.waitingAt) <= pause:
	case len(ports) == 1:
		for port := range ports {
			s.waiting, err = s.ns.Waiting(port)
		}
		s.waitingAt = time.Now()
	default:
		s.waiting, err = s.ns.Waiting(0)
		s.waitingAt = time.Now()
	}
	return s.waiting, err
}

func (s *space) Close() error {
	var errs []error
	if s.captured != nil {
		errs = append(errs, s.captured.Close())
	}
	if s.watcher != nil {
		errs = append(errs, s.watcher.Close())
	}
	return errors.Join(append(errs, s.ns.Close())...)
}
