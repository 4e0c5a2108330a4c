package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A stage is what is known of the workers, and what happened when.
type stage struct {
	mu      sync.Mutex
	workers map[int]*actor
	log     []occurrence
	op      bool // a reload, a scaling or an upgrade goes on
	dry     bool // the primary has no descriptors
	low     []*moment
	nobody  time.Time // since when no worker serves; zero: one does
	changed chan struct{}
}

// An actor is a worker, living or not.
type actor struct {
	workerInfo
	busy   bool // stopped, stalled or squeezed
	ended  *moment
	exited time.Time
}

// A moment is one in which a connection can be lost that no worker has noted:
// when the script ends a worker, or lowers a limit.
type moment struct {
	Worker int // that ended
	Kind   Kind
	From   time.Time // before it was told
	To     time.Time // when the exit was seen, or the limit is low; zero: never
	used   bool      // by the judge: one connection for each
}

type occurrence struct {
	at   time.Time
	text string
}

func newStage() *stage {
	return &stage{workers: map[int]*actor{}, nobody: time.Now(), changed: make(chan struct{})}
}

// change tells those who wait that something is different.
func (s *stage) change() {
	serving := false
	for _, w := range s.workers {
		serving = serving || w.Serving
	}
	switch {
	case serving:
		s.nobody = time.Time{}
	case s.nobody.IsZero():
		s.nobody = time.Now()
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stage) note(at time.Time, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(at, format, args...)
}

func (s *stage) noteLocked(at time.Time, format string, args ...any) {
	s.log = append(s.log, occurrence{at, fmt.Sprintf(format, args...)})
}

// hear takes what the primary says of a worker.
func (s *stage) hear(said saying) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[said.Worker.ID]
	if w == nil {
		w = &actor{}
		s.workers[said.Worker.ID] = w
	}
	w.workerInfo = said.Worker // serving only if it is ready just now
	text := fmt.Sprintf("worker %d (pid %d, slot %d) %s", w.ID, w.PID, w.Slot, said.Event)
	if said.Event == "exited" {
		s.exitLocked(w, said.At)
		text += ": " + said.Status
	}
	s.noteLocked(said.At, "%s", text)
	s.change()
}

func (s *stage) exitLocked(w *actor, at time.Time) {
	w.Serving, w.exited = false, at
	if w.ended != nil && w.ended.To.IsZero() {
		w.ended.To = at
	}
}

// meet takes the workers that a primary begins with. Others have gone, and
// nobody was there to say so.
func (s *stage) meet(all []workerInfo, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := map[int]bool{}
	for _, info := range all {
		there[info.ID] = true
		if w := s.workers[info.ID]; w != nil {
			w.workerInfo = info
		} else {
			s.workers[info.ID] = &actor{workerInfo: info}
		}
	}
	for id, w := range s.workers {
		if !there[id] && w.exited.IsZero() {
			s.exitLocked(w, at)
		}
	}
	s.change()
}

// update takes what an answer says of the workers: some may drain by now.
func (s *stage) update(all []workerInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, info := range all {
		if w := s.workers[info.ID]; w != nil && w.exited.IsZero() {
			w.Serving = info.Serving
		}
	}
	s.change()
}

// ableLocked are the workers that serve and that nothing is the matter with.
func (s *stage) ableLocked() (able []*actor) {
	for _, w := range s.workers {
		if w.Serving && !w.busy && w.ended == nil {
			able = append(able, w)
		}
	}
	slices.SortFunc(able, func(a, b *actor) int { return cmp.Compare(a.ID, b.ID) })
	return able
}

// admitsLocked reports whether an event may begin now: at least one worker must
// be left that can serve, except by KillAll.
func (s *stage) admitsLocked(e step) bool {
	switch e.Kind {
	case Reload, Scale, Upgrade:
		return !s.op && len(s.ableLocked()) >= 1
	case SqueezePrimary:
		return !s.dry
	case KillAll:
		for _, w := range s.workers {
			if w.busy && w.exited.IsZero() {
				return false
			}
		}
		return !s.op && len(s.ableLocked()) >= 2
	}
	return len(s.ableLocked()) >= 2
}

// begin chooses the workers that an event is about and marks them, or returns
// false and what to wait for.
func (s *stage) begin(e step) (victims []int, ok bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.admitsLocked(e) {
		return nil, false, s.changed
	}
	able := s.ableLocked()
	now := time.Now()
	switch e.Kind {
	case Reload, Scale, Upgrade:
		s.op = true
		return nil, true, nil
	case SqueezePrimary:
		s.dry = true
		return nil, true, nil
	case Stop, Stall, Squeeze:
		w := able[e.Pick%len(able)]
		w.busy = true
		return []int{w.ID}, true, nil
	case KillAll:
		able = nil // also those that start
		for _, w := range s.workers {
			if w.exited.IsZero() && w.ended == nil {
				able = append(able, w)
			}
		}
	default:
		able = []*actor{able[e.Pick%len(able)]}
	}
	for _, w := range able {
		w.ended = &moment{Worker: w.ID, Kind: e.Kind, From: now}
		victims = append(victims, w.ID)
	}
	return victims, true, nil
}

// end undoes begin, for what lasts.
func (s *stage) end(e step, victims []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Kind {
	case Reload, Scale, Upgrade:
		s.op = false
	case SqueezePrimary:
		s.dry = false
	}
	for _, id := range victims {
		s.workers[id].busy = false
	}
	s.change()
}

// deserted is for how long no worker has served.
func (s *stage) deserted() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nobody.IsZero() {
		return 0
	}
	return time.Since(s.nobody)
}

// endings are the ends of workers by the script.
func (s *stage) endings() (all []*moment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		if w.ended != nil {
			all = append(all, w.ended)
		}
	}
	slices.SortFunc(all, func(a, b *moment) int { return a.From.Compare(b.From) })
	return all
}

// squeezed notes when a limit was lowered.
func (s *stage) squeezed(from, to time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.low = append(s.low, &moment{Kind: Squeeze, From: from, To: to})
}

// left are the processes of workers that were never seen to exit.
func (s *stage) left() (pids []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		if w.exited.IsZero() {
			pids = append(pids, w.PID)
		}
	}
	return pids
}

// near are the occurrences around a time.
func (s *stage) near(from, to time.Time) (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.log {
		if o.at.After(from.Add(-nearBefore)) && o.at.Before(to.Add(nearAfter)) {
			lines = append(lines, o.at.Format(clock)+" "+o.text)
		}
	}
	return lines
}

const (
	nearBefore = 300 * time.Millisecond
	nearAfter  = 100 * time.Millisecond
	clock      = "15:04:05.000000"
)
