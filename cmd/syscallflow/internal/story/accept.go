package story

import "onconn/cmd/syscallflow/internal/recording"

// tries tell the herd, which comes too late, from who looks whether there is more:
// whether another process accepted shortly before.
type tries map[recording.SocketID]lastWin

type lastWin struct {
	pid int
	at  recording.Time
}

// tooLate is how long after another's accept an EAGAIN is for its sake: the
// wake-up may take its time if a tracer stops everybody.
const tooLate = recording.Time(100e6)

func (t tries) won(l recording.SocketID, pid int, at recording.Time) {
	t[l] = lastWin{pid, at}
}

func (t tries) lost(l recording.SocketID, pid int, at recording.Time) bool {
	w, ok := t[l]
	return ok && w.pid != pid && at-w.at < tooLate
}

func (t *teller) accept(c *recording.Call, e event, tries tries) {
	if c.End == 0 && of(c.New).Socket == 0 {
		return // it waits still
	}
	e.at = max(c.Begin, c.End)
	l := e.socket
	e.from = t.queue(l, "")
	e.label, e.sign, e.sit = c.Name, "accept", "acceptOnly"
	switch c.Errno {
	case "":
		tries.won(l, c.PID, e.at)
		e.socket, e.result = of(c.New).Socket, outcome(c)
		e.conn, e.takes = t.byID[e.socket], true
		if e.conn != nil && e.conn.acceptedAt == 0 {
			e.conn.acceptedAt = e.at
		}
	case "EAGAIN", "EWOULDBLOCK":
		e.state, e.sit = Odd, "herd"
		if !tries.lost(l, c.PID, e.at) {
			e.state, e.sit, e.detail = Well, "drained", true
		}
		e.sign = string(e.sit)
	case "EMFILE", "ENFILE":
		e.why, e.man = explain("fdLimit", c.Errno)
		e.sit, e.sign = "fdLimit", c.Errno
	case "EINVAL":
		e.sit, e.sign = "notListens", c.Errno
	default:
		e.why, e.man = explain("acceptFail", c.Errno)
		e.sit, e.sign = "acceptFail", c.Errno
		e.detail = c.Errno == "ERESTARTSYS" || c.Errno == "EINTR"
	}
	t.add(e)
}
