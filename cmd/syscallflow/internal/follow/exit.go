package follow

import (
	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/decode"
	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/tracer"
	"onconn/sock"
)

// Exit is called by the tracer.
func (r *Recorder) Exit(t *tracer.Thread, at int64, value int64) {
	w, p := t.Pending.(*pending), r.processes[t.PID]
	if w == nil || w.result == nil || p == nil {
		return
	}
	end := r.Time(at)
	w.call.Exit(tracer.Memory(t.PID), w.args, r.config.Prefix, value, w.result)
	var unkept recording.Call
	c := &unkept
	if w.index >= 0 {
		c = &r.recording.Calls[w.index]
	}
	c.End, c.Return = end, value
	if errno := decode.Errno(value); errno != "" {
		c.Return, c.Errno = -1, errno
	}
	if never[w.call.Name] && len(r.quick) < maxQuick {
		r.quick = append(r.quick, c.End-c.Begin)
	}
	r.effect(p, w, c, value)
	fill(c, w.result)
	w.result = nil
}

// effect is what a call did to descriptors and sockets.
func (r *Recorder) effect(p *process, w *pending, c *recording.Call, value int64) {
	number := int(value)
	switch w.call.Name {
	case "connect":
		if w.entry.isSocket() && (value == 0 || c.Errno == "EINPROGRESS") {
			w.entry.socket.Peer = w.result.Address
			r.look(p, int(int32(w.args[0])), w.entry.socket.names)
		}
		return
	case "dup3", "dup2", "dup", "fcntl":
		if value >= 0 {
			c.New = p.put(number, w.entry).fd(number)
		}
		return
	}
	if value < 0 {
		return
	}
	switch w.call.Name {
	case "socket":
		e := r.made(p, number, c.End, func(s *socket, _ sock.FD) {
			s.kind(int(int32(w.args[0])), int(int32(w.args[1])), int(int32(w.args[2])))
		})
		c.New = e.fd(number)
	case "socketpair":
		r.paired(p, w, c)
	case "accept", "accept4":
		r.accepted(p, w, c, number)
	case "bind":
		if w.entry.isSocket() {
			w.entry.socket.Local = w.result.Address
			r.look(p, int(int32(w.args[0])), w.entry.socket.names) // port 0 has become one
		}
	case "listen":
		if w.entry.isSocket() {
			r.listens(p, int(int32(w.args[0])), w.entry.socket)
		}
	case "recvmsg", "recvmmsg":
		for _, n := range w.result.Rights {
			e := r.learn(p, n)
			if e.socket != nil {
				p.put(n, e)
			}
			c.Passed = append(c.Passed, *e.fd(n))
		}
	case "pidfd_getfd":
		if e := r.learn(p, number); e.socket != nil {
			c.New = p.put(number, e).fd(number)
		}
	case "epoll_create", "epoll_create1":
		c.New = p.put(number, &entry{name: "eventpoll"}).fd(number)
	case "close_range":
		r.closedRange(p, w.args)
	}
}

// look reads from a socket with a descriptor of ours.
func (r *Recorder) look(p *process, number int, read func(sock.FD)) {
	fd := p.borrow(number)
	if fd == sock.None {
		return
	}
	defer giveBack(fd)
	read(fd)
}

func (r *Recorder) paired(p *process, w *pending, c *recording.Call) {
	if len(w.result.Pair) != 2 {
		return
	}
	var both [2]*socket
	for i, n := range w.result.Pair {
		e := r.made(p, n, c.End, func(s *socket, _ sock.FD) {
			s.kind(int(int32(w.args[0])), int(int32(w.args[1])), int(int32(w.args[2])))
		})
		both[i] = e.socket
		c.Passed = append(c.Passed, *e.fd(n))
	}
	both[0].Pair, both[1].Pair = both[1].ID, both[0].ID
}

// accepted: the kernel tells the peer only to a program that asks, so we ask it.
func (r *Recorder) accepted(p *process, w *pending, c *recording.Call, number int) {
	e := r.made(p, number, c.End, func(s *socket, fd sock.FD) {
		if w.entry.isSocket() {
			s.like(w.entry.socket)
			s.From = w.entry.socket.ID
		}
		s.Peer = w.result.Address
		s.names(fd)
	})
	c.New = e.fd(number)
	c.Address = e.socket.Peer
	if w.entry.listens() {
		r.measure(p, int(int32(w.args[0])), w.entry.socket, c.End)
	}
}

func (r *Recorder) listens(p *process, number int, s *socket) {
	s.Listens = true
	r.look(p, number, func(fd sock.FD) {
		s.names(fd) // listen binds what isn't bound
		s.listening(fd)
	})
	r.announce(s)
}

// announce tells of a listener.
func (r *Recorder) announce(s *socket) {
	if r.config.Listening != nil {
		r.config.Listening(Listener{Socket: s.ID, Address: s.Local, Cookie: s.Cookie})
	}
}

// closedRange: close_range(2). With CLOSE_RANGE_CLOEXEC nothing is closed yet.
func (r *Recorder) closedRange(p *process, args [6]uint64) {
	if args[2]&unix.CLOSE_RANGE_CLOEXEC != 0 {
		return
	}
	if args[2]&unix.CLOSE_RANGE_UNSHARE != 0 {
		p.table = p.table.copy()
	}
	for n := range p.table.entries {
		if uint64(n) >= args[0]&0xffffffff && uint64(n) <= args[1]&0xffffffff {
			delete(p.table.entries, n)
		}
	}
}

// fill puts what was found in the arguments into the recording.
func fill(c *recording.Call, d *decode.Result) {
	c.Args, c.Data, c.Size = d.Args, d.Data, d.Size
	if d.Address != "" {
		c.Address = d.Address
	}
}
