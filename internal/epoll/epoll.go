// Package epoll is one epoll instance that other goroutines can wake.
package epoll

import (
	"encoding/binary"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A Poll is an epoll instance with an eventfd in it. See epoll(7).
type Poll struct {
	fd   sock.FD
	wake sock.FD
}

// New makes one. Its owner calls Close.
func New() (*Poll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &Poll{sock.FD(fd), sock.FD(wake)}
	// Edge-triggered: each write is reported once, and none needs to be read.
	if err := p.Add(p.wake, unix.EPOLLIN|unix.EPOLLET); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Add watches fd for events (EPOLL*). EEXIST: it is watched already; EPERM: it
// is of a kind that is always ready, such as a file.
func (p *Poll) Add(fd sock.FD, events uint32) error {
	return p.ctl(unix.EPOLL_CTL_ADD, fd, events, 0)
}

// AddTag is Add with a tag that comes back as the Pad of fd's events, to tell
// the holders of one descriptor number apart. Events of Add have the tag 0.
func (p *Poll) AddTag(fd sock.FD, events uint32, tag int32) error {
	return p.ctl(unix.EPOLL_CTL_ADD, fd, events, tag)
}

// Mod changes what fd is watched for. EINVAL: it was added with EPOLLEXCLUSIVE.
func (p *Poll) Mod(fd sock.FD, events uint32) error {
	return p.ctl(unix.EPOLL_CTL_MOD, fd, events, 0)
}

// ModTag is Mod with another tag.
func (p *Poll) ModTag(fd sock.FD, events uint32, tag int32) error {
	return p.ctl(unix.EPOLL_CTL_MOD, fd, events, tag)
}

// Del stops watching fd. ENOENT: it isn't watched, or was closed since.
func (p *Poll) Del(fd sock.FD) error { return p.ctl(unix.EPOLL_CTL_DEL, fd, 0, 0) }

func (p *Poll) ctl(op int, fd sock.FD, events uint32, tag int32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: tag}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(p.fd), op, int(fd), &e))
}

// Wait blocks until a watched descriptor is ready, Wake is called or the timeout
// is over; a negative timeout is none. It fills events, whose Fd is the
// descriptor, and leaves wake-ups out of them: 0 can mean any but the first.
func (p *Poll) Wait(events []unix.EpollEvent, timeout time.Duration) (int, error) {
	ms := -1
	if timeout >= 0 {
		// Rounded up, so that a timer is over when Wait returns for it; the
		// kernel takes a 32-bit int.
		timeout = min(timeout, math.MaxInt32*time.Millisecond)
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.EpollWait(int(p.fd), events, ms)
	if err == unix.EINTR {
		return 0, nil
	}
	if err != nil {
		return 0, os.NewSyscallError("epoll_wait", err)
	}
	return p.strip(events, n), nil
}

// strip takes the wake-up out of events.
func (p *Poll) strip(events []unix.EpollEvent, n int) int {
	for i := range n {
		if sock.FD(events[i].Fd) == p.wake {
			n--
			events[i] = events[n]
			break
		}
	}
	return n
}

// one is what a wake-up adds to the counter of eventfd(2), which has 64 bits and
// so never gets full.
var one = binary.NativeEndian.AppendUint64(nil, 1)

// Wake makes a Wait that runs, or the next one, return.
func (p *Poll) Wake() { p.wake.Write(one) }

// Readable reports whether fd is ready to be read, or in error, at this moment.
// See poll(2).
func Readable(fd sock.FD) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if err != unix.EINTR {
			return n > 0
		}
	}
}

// Descriptor is the epoll instance itself, readable when a watched one is ready.
func (p *Poll) Descriptor() sock.FD { return p.fd }

// Close ends it. No other method may run meanwhile or later.
func (p *Poll) Close() error {
	p.wake.Close()
	return p.fd.Close()
}
