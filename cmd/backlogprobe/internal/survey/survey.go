package survey

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"onconn/backlog"
	"onconn/sock"
)

// Options say what to look at.
type Options struct {
	Filter        Filter
	Netns         []string      // names of ip netns, paths, or PIDs; empty: our own
	AllNetns      bool          // every namespace that can be opened
	Unix          bool          // unix sockets too
	Interval      time.Duration // between samples; 0: 10 ms
	Sum           bool          // fold SO_REUSEPORT groups into one Row
	Owners        bool          // look for them
	SkipQuiet     bool          // but not for those of quiet listeners, unless all are, and no more than 1,000
	Hurt          bool          // capture SYNs where we have CAP_NET_RAW; estimate elsewhere
	Accepts       bool          // count accepts per process where we have CAP_PERFMON
	SharedAccepts bool          // but only where several processes or sockets share an address; it takes some 50 ms
	Once          bool          // one reading, cheaper: nothing is watched, so Look doesn't wait, and there are no rates
}

// A Survey watches listeners until Close. Only one goroutine may use it at a time.
type Survey struct {
	options Options
	spaces  []*space
	denied  int // processes whose namespaces we may not see
	owners  backlog.Owners
	accepts *accepts  // nil: not counted
	since   time.Time // the end of the last look
	looked  bool
}

// Open starts to watch. EPERM: other network namespaces need CAP_SYS_ADMIN.
func Open(o Options) (*Survey, error) {
	if o.Interval < 0 {
		return nil, fmt.Errorf("the interval between samples is %v: it can't be negative", o.Interval)
	}
	if o.Interval == 0 {
		o.Interval = 10 * time.Millisecond
	}
	o.Unix = o.Unix || o.Filter.unix
	o.Owners = o.Owners || len(o.Filter.owners) > 0 || o.Accepts
	s := &Survey{options: o}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Survey) open() error {
	o := s.options
	if err := s.discover(); err != nil {
		return err
	}
	if o.Accepts && !o.Once {
		s.beginAccepts()
	}
	s.since = time.Now()
	return nil
}

// discover begins to watch the namespaces that are new, and lets go of those
// that have no process any more: only we keep them alive.
func (s *Survey) discover() error {
	fresh, gone, denied, err := openSpaces(s.options, s.spaces)
	if err != nil {
		return err
	}
	s.denied = denied
	s.spaces = slices.DeleteFunc(s.spaces, func(space *space) bool {
		ended := slices.Contains(gone, space)
		if ended {
			space.Close()
		}
		return ended
	})
	s.spaces = append(s.spaces, fresh...)
	for i, space := range fresh {
		if err := space.begin(s.options); err != nil {
			closeAll(fresh[i:])
			s.spaces = s.spaces[:len(s.spaces)-len(fresh)+i]
			return err
		}
	}
	return nil
}

// beginAccepts counts the accepts of the owners that there are now.
func (s *Survey) beginAccepts() {
	var pids []int
	for _, space := range s.spaces {
		sockets := map[sock.Addr]int{}
		for _, o := range space.last {
			sockets[o.Addr]++
		}
		owners := s.owners.Find(inodes(space.last))
		for _, o := range space.last {
			if s.options.SharedAccepts && len(owners[o.Inode]) < 2 && sockets[o.Addr] < 2 {
				continue
			}
			for _, owner := range owners[o.Inode] {
				pids = append(pids, owner.PID)
			}
		}
	}
	if len(pids) == 0 && s.options.SharedAccepts {
		return
	}
	if s.accepts = openAccepts(); s.accepts == nil {
		return
	}
	for _, pid := range pids {
		s.accepts.follow(pid)
	}
	s.accepts.mark()
}

func inodes(seen []backlog.Observation) []uint32 {
	all := make([]uint32, len(seen))
	for i, o := range seen {
		all[i] = o.Inode
	}
	return all
}

// Look watches for another d, or until ctx is done, and reports. Deltas and
// rates are of this look, or for 0 since the last one; peaks, stalls and times
// full since Open or Reset.
func (s *Survey) Look(ctx context.Context, d time.Duration) (*Report, error) {
	if s.options.AllNetns && s.looked {
		if err := s.discover(); err != nil {
			return nil, err
		}
	}
	if d > 0 {
		if err := s.mark(); err != nil {
			return nil, err
		}
		wait := time.NewTimer(d)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		s.untilCounted(ctx, d)
	}
	r := &Report{Schema: Schema, Interval: s.options.Interval, Listeners: []Row{}, Findings: []Finding{}, UnknownWhy: map[string]string{},
		filtered: s.options.Filter.text != ""}
	if s.denied > 0 && s.options.AllNetns {
		r.UnknownWhy["namespaces"] = hiddenNamespaces(s.denied)
	}
	all := make([]seen, len(s.spaces))
	for i, space := range s.spaces {
		var err error
		if all[i], err = space.look(s.options); err != nil {
			return nil, err
		}
	}
	r.Time = time.Now()
	if s.looked || d > 0 {
		r.Sampled = r.Time.Sub(s.since)
	} else {
		for i := range all {
			all[i].Delta = nil
		}
	}
	s.since, s.looked = r.Time, true
	s.report(r, all)
	if s.accepts != nil {
		s.accepts.mark()
	}
	judge(r)
	return r, nil
}

// untilCounted looks a bit longer where that gives rates: arrivals are counted
// when a second of the clock ends, which is skipped right after Open.
func (s *Survey) untilCounted(ctx context.Context, d time.Duration) {
	if d < time.Second || ctx.Err() != nil || !slices.ContainsFunc(s.spaces, (*space).uncounted) {
		return
	}
	const late = 30 * time.Millisecond // a count takes some
	now := time.Now()
	if rest := now.Truncate(time.Second).Add(time.Second + late).Sub(now); rest <= d/2 {
		wait := time.NewTimer(rest)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
	}
}

// mark makes now the beginning of the look.
func (s *Survey) mark() error {
	for _, space := range s.spaces {
		if err := space.mark(s.options); err != nil {
			return err
		}
	}
	if s.accepts != nil {
		s.accepts.mark()
	}
	s.since = time.Now()
	return nil
}

// Reset forgets peaks.
func (s *Survey) Reset() {
	for _, space := range s.spaces {
		space.reset()
	}
}

// Close stops watching.
func (s *Survey) Close() error {
	var errs []error
	for _, space := range s.spaces {
		errs = append(errs, space.Close())
	}
	if s.accepts != nil {
		s.accepts.Close()
	}
	return errors.Join(errs...)
}

// lacks reports whether an error means that we may not.
func lacks(err error) bool { return errors.Is(err, os.ErrPermission) }
