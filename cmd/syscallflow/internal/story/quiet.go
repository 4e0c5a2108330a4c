package story

import (
	"fmt"
	"sort"
	"strings"
)

// Beyond these, more of the same only lengthens a drawing.
const (
	maxShapes = 4 // sorts of connections that are shown in full
	maxLikes  = 6 // connections that get a line each
)

// quiet hides what isn't needed to understand the rest: details, and the steps of
// connections that went as one before.
func (t *teller) quiet() {
	if t.o.Verbose {
		return
	}
	for i := range t.events {
		t.events[i].hidden = t.events[i].detail
	}
	for _, c := range t.conns {
		t.repeats(c)
	}
	shapes := map[string]*conn{}
	var likes []event
	ordered := append([]*conn(nil), t.conns...)
	sort.SliceStable(ordered, func(i, j int) bool { return t.first(ordered[i]) < t.first(ordered[j]) })
	for _, c := range ordered {
		shape := t.shape(c)
		if shape == "" {
			continue
		}
		model := shapes[shape]
		if model == nil && len(shapes) < maxShapes {
			shapes[shape] = c
			continue
		}
		likes = append(likes, t.like(c, model))
	}
	t.insert(t.group(likes))
}

// first is the place of a connection's first visible event.
func (t *teller) first(c *conn) int {
	for _, i := range c.events {
		if !t.events[i].hidden {
			return i
		}
	}
	return len(t.events)
}

// repeats folds what a connection does again and again, such as requests on one
// that is kept alive.
func (t *teller) repeats(c *conn) {
	type key struct {
		sign     string
		from, to actor
	}
	seen := map[key]int{}
	for _, i := range c.events {
		e := &t.events[i]
		if e.hidden {
			continue
		}
		k := key{e.sign, e.from, e.to}
		if first, ok := seen[k]; ok {
			t.events[first].fold(e)
			continue
		}
		seen[k] = i
	}
}

// fold counts an event with this one, which was earlier.
func (e *event) fold(same *event) {
	same.hidden = true
	if e.socket != same.socket {
		e.socket = 0
	}
	if e.result != same.result {
		e.result = ""
	}
	e.times += same.times
	e.end = max(e.end, same.end)
	if len(e.raw) < 8 {
		e.raw = append(e.raw, same.raw...)
	}
}

// shape is what a connection has in common with those that go the same way.
func (t *teller) shape(c *conn) string {
	var signs []string
	seen := map[string]bool{}
	for _, i := range c.events {
		e := t.events[i]
		if e.hidden || e.minor {
			continue
		}
		sign := fmt.Sprintf("%s %d>%d", e.sign, e.from.kind, e.to.kind)
		if e.to.kind == Process && t.worker(e.to.pid) {
			sign += " worker"
		}
		if !seen[sign] {
			seen[sign] = true
			signs = append(signs, sign)
		}
	}
	sort.Strings(signs)
	return strings.Join(signs, ",")
}

// like makes one event of a connection.
func (t *teller) like(c, model *conn) event {
	e := event{kind: Like, from: t.client(c), to: t.queue(c.listener, ""), sign: "like", sit: "like",
		conn: c, like: model, socket: c.accepted, times: 1}
	steps := 0
	for _, i := range c.events {
		part := &t.events[i]
		if part.hidden {
			continue
		}
		if steps == 0 {
			e.at = part.at
		}
		steps++
		e.end = max(e.end, part.end)
		e.state = max(e.state, part.state)
		part.hidden = true
		if part.from.kind == Process && part.kind == Data || part.to.kind == Process && part.sign != "closeCopy" {
			e.to = part.from
			if part.to.kind == Process {
				e.to = part.to
			}
		}
		if len(e.raw) < 40 {
			e.raw = append(e.raw, part.raw...)
		}
	}
	e.why, e.man = explain("like")
	e.result = fmt.Sprintf("%d steps, %s", steps, span(e.end-e.at))
	if model == nil {
		e.sign, e.label, e.result = "unlike", "another", fmt.Sprintf("%d steps", steps)
	}
	return e
}

// group makes one line of many connections that went alike, for each process.
func (t *teller) group(likes []event) []event {
	if len(likes) <= maxLikes {
		return likes
	}
	type key struct {
		to    actor
		model *conn
	}
	at := map[key]int{}
	var grouped []event
	for _, e := range likes {
		k := key{e.to, e.like}
		i, ok := at[k]
		if !ok {
			at[k] = len(grouped)
			grouped = append(grouped, e)
			continue
		}
		g := &grouped[i]
		g.times++
		g.end, g.state = max(g.end, e.end), max(g.state, e.state)
		g.socket, g.result = 0, "until "+clock(g.end)
		g.conn = nil
	}
	return grouped
}

// insert puts events where they belong by time. The places of others change, so
// nothing that counts on them may follow.
func (t *teller) insert(more []event) {
	t.events = append(t.events, more...)
	// Stable by the greatest time so far: what order has moved stays moved.
	n := len(t.events) - len(more)
	keys := make([]int64, len(t.events))
	var latest int64
	for i := range t.events {
		if i < n {
			latest = max(latest, int64(t.events[i].at))
			if i == 0 {
				latest = int64(t.events[i].at)
			}
			keys[i] = latest
		} else {
			keys[i] = int64(t.events[i].at)
		}
	}
	index := make([]int, len(keys))
	for i := range index {
		index[i] = i
	}
	sort.SliceStable(index, func(i, j int) bool { return keys[index[i]] < keys[index[j]] })
	sorted := make([]event, len(index))
	for i, from := range index {
		sorted[i] = t.events[from]
	}
	t.events = sorted
}

func (t *teller) worker(pid int) bool {
	if t.workerSet == nil {
		t.workerSet = map[int]bool{}
		for _, w := range t.workers() {
			t.workerSet[w] = true
		}
	}
	return t.workerSet[pid]
}
