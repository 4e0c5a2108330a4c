package story

import (
	"fmt"

	"onconn/cmd/syscallflow/internal/recording"
)

// count follows each accept queue through the events, and says how long who waited.
func (t *teller) count() {
	depth := map[recording.SocketID]int{}
	for i := range t.events {
		e := &t.events[i]
		c := e.conn
		if c == nil {
			continue
		}
		switch {
		case e.done && c.overflow:
			e.result, e.sit, e.state = "no room", "noRoom", Odd
			e.why, e.man = explain(e.sit)
		case e.done:
			n := depth[c.listener]
			depth[c.listener] = n + 1
			e.result = fmt.Sprintf("acceptq %d→%d", n, n+1)
			e.changed, e.depth, c.queued = true, n+1, true
		case e.takes && c.queued:
			n := max(depth[c.listener]-1, 0)
			depth[c.listener] = n
			e.changed, e.depth = true, n
			waited := span(max(e.at-c.finished, 0))
			e.sit = "accept"
			e.why, e.man = explain(e.sit, waited)
			e.result += " after " + waited
		case e.sit == "waits" && t.accepts(c, i):
			e.sit = "segment" // within the error of the clock
			e.why, e.man = explain(e.sit)
		}
	}
}

// accepts reports whether a connection was accepted before an event.
func (t *teller) accepts(c *conn, before int) bool {
	for _, i := range c.events {
		if i < before && t.events[i].takes {
			return true
		}
	}
	return false
}
