package follow

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/cmd/syscallflow/internal/decode"
	"onconn/cmd/syscallflow/internal/recording"
	"onconn/sock"
)

// A socket is one of the recording, and what else is needed of it.
type socket struct {
	recording.Socket
	family int
	depth  recording.Depth // the last one
}

// borrow makes a descriptor of ours of one of the process's: pidfd_getfd(2). It must
// be closed before the process goes on, or a FIN would wait for us.
func (p *process) borrow(number int) sock.FD {
	if p.pidfd < 0 {
		fd, err := unix.PidfdOpen(p.pid, 0)
		if err != nil {
			return sock.None
		}
		p.pidfd = fd
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_PIDFD_GETFD, uintptr(p.pidfd), uintptr(number), 0)
	if errno != 0 {
		return sock.None
	}
	return sock.FD(fd)
}

func giveBack(fd sock.FD) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func (p *process) close() {
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
		p.pidfd = -1
	}
}

// learn finds out what a descriptor of a process is. Of what isn't a socket it
// gives the name.
func (r *Recorder) learn(p *process, number int) *entry {
	fd := p.borrow(number)
	if fd == sock.None {
		return r.learnName(p, number)
	}
	defer giveBack(fd)
	var st unix.Stat_t
	if unix.Fstat(int(fd), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return &entry{name: p.describe(number)}
	}
	if s := r.inodes[st.Ino]; s != nil {
		return &entry{socket: s}
	}
	s := r.newSocket(st.Ino, fd)
	s.refresh(fd)
	if s.Listens {
		r.announce(s)
	}
	return &entry{socket: s}
}

// learnName knows a socket by its inode, where pidfd_getfd(2) is forbidden or
// missing (Linux 5.6).
func (r *Recorder) learnName(p *process, number int) *entry {
	inode := p.inode(number)
	if inode == 0 {
		return &entry{name: p.describe(number)}
	}
	if s := r.inodes[inode]; s != nil {
		return &entry{socket: s}
	}
	return &entry{socket: r.newSocket(inode, sock.None)}
}

// made is a socket that a call has just made. look adds what the call says; it gets our
// descriptor of it, or none.
func (r *Recorder) made(p *process, number int, at recording.Time, look func(*socket, sock.FD)) *entry {
	fd := p.borrow(number)
	if fd == sock.None {
		s := r.newSocket(p.inode(number), fd)
		s.Made = at
		look(s, fd)
		return p.put(number, &entry{socket: s})
	}
	defer giveBack(fd)
	var st unix.Stat_t
	unix.Fstat(int(fd), &st)
	s := r.newSocket(st.Ino, fd)
	s.Made = at
	look(s, fd)
	return p.put(number, &entry{socket: s})
}

func (p *process) put(number int, e *entry) *entry {
	p.table.entries[number] = e
	return e
}

// newSocket gives a socket its number. Without a descriptor, little is known of it.
func (r *Recorder) newSocket(inode uint64, fd sock.FD) *socket {
	s := &socket{Socket: recording.Socket{ID: recording.SocketID(len(r.sockets) + 1), Inode: inode}}
	r.sockets = append(r.sockets, s)
	if inode != 0 {
		r.inodes[inode] = s
	}
	if fd == sock.None {
		return s
	}
	var cookie uint64
	size := uint32(unsafe.Sizeof(cookie))
	unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_COOKIE,
		uintptr(unsafe.Pointer(&cookie)), uintptr(unsafe.Pointer(&size)), 0)
	s.Cookie = cookie
	return s
}

// like gives a new socket the kind of another: a connection that of its listener.
func (s *socket) like(o *socket) {
	s.family = o.family
	s.Family, s.Type, s.Protocol = o.Family, o.Type, o.Protocol
}

// refresh reads what can be read of a socket that was not seen to come.
func (s *socket) refresh(fd sock.FD) {
	family, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
	typ, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
	protocol, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PROTOCOL)
	s.kind(family, typ, protocol)
	s.names(fd)
	if listens, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN); listens != 0 {
		s.listening(fd)
	}
}

func (s *socket) kind(family, typ, protocol int) {
	s.family = family
	s.Family, s.Type = decode.Family(family), decode.Type(typ)
	if protocol != 0 {
		s.Protocol = decode.Protocol(family, protocol)
	}
}

// names reads the two addresses, as far as there are any.
func (s *socket) names(fd sock.FD) {
	if fd == sock.None {
		return
	}
	s.Local = address(fd, unix.SYS_GETSOCKNAME, s.Local)
	s.Peer = address(fd, unix.SYS_GETPEERNAME, s.Peer)
}

func address(fd sock.FD, call uintptr, before string) string {
	var b [128]byte
	n := uint32(len(b))
	_, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b)), uintptr(unsafe.Pointer(&n)))
	if errno != 0 || int(n) > len(b) {
		return before
	}
	if _, short := decode.Address(b[:n]); short != "" {
		return short
	}
	return before
}

func (s *socket) listening(fd sock.FD) {
	s.Listens = true
	if q, err := backlog.Of(fd); err == nil {
		s.Backlog = q.Limit
	}
}
