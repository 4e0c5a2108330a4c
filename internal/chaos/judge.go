package chaos

import (
	"fmt"
	"slices"
	"time"
)

// A verdict is what became of everything.
type verdict struct {
	losses []*Loss  // with their causes, in the order in which they came
	twice  []string // connections that two workers had
	bad    []string // connections on which a worker got what no client sends
	sums   []string // counts that don't agree
}

// settle is how much later than the moment a client may see it, on a busy machine.
const settle = 2 * time.Second

// judge attributes the losses, with what workers have noted and with the ends
// that the script has made.
func judge(counts Counts, losses []*Loss, notes map[uint64][]*note, endings, squeezes []*moment) (v verdict) {
	v.losses = losses
	slices.SortFunc(losses, func(a, b *Loss) int { return a.Ended.Compare(b.Ended) })
	ended := map[int]*moment{}
	for _, e := range endings {
		ended[e.Worker] = e
	}
	unnoted := 0
	for _, l := range losses {
		of := notes[peerKey(l.Local)]
		if len(of) == 0 {
			unnoted++
		}
		l.attribute(of, ended, endings, squeezes)
	}
	for key, of := range notes {
		if len(of) > 1 {
			v.twice = append(v.twice, fmt.Sprintf("%s: %v", keyString(key), describeAll(of)))
		}
		for _, n := range of {
			if n.state.Load() == noteBad {
				v.bad = append(v.bad, fmt.Sprintf("%s: %s", keyString(key), n))
			}
		}
	}
	v.sums = checkSums(counts, len(losses), unnoted, notes)
	return v
}

// attribute finds the cause. Only a connection that ended can be the work of a
// worker that did: one that hangs, or is refused, never.
func (l *Loss) attribute(of []*note, ended map[int]*moment, endings, squeezes []*moment) {
	l.Cause = Unexplained
	l.Notes = describeAll(of)
	if l.Kind != "reset" && l.Kind != "eof" {
		return
	}
	for _, n := range of {
		if e := ended[int(n.worker.Load())]; e != nil && n.state.Load() == noteOpen && l.Ended.After(e.From) {
			l.Cause = InHand
			return
		}
	}
	if len(of) > 0 || l.Request > 0 {
		return
	}
	switch {
	case l.excusedBy(endings):
		l.Cause = AtAKill
	case l.excusedBy(squeezes):
		l.Cause = AtASqueeze
	}
}

// excusedBy reports whether one of the moments is that of the loss, and uses it.
func (l *Loss) excusedBy(moments []*moment) bool {
	for _, m := range moments {
		if !m.used && l.Ended.After(m.From) && !m.To.IsZero() && l.Began.Before(m.To) && l.Ended.Before(m.To.Add(settle)) {
			m.used = true
			return true
		}
	}
	return false
}

// checkSums compares what clients say with what workers noted. If these don't
// agree, the judgement is worth nothing.
func checkSums(c Counts, losses, unnoted int, notes map[uint64][]*note) (sums []string) {
	if noted := int64(len(notes) + unnoted); noted != c.Connections {
		sums = append(sums, fmt.Sprintf("clients made %d connections; workers noted %d, and %d lost ones have no note", c.Connections, len(notes), unnoted))
	}
	var finished int64
	for _, of := range notes {
		for _, n := range of {
			finished += int64(n.finished())
		}
	}
	if finished > c.Answered+int64(losses) {
		sums = append(sums, fmt.Sprintf("workers gave %d answers; clients got %d, and lost %d", finished, c.Answered, losses))
	}
	return sums
}

func keyString(key uint64) string {
	return fmt.Sprintf("%d.%d.%d.%d:%d", byte(key>>40), byte(key>>32), byte(key>>24), byte(key>>16), uint16(key))
}

func describeAll(of []*note) (all []string) {
	for _, n := range of {
		all = append(all, n.String())
	}
	return all
}

func (n *note) String() string {
	state := [...]string{"open", "closed", "bad"}[n.state.Load()]
	s := fmt.Sprintf("worker %d took it at %s, %s, %d requests begun, %d answered",
		n.worker.Load(), time.Unix(0, n.taken.Load()).Format(clock), state, n.begun(), n.finished())
	if last := n.last.Load(); last != 0 {
		s += ", last change at " + time.Unix(0, last).Format(clock)
	}
	return s
}
