package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Config says what to capture. Its zero value is every IP packet of our network
// namespace.
type Config struct {
	Netns     string            // file of a network namespace, such as /run/netns/blue; empty: ours
	Interface string            // a name; empty: all
	Filter    []bpf.Instruction // on packets that begin at their IP header, see [TCP]; nil: all
	Snap      int               // bytes kept of a packet; 0: 256, which holds all headers
	Buffer    int               // bytes that wait in the kernel; 0: 8 MiB, a third of which is data
}

// A Source captures packets. Its methods may be called from several goroutines,
// but for Read.
type Source struct {
	file *os.File
	raw  syscall.RawConn
	snap int

	batch  []mmsghdr
	buf    []byte // snap bytes per message
	oob    []byte
	names  []unix.RawSockaddrLinklayer
	iovecs []unix.Iovec
	next   int // of the batch
	filled int

	dropped atomic.Uint64
	closed  atomic.Bool
}

const (
	batchLen = 64
	oobLen   = 96 // an SCM_TIMESTAMPNS and a PACKET_AUXDATA
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// Open starts to capture. EPERM: it needs CAP_NET_RAW, and CAP_SYS_ADMIN for
// another network namespace. ENODEV: no such interface.
func Open(c Config) (*Source, error) {
	if c.Snap == 0 {
		c.Snap = 256
	}
	if c.Buffer == 0 {
		c.Buffer = 8 << 20
	}
	if c.Snap < 0 || c.Snap > maxPacket || c.Buffer < 0 {
		return nil, fmt.Errorf("capture: snap %d or buffer %d out of range: %w", c.Snap, c.Buffer, unix.EINVAL)
	}
	program, err := bpf.Assemble(snapped(c.Filter, c.Snap))
	if err != nil {
		return nil, fmt.Errorf("capture: filter: %w", err)
	}
	var fd sock.FD
	err = inNetns(c.Netns, func() (err error) {
		fd, err = open(c, program)
		return err
	})
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w: capturing needs root or CAP_NET_RAW", err)
		}
		return nil, &net.OpError{Op: "capture", Net: "packet", Err: err}
	}
	return newSource(fd, c.Snap)
}

// open makes the socket in the thread's network namespace. Until it is bound to
// a protocol, nothing that the filter would reject can get into its queue.
func open(c Config, program []bpf.RawInstruction) (fd sock.FD, err error) {
	// SOCK_DGRAM takes the link's header off, so that every interface looks alike.
	n, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return sock.None, os.NewSyscallError("socket AF_PACKET", err)
	}
	fd = sock.FD(n)
	defer func() {
		if err != nil {
			fd.Close()
			fd = sock.None
		}
	}()
	index := 0
	if c.Interface != "" {
		if index, err = interfaceIndex(n, c.Interface); err != nil {
			return fd, err
		}
	}
	if err = attach(n, program); err != nil {
		return fd, err
	}
	if err = unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fd, os.NewSyscallError("setsockopt SO_TIMESTAMPNS", err)
	}
	if err = unix.SetsockoptInt(n, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return fd, os.NewSyscallError("setsockopt PACKET_AUXDATA", err)
	}
	// SO_RCVBUFFORCE needs CAP_NET_ADMIN; SO_RCVBUF is clamped to rmem_max instead.
	if unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, c.Buffer) != nil {
		err = unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_RCVBUF, c.Buffer)
		if err != nil {
			return fd, os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	err = unix.Bind(n, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index})
	return fd, os.NewSyscallError("bind AF_PACKET", err)
}

func interfaceIndex(fd int, name string) (int, error) {
	req, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req)
	}
	if err != nil {
		return 0, fmt.Errorf("interface %q: %w", name, err)
	}
	return int(req.Uint32()), nil
}

func attach(fd int, program []bpf.RawInstruction) error {
	filters := make([]unix.SockFilter, len(program))
	for i, p := range program {
		filters[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]})
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
}

// networkOrder is htons.
func networkOrder(v uint16) uint16 {
	b := [2]byte{byte(v >> 8), byte(v)}
	return *(*uint16)(unsafe.Pointer(&b))
}

func newSource(fd sock.FD, snap int) (*Source, error) {
	s := &Source{
		file:   os.NewFile(uintptr(fd), "packet"),
		snap:   snap,
		batch:  make([]mmsghdr, batchLen),
		buf:    make([]byte, batchLen*snap),
		oob:    make([]byte, batchLen*oobLen),
		names:  make([]unix.RawSockaddrLinklayer, batchLen),
		iovecs: make([]unix.Iovec, batchLen),
	}
	for i := range s.batch {
		s.iovecs[i].Base = &s.buf[i*snap]
		s.iovecs[i].SetLen(snap)
		h := &s.batch[i].hdr
		h.Iov = &s.iovecs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&s.names[i]))
		h.Control = &s.oob[i*oobLen]
	}
	var err error
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, err
	}
	return s, nil
}

// Read waits for the next packet. net.ErrClosed: the source was closed;
// os.ErrDeadlineExceeded: see SetDeadline; ENETDOWN: the interface has gone.
func (s *Source) Read() (Packet, error) {
	for s.next == s.filled {
		if err := s.fill(); err != nil {
			return Packet{}, err
		}
	}
	i := s.next
	s.next++
	name, m := &s.names[i], &s.batch[i]
	p := Packet{
		Link:      Raw,
		Data:      s.buf[i*s.snap:][:m.len],
		Length:    int(m.len),
		Interface: int(name.Ifindex),
		Outgoing:  name.Pkttype == unix.PACKET_OUTGOING,
	}
	p.control(s.oob[i*oobLen:][:m.hdr.Controllen])
	return p, nil
}

// fill reads a batch, as a system call per packet would cost more than all else.
func (s *Source) fill() error {
	for i := range s.batch {
		h := &s.batch[i].hdr
		h.Namelen = uint32(unsafe.Sizeof(s.names[i]))
		h.SetControllen(oobLen)
	}
	var n uintptr
	var errno syscall.Errno
	err := s.raw.Read(func(fd uintptr) bool {
		n, _, errno = unix.Syscall6(unix.SYS_RECVMMSG, fd,
			uintptr(unsafe.Pointer(&s.batch[0])), uintptr(len(s.batch)), 0, 0, 0)
		return errno != unix.EAGAIN
	})
	if err != nil {
		if s.closed.Load() {
			return net.ErrClosed // the runtime's own error has no name
		}
		return err
	}
	if errno != 0 && errno != unix.EINTR {
		return os.NewSyscallError("recvmmsg", errno)
	}
	if errno != 0 {
		n = 0
	}
	s.next, s.filled = 0, int(n)
	return nil
}

// control takes from control messages when the kernel saw the packet, by
// CLOCK_REALTIME, and how long it was before the filter cut it.
func (p *Packet) control(oob []byte) {
	const head = unix.SizeofCmsghdr
	for len(oob) >= head {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
		size := int(c.Len)
		if size < head || size > len(oob) {
			return
		}
		value := oob[head:size]
		switch {
		case c.Level == unix.SOL_SOCKET && c.Type == unix.SCM_TIMESTAMPNS && len(value) >= int(unsafe.Sizeof(unix.Timespec{})):
			p.Time = time.Unix((*unix.Timespec)(unsafe.Pointer(&value[0])).Unix())
		case c.Level == unix.SOL_PACKET && c.Type == unix.PACKET_AUXDATA && len(value) >= 8:
			p.Length = int(binary.NativeEndian.Uint32(value[4:])) // tp_len of struct tpacket_auxdata
		}
		oob = oob[min(unix.CmsgSpace(size-head), len(oob)):]
	}
}

// SetDeadline makes a Read that waits, or the next one that would, return
// os.ErrDeadlineExceeded at a time. The zero time is none.
func (s *Source) SetDeadline(t time.Time) error { return s.file.SetReadDeadline(t) }

// Dropped is how many packets passed the filter since Open and didn't fit into
// the buffer.
func (s *Source) Dropped() (uint64, error) {
	err := s.raw.Control(func(fd uintptr) {
		// PACKET_STATISTICS starts anew at each reading.
		if st, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			s.dropped.Add(uint64(st.Drops))
		}
	})
	return s.dropped.Load(), err
}

// Close ends the capture, and a Read that waits.
func (s *Source) Close() error {
	s.closed.Store(true)
	return s.file.Close()
}
