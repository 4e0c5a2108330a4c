package story

import (
	"fmt"
	"slices"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
)

// A receipt is a descriptor that a process got by SCM_RIGHTS.
type receipt struct {
	call *recording.Call
	fd   recording.FD
	used bool
}

func (t *teller) receipts() map[recording.SocketID][]*receipt {
	receipts := map[recording.SocketID][]*receipt{}
	for i := range t.r.Calls {
		c := &t.r.Calls[i]
		if !strings.HasPrefix(c.Name, "recv") {
			continue
		}
		for _, fd := range c.Passed {
			receipts[fd.Socket] = append(receipts[fd.Socket], &receipt{call: c, fd: fd})
		}
	}
	return receipts
}

// pass makes one event of a descriptor's way: of the sending and the receiving.
func (t *teller) pass(c *recording.Call, e event, receipts map[recording.SocketID][]*receipt) {
	var fd recording.FD
	for _, passed := range c.Passed { // a connection or a listener before all else
		if t.serves(passed.Socket) && !t.serves(fd.Socket) || fd == (recording.FD{}) {
			fd = passed
		}
	}
	e.detail = e.detail || len(c.Passed) > 0 && !t.serves(fd.Socket)
	e.kind, e.socket, e.conn = Pass, fd.Socket, t.byID[fd.Socket]
	e.label = fmt.Sprintf("SCM_RIGHTS %d", fd.Number)
	if len(c.Passed) > 1 {
		e.label += fmt.Sprintf(" and %d more", len(c.Passed)-1)
	}
	e.sign = "pass"
	if strings.HasPrefix(c.Name, "recv") {
		for _, r := range receipts[fd.Socket] {
			if r.call == c && r.used {
				return // told with its sending
			}
		}
		e.at, e.sit, e.kind = max(c.Begin, c.End), "received", Act
		e.label, e.result = "recvmsg SCM_RIGHTS", fmt.Sprintf("= %d", fd.Number)
		t.add(e)
		return
	}
	if c.Errno != "" {
		e.why, e.man = explain("passFail", c.Errno)
		e.detail = c.Errno == "EAGAIN"
		t.add(e)
		return
	}
	e.sit, e.state = "unclaimed", Odd
	for _, r := range receipts[fd.Socket] {
		if r.used || r.call.PID == c.PID || max(r.call.Begin, r.call.End) < c.Begin-t.r.Clock {
			continue
		}
		r.used = true
		e.to, e.end, e.state = process(r.call.PID), max(r.call.Begin, r.call.End), Well
		e.result = fmt.Sprintf("= %d", r.fd.Number)
		e.raw = append(e.raw, Raw(r.call))
		if t.passed[fd.Socket] == nil {
			t.passed[fd.Socket] = map[int]int{}
		}
		t.passed[fd.Socket][c.PID] = r.call.PID
		switch t.class[fd.Socket] {
		case accepted:
			e.sit = "connPass"
			if t.idle(r.call.PID) {
				e.sit = "robin"
			}
		case listener, bound:
			e.sit = "listenerPass"
		default:
			e.sit = "otherPass"
		}
		break
	}
	t.add(e)
}

// serves reports whether a socket is a listener or a connection to one.
func (t *teller) serves(id recording.SocketID) bool {
	switch t.class[id] {
	case listener, bound, accepted:
		return true
	}
	return false
}

// idle reports that a process leaves the listening to others.
func (t *teller) idle(pid int) bool {
	if known, ok := t.idles[pid]; ok {
		return known
	}
	idle := !slices.ContainsFunc(t.byPID[pid], func(c *recording.Call) bool {
		switch c.Name {
		case "bind", "listen", "accept", "accept4":
			return t.family(of(c.FD).Socket) != "AF_NETLINK"
		}
		return false
	})
	t.idles[pid] = idle
	return idle
}

// carries reports whether descriptors pass over a pair of sockets.
func (t *teller) carries(made *recording.Call) bool {
	return slices.ContainsFunc(made.Passed, func(fd recording.FD) bool { return t.carriers[fd.Socket] })
}

// io makes events of what is read and written.
func (t *teller) io(c *recording.Call, e event) {
	reads := strings.HasPrefix(c.Name, "re")
	cl := t.class[e.socket]
	e.kind = Data
	verb := "write"
	if reads {
		verb, e.at = "read", max(c.Begin, c.End)
	}
	e.label, e.sign = strings.TrimSpace(verb+" "+excerpt(c.Data, c.Size)), verb
	e.detail = e.detail || cl != accepted && cl != outgoing
	switch {
	case c.End == 0 && c.Return == 0 && c.Errno == "":
		return // it waits still
	case c.Errno == "EAGAIN" || c.Errno == "EINTR" || strings.HasPrefix(c.Errno, "ERESTART"):
		e.detail, e.state = true, Odd
	case c.Errno == "EPIPE" || c.Errno == "ECONNRESET":
		e.label, e.sign = verb, c.Errno
		e.why, e.man = explain("broken", c.Errno)
	case c.Errno != "":
		e.label, e.sign = verb, c.Errno
		e.why, e.man = explain("ioFail", c.Errno)
	case reads && c.Return == 0:
		e.label, e.sign, e.sit, e.kind = "read", "end", "end", Act
		e.result, e.minor = "= 0", true
	case reads:
		e.sit = "read"
		if cl == accepted && e.conn != nil && !t.captured() {
			e.from = t.client(e.conn)
		}
	case cl == accepted:
		e.sit, e.to = "write", t.client(e.conn)
		if e.conn != nil {
			e.conn.replied = true
		}
		if t.received(e.socket, c.PID) {
			e.sit = "direct"
		}
	default:
		e.sit = "write"
	}
	if cl == pair && strings.Contains(string(c.Data), `"act":"queryServer"`) && !reads {
		e.detail, e.sit, e.label, e.sign = false, "query", "asks for a server", "query"
		if parent, ok := t.procs[t.parent(c.PID)]; ok {
			e.to = process(parent.PID)
		}
	}
	t.add(e)
}

func (t *teller) captured() bool { return len(t.r.Packets) > 0 }

func (t *teller) parent(pid int) int {
	if p := t.procs[pid]; p != nil && p.Parent != pid {
		return p.Parent
	}
	return 0
}

// received reports whether a process got a socket from another one.
func (t *teller) received(id recording.SocketID, pid int) bool {
	for _, to := range t.passed[id] {
		if to == pid {
			return true
		}
	}
	return false
}

// end makes events of close and shutdown.
func (t *teller) end(c *recording.Call, e event) {
	n := of(c.FD).Number
	e.label, e.sign, e.minor = fmt.Sprintf("%s(%d)", c.Name, n), c.Name, true
	switch cl := t.class[e.socket]; {
	case c.Errno != "":
		e.detail = true // ENOTCONN, of a client that has gone already
	case c.Name == "shutdown":
		e.sit, e.detail = "shutdown", e.detail || cl != accepted && cl != listener && cl != outgoing
		e.label = fmt.Sprintf("shutdown(%d, %s)", n, arg(c, "how", 1))
		if cl == listener {
			e.sit = "shutListen"
		}
	case t.passed[e.socket][c.PID] != 0 && t.serves(e.socket):
		e.sit, e.sign, e.detail = "closeCopy", "closeCopy", cl != accepted
	case cl == listener && t.lastUse[e.socket] > c.End:
		e.sit, e.sign = "closeOne", "closeOne"
	case cl == listener:
		e.sit = "closeListen"
	case cl == accepted, cl == outgoing:
		e.sit = "closeConn"
		e.detail = e.detail || cl == outgoing && t.family(e.socket) == "AF_UNIX"
	default:
		e.detail = true
	}
	t.add(e)
}

// epoll shows which listeners are watched.
func (t *teller) epoll(c *recording.Call, e event) {
	watched := e.socket
	e.label, e.sign, e.minor = "epoll_ctl", "epoll", true
	e.detail = e.detail || t.class[watched] != listener || !strings.Contains(text(c), "EPOLL_CTL_ADD")
	e.sit = "epoll"
	if strings.Contains(text(c), "EPOLLEXCLUSIVE") {
		e.label, e.sign, e.sit = "epoll_ctl EPOLLEXCLUSIVE", "exclusive", "exclusive"
	}
	t.add(e)
}
