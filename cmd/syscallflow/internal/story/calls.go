package story

import (
	"fmt"
	"strconv"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/internal/words"
)

// processes makes events of births and deaths.
func (t *teller) processes() {
	for i := range t.r.Processes {
		p := &t.r.Processes[i]
		if parent, ok := t.procs[p.Parent]; ok && parent.PID != p.PID && p.Begin != 0 {
			e := event{at: p.Begin, kind: Life, from: process(parent.PID), to: process(p.PID),
				label: "fork", sign: "fork", sit: "fork", hint: true, pid: parent.PID,
				raw: []string{fmt.Sprintf("%d begins, a child of %d: %s", p.PID, parent.PID, strings.Join(p.Args, " "))}}
			if fd, ok := t.inherits(p); ok {
				e.socket, e.result, e.sit = fd.Socket, fmt.Sprintf("has fd %d", fd.Number), "inherits"
			}
			t.add(e)
		}
		if p.End != 0 && p.Status != "" && p.Status != "exit status 0" {
			why, man := explain("died", p.Status)
			t.add(event{at: p.End, kind: Life, from: process(p.PID), to: process(p.PID), label: p.Status,
				sign: "died", sit: "died", state: Failed, why: why, man: man, pid: p.PID, detail: endedByUs(t.r, p), hint: t.helper(p),
				raw: []string{fmt.Sprintf("%d ended: %s", p.PID, p.Status)}})
		}
	}
}

// helper reports whether the end of a process matters to nobody who isn't in the
// drawing anyway: scripts start many that fail as they should.
func (t *teller) helper(p *recording.Process) bool {
	_, child := t.procs[p.Parent]
	return child && !strings.HasPrefix(p.Status, "signal: ")
}

// endedByUs reports whether a process was ended by a signal when the recording
// was: who records has ended the program then, which is no failure to show.
func endedByUs(r *recording.Recording, p *recording.Process) bool {
	return strings.HasPrefix(p.Status, "signal: ") && p.End > r.Took-r.Took/20
}

// inherits is the listener that a process uses without having made or got it.
func (t *teller) inherits(p *recording.Process) (recording.FD, bool) {
	got := map[recording.SocketID]bool{}
	for _, c := range t.byPID[p.PID] {
		if strings.HasPrefix(c.Name, "recv") {
			for _, fd := range c.Passed {
				got[fd.Socket] = true
			}
		}
		if c.Name == "pidfd_getfd" || c.Name == "socket" {
			got[of(c.New).Socket] = true
		}
		fd := of(c.FD)
		s := t.socks[fd.Socket]
		if s != nil && t.class[fd.Socket] == listener && !got[fd.Socket] && s.Made < p.Begin && uses[c.Name] && !t.aside[fd.Socket] {
			return fd, true
		}
	}
	return recording.FD{}, false
}

// uses are calls that somebody makes who means to use a listener, and not only
// to pass through with it from fork to exec.
var uses = map[string]bool{"accept": true, "accept4": true, "listen": true, "epoll_ctl": true, "poll": true}

// calls makes events of system calls.
func (t *teller) calls() {
	listened := map[recording.SocketID]bool{}
	receipts := t.receipts()
	tries := tries{}
	type use struct {
		pid    int
		socket recording.SocketID
	}
	used := map[use]bool{}
	for i := range t.r.Calls {
		c := &t.r.Calls[i]
		fd := of(c.FD)
		e := event{at: c.Begin, end: c.End, from: process(c.PID), to: process(c.PID), socket: fd.Socket,
			pid: c.PID, conn: t.byID[fd.Socket], raw: []string{Raw(c)}}
		if fd.Socket != 0 && (t.family(fd.Socket) == "AF_NETLINK" || t.datagram(fd.Socket)) {
			e.detail = true
		}
		e.detail = e.detail || t.aside[fd.Socket]
		if c.Errno != "" {
			e.state, e.result = Failed, c.Errno
		}
		if uses[c.Name] || c.Name == "bind" {
			used[use{c.PID, e.socket}] = true
		}
		switch c.Name {
		case "socket":
			t.socket(c, e)
		case "socketpair":
			e.label, e.sign, e.sit, e.minor = "socketpair", "socketpair", "channel", true
			if len(c.Passed) == 2 {
				e.result = fmt.Sprintf("= %d, %d", c.Passed[0].Number, c.Passed[1].Number)
				e.socket = c.Passed[0].Socket
			}
			e.detail = !t.carries(c)
			t.add(e)
		case "setsockopt":
			t.option(c, e)
		case "bind":
			t.bind(c, e)
		case "listen":
			t.listen(c, e, listened)
		case "accept", "accept4":
			t.accept(c, e, tries)
		case "connect":
			t.connect(c, e)
		case "sendmsg", "recvmsg", "sendmmsg", "recvmmsg":
			if len(c.Passed) > 0 || c.Name == "sendmsg" && strings.Contains(text(c), "SCM_RIGHTS") {
				t.pass(c, e, receipts)
				break
			}
			t.io(c, e)
		case "read", "readv", "recv", "recvfrom", "write", "writev", "send", "sendto", "sendfile", "splice":
			t.io(c, e)
		case "close", "shutdown":
			// What fork has left is closed by many who never wanted it.
			e.detail = e.detail || t.class[e.socket] == listener && !used[use{c.PID, e.socket}]
			t.end(c, e)
		case "epoll_ctl":
			t.epoll(c, e)
		case "pidfd_getfd":
			e.socket = of(c.New).Socket
			e.label, e.sign, e.sit, e.detail = "pidfd_getfd", c.Name, "taken", e.socket == 0
			e.result = outcome(c)
			t.add(e)
		case "io_uring_setup":
			e.label, e.sign, e.sit, e.state = "io_uring_setup", c.Name, "uring", Odd
			t.add(e)
		default:
			if fd.Socket == 0 {
				break // waiting, and what isn't about sockets
			}
			e.label, e.sign, e.detail, e.result = c.Name, c.Name, true, outcome(c)
			t.add(e)
		}
	}
}

func (t *teller) datagram(id recording.SocketID) bool {
	s := t.socks[id]
	return s != nil && s.Type == "SOCK_DGRAM"
}

func (t *teller) socket(c *recording.Call, e event) {
	e.socket = of(c.New).Socket
	e.label, e.sign, e.sit, e.minor, e.result = "socket", "socket", "socket", true, outcome(c)
	e.detail = t.aside[e.socket]
	switch t.class[e.socket] {
	case listener, bound:
	default:
		e.detail = c.Errno == "" // of clients too: connect says enough
	}
	if t.datagram(e.socket) {
		e.detail = true
	}
	if c.Errno != "" {
		e.why, e.man = explain("ioFail", c.Errno)
	}
	t.add(e)
}

// notable are options without which the rest can't be understood.
var notable = map[string]situation{
	"SO_REUSEADDR": "reuseaddr", "SO_REUSEPORT": "reuseport", "TCP_DEFER_ACCEPT": "defer",
	"SO_ATTACH_REUSEPORT_CBPF": "steer", "SO_ATTACH_REUSEPORT_EBPF": "steer",
}

func (t *teller) option(c *recording.Call, e event) {
	name := arg(c, "optname", 2)
	e.label, e.sign = "setsockopt "+name, name
	e.sit = notable[name]
	if cl := t.class[e.socket]; cl != listener && cl != bound || e.sit == "" {
		e.detail = true
	}
	e.minor = true
	if c.Errno != "" {
		e.why, e.man = explain("ioFail", c.Errno)
	}
	t.add(e)
}

func (t *teller) bind(c *recording.Call, e event) {
	address := c.Address
	if s := t.socks[e.socket]; s != nil && address == "" {
		address = s.Local
	}
	e.to = t.queue(e.socket, address)
	e.label, e.sign, e.sit = "bind "+port(address), "bind", "bind"
	switch c.Errno {
	case "":
	case "EADDRINUSE":
		e.sit = "inUse"
	case "EACCES":
		e.sit = "lowPort"
	case "EADDRNOTAVAIL":
		e.sit = "noAddress"
	default:
		e.sit = "bindError"
		e.why, e.man = explain(e.sit, c.Errno)
	}
	t.add(e)
}

func (t *teller) listen(c *recording.Call, e event, listened map[recording.SocketID]bool) {
	e.to = t.queue(e.socket, "")
	asked := arg(c, "backlog", 1)
	e.label, e.sign, e.sit = fmt.Sprintf("listen(%d, %s)", of(c.FD).Number, asked), "listen", "listen"
	n, err := strconv.Atoi(asked)
	granted, known := t.backlog(e.socket)
	if n >= 0 {
		granted = min(granted, n) // more was granted by a later call
	}
	known = err == nil && (known || n == 0) // 0 isn't told from unknown
	switch {
	case c.Errno != "":
		e.why, e.man = explain("listenFail", c.Errno)
	case listened[e.socket]:
		e.sit = "again"
		e.why, e.man = explain(e.sit, n)
	case known && granted < n:
		e.sit, e.state, e.result = "clamped", Odd, fmt.Sprintf("got %d", granted)
		e.why, e.man = explain(e.sit, n, granted)
	case known:
		e.result = fmt.Sprintf("got %d", granted)
		e.why, e.man = explain(e.sit, n, granted, words.Count(granted+1, "connection"))
	default:
		e.why, e.man = "The kernel accepts connections from now on, by itself.", "listen(2)"
	}
	listened[e.socket] = listened[e.socket] || c.Errno == ""
	t.add(e)
}

// backlog is what a listener was granted, if that is known.
func (t *teller) backlog(id recording.SocketID) (granted int, known bool) {
	if s := t.socks[id]; s != nil {
		return s.Backlog, s.Backlog > 0
	}
	return 0, false
}

func (t *teller) connect(c *recording.Call, e event) {
	e.label, e.sign, e.sit = "connect "+port(c.Address), "connect", "connect"
	e.to = actor{kind: Client}
	for _, s := range t.listeners {
		if s.Local == c.Address || port(s.Local) == port(c.Address) && strings.HasPrefix(port(s.Local), ":") {
			e.to = t.queue(s.ID, "")
		}
	}
	e.at = c.Begin
	switch c.Errno {
	case "":
	case "EINPROGRESS", "EAGAIN":
		e.state, e.sit, e.result = Well, "progress", ""
	case "ECONNREFUSED":
		e.sit = "refused"
	default:
		e.why, e.man = explain("connectFail", c.Errno)
	}
	// Name services that aren't there are asked for by every C program.
	e.detail = e.detail || t.family(e.socket) == "AF_UNIX" && e.to.kind == Client
	t.add(e)
}
