package story

import (
	"container/heap"
	"sort"

	"onconn/cmd/syscallflow/internal/recording"
)

// constrain notes which events of a connection must come before which. The
// clock may say otherwise by its error: the times of calls are those of stops
// of the traced process, the times of packets the kernel's.
func (t *teller) constrain() {
	for _, c := range t.conns {
		last := map[string]int{} // the latest event of a sign, from 1
		ranked := append([]int(nil), c.events...)
		sort.SliceStable(ranked, func(i, j int) bool {
			a, b := t.events[ranked[i]], t.events[ranked[j]]
			if ra, rb := rank(a), rank(b); ra != rb {
				return ra < rb
			}
			return a.at < b.at
		})
		for _, i := range ranked {
			e := &t.events[i]
			for _, sign := range causes[e.sign] {
				if cause := last[sign]; cause > 0 {
					t.before = append(t.before, [2]int{cause - 1, i})
				}
			}
			if last[e.sign] == 0 {
				last[e.sign] = i + 1
			}
			// Whoever got it uses it only afterwards.
			if pass := last["pass"]; pass > 0 && e.pid != 0 && e.pid == t.events[pass-1].to.pid {
				t.before = append(t.before, [2]int{pass - 1, i})
			}
		}
	}
	opened := map[recording.SocketID]int{}
	for i := range t.events {
		if e := &t.events[i]; e.sign == "listen" && opened[e.socket] == 0 {
			opened[e.socket] = i + 1
		}
	}
	for _, c := range t.conns {
		if l := opened[c.listener]; l > 0 && len(c.events) > 0 {
			t.before = append(t.before, [2]int{l - 1, c.events[0]})
		}
	}
}

// causes are the signs of events that must have been before one, if they were.
var causes = map[string][]string{
	"synack": {"syn"}, "ack": {"synack"}, "data": {"synack", "ack"},
	"accept": {"syn", "ack", "connects"},
	"pass":   {"accept"}, "closeCopy": {"pass"},
	"read":  {"accept", "data"},
	"write": {"accept", "data"},
	"reply": {"write"}, "fin": {"ack", "accept"}, "close": {"accept"}, "shutdown": {"accept"},
}

// rank is where in a connection's life an event comes.
func rank(e event) int {
	for i, sign := range []string{"connects", "syn", "synack", "ack", "data", "accept", "pass"} {
		if e.sign == sign {
			return i
		}
	}
	return 100
}

// order sorts the events by time, and by causality where two times are so near
// that the clock can't tell. A cause that comes much later than its effect is no
// cause: the recording says something else than we think.
func (t *teller) order() {
	t.constrain()
	after := make([][]int, len(t.events))
	waits := make([]int, len(t.events))
	for _, pair := range t.before {
		if a, b := pair[0], pair[1]; a != b && t.events[a].at <= t.events[b].at+t.r.Clock {
			after[a] = append(after[a], b)
			waits[b]++
		}
	}
	q := &queue{events: t.events}
	for i := range t.events {
		if waits[i] == 0 {
			heap.Push(q, i)
		}
	}
	byTime := make([]int, len(t.events))
	for i := range byTime {
		byTime[i] = i
	}
	sort.SliceStable(byTime, func(i, j int) bool { return t.events[byTime[i]].at < t.events[byTime[j]].at })
	place := make([]int, len(t.events))
	done := make([]bool, len(t.events))
	sorted := make([]event, 0, len(t.events))
	for len(sorted) < len(t.events) {
		if q.Len() == 0 { // a circle, which a true recording has not: the earliest
			for done[byTime[0]] {
				byTime = byTime[1:]
			}
			heap.Push(q, byTime[0])
		}
		i := heap.Pop(q).(int)
		if done[i] {
			continue
		}
		done[i] = true
		place[i] = len(sorted)
		sorted = append(sorted, t.events[i])
		for _, next := range after[i] {
			if waits[next]--; waits[next] == 0 && !done[next] {
				heap.Push(q, next)
			}
		}
	}
	t.events = sorted
	for _, c := range t.conns {
		for i := range c.events {
			c.events[i] = place[c.events[i]]
		}
		sort.Ints(c.events)
	}
}

// queue is a heap of events by time.
type queue struct {
	events []event
	index  []int
}

func (q *queue) Len() int { return len(q.index) }
func (q *queue) Less(i, j int) bool {
	a, b := q.index[i], q.index[j]
	if q.events[a].at != q.events[b].at {
		return q.events[a].at < q.events[b].at
	}
	return a < b
}
func (q *queue) Swap(i, j int) { q.index[i], q.index[j] = q.index[j], q.index[i] }
func (q *queue) Push(x any)    { q.index = append(q.index, x.(int)) }
func (q *queue) Pop() any {
	last := q.index[len(q.index)-1]
	q.index = q.index[:len(q.index)-1]
	return last
}
