package story

import (
	"fmt"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
)

// pause is the least time without a step that is folded.
const pause = recording.Time(20e6)

// rests is how long nothing must happen in this recording: of one that took long
// only the longest are worth a line.
func (t *teller) rests() recording.Time { return min(max(pause, t.r.Took/40), 1e9) }

// write makes the steps.
func (t *teller) write(s *Story) {
	lanes := t.cast(s)
	t.merge(lanes)
	waiting, rests := t.waiting(), t.rests()
	notes := map[string]int{}
	last, busy, begun := recording.Time(0), recording.Time(0), false
	var placed []int // the event of each step, -1 for rests
	for i := range t.events {
		e := &t.events[i]
		if e.hidden {
			continue
		}
		from, known := lanes[e.from]
		to, also := lanes[e.to]
		if !known || !also {
			e.hidden = true // the birth of a process that does nothing here
			continue
		}
		if begun && e.at-busy > rests {
			s.Steps = append(s.Steps, rest(busy, e.at, waiting))
			placed = append(placed, -1)
		}
		if !begun || e.at > last {
			last = e.at
		}
		busy = last
		if e.end > busy && (e.kind == Pass || e.kind == Data && e.times == 1) {
			busy = e.end
		}
		begun = true
		step := Step{Time: last, End: max(e.end, e.at), Kind: e.kind, From: from, To: to, Label: e.label, Result: e.result,
			Times: e.times, State: e.state, Why: e.why, Man: e.man, Raw: e.raw, Packet: e.packet, Socket: t.sockets(s, e.socket)}
		if e.from == e.to && e.kind != Life {
			step.To = from
		}
		if l := s.Lanes[to]; len(l.PIDs) > 1 && e.times == 1 && e.to.pid != 0 {
			step.Result = strings.TrimSpace(fmt.Sprintf("%s [%d]", step.Result, e.to.pid))
		}
		step.Note = note(s, notes, e)
		s.Steps = append(s.Steps, step)
		placed = append(placed, i)
	}
	t.likeness(s, placed)
	t.queues(s, placed)
}

// repeated are situations that are shown once for each process that is in them.
var repeated = map[situation]bool{"herd": true, "epoll": true, "exclusive": true, "channel": true, "socket": true}

// merge folds events that follow each other and differ in nothing, and those that
// need to be seen only once.
func (t *teller) merge(lanes map[actor]int) {
	if t.o.Verbose {
		return
	}
	type key struct {
		sign     string
		from, to int
		state    State
	}
	var previous *event
	var before key
	once := map[key]*event{}
	for i := range t.events {
		e := &t.events[i]
		if e.hidden {
			continue
		}
		k := key{e.sign, lanes[e.from], lanes[e.to], e.state}
		if e.conn == nil && (repeated[e.sit] || notable[e.sign] != "") {
			if first := once[k]; first != nil {
				first.fold(e)
				continue
			}
			once[k] = e
		}
		alike := previous != nil && k == before && e.kind == previous.kind &&
			(e.kind == Like && e.like == previous.like || e.conn == previous.conn && e.kind != Like && e.label == previous.label)
		if alike {
			previous.fold(e)
			continue
		}
		previous, before = e, k
	}
}

// note numbers what there is to say about an event. Most sentences are said once.
func note(s *Story, notes map[string]int, e *event) int {
	if e.why == "" {
		return 0
	}
	key := string(e.sit)
	switch e.sit {
	case "listen", "clamped", "again", "died", "request", "":
		key += e.why
	}
	if notes[key] == 0 {
		s.Notes = append(s.Notes, Note{e.why, e.man})
		notes[key] = len(s.Notes)
	}
	return notes[key]
}

// waits are the calls in which a process does nothing.
var waits = map[string]bool{
	"epoll_wait": true, "epoll_pwait": true, "epoll_pwait2": true, "poll": true, "ppoll": true,
	"select": true, "pselect6": true, "accept": true, "accept4": true, "recvmsg": true, "read": true,
	"recvfrom": true, "wait4": true, "nanosleep": true, "clock_nanosleep": true, "futex": true,
}

func (t *teller) waiting() (waiting []*recording.Call) {
	for i := range t.r.Calls {
		c := &t.r.Calls[i]
		if waits[c.Name] && (c.End == 0 || c.End-c.Begin > pause/2) {
			waiting = append(waiting, c)
		}
	}
	return waiting
}

// rest is a time in which no step happens.
func rest(from, to recording.Time, waiting []*recording.Call) Step {
	why := ""
	var longest recording.Time
	for _, c := range waiting {
		end := c.End
		if end == 0 {
			end = to
		}
		if d := min(end, to) - max(c.Begin, from); d > longest && d > (to-from)/2 {
			longest, why = d, c.Name
		}
	}
	label := span(to-from) + " without a step"
	if why != "" {
		label = span(to-from) + " idle: " + why
	}
	return Step{Time: from, End: to, Kind: Rest, Label: label, Times: 1}
}

// likeness says which connection others are like, once it has its letter.
func (t *teller) likeness(s *Story, placed []int) {
	for n, i := range placed {
		if i < 0 || t.events[i].like == nil {
			continue
		}
		model := t.events[i].like
		s.Steps[n].Label = "as before"
		for _, so := range s.Sockets {
			if so.ID == model.accepted && so.ID != 0 {
				s.Steps[n].Label = "like " + so.Letter
			}
		}
	}
}

// queues follows the depth of each listener's queue over the steps.
func (t *teller) queues(s *Story, placed []int) {
	for _, so := range t.listeners {
		if len(s.Queues) == 8 {
			break
		}
		if t.aside[so.ID] && !t.o.Verbose {
			continue
		}
		q := Queue{Address: so.Local, Limit: so.Backlog, Depths: make([]int, len(s.Steps))}
		for _, known := range s.Sockets {
			if known.ID == so.ID {
				q.Letter = known.Letter
			}
		}
		seen := t.counted(&q, so.ID, placed)
		if !seen {
			seen = t.sampled(&q, so.ID, s)
		}
		if seen {
			s.Queues = append(s.Queues, q)
		}
	}
}

// counted fills in depths by what came and was accepted.
func (t *teller) counted(q *Queue, id recording.SocketID, placed []int) (seen bool) {
	next, now := 0, 0
	for n, i := range placed {
		most, changed := 0, false
		if n == len(placed)-1 {
			i = len(t.events) - 1
		}
		for ; i >= 0 && next <= i; next++ {
			e := &t.events[next]
			if !e.changed || e.conn == nil || e.conn.listener != id {
				continue
			}
			seen, now = true, e.depth
			if next == placed[n] {
				most, changed = now, true
			} else if !changed || now > most {
				most, changed = now, true
			}
		}
		if !changed {
			most = now
		}
		q.Depths[n] = most
	}
	return seen
}

// sampled fills in depths that were read from the kernel.
func (t *teller) sampled(q *Queue, id recording.SocketID, s *Story) (seen bool) {
	n := 0
	for _, d := range t.r.Depths {
		if d.Socket != id {
			continue
		}
		seen, q.Sampled = true, true
		if d.Limit > 0 {
			q.Limit = d.Limit
		}
		for n+1 < len(s.Steps) && s.Steps[n+1].Time <= d.Time {
			n++
		}
		if n < len(q.Depths) {
			q.Depths[n] = max(q.Depths[n], d.Queue)
		}
	}
	return seen
}

// clock is a time of the recording: "2104.3 ms".
func clock(at recording.Time) string { return fmt.Sprintf("%.1f ms", float64(at)/1e6) }
