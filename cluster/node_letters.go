package cluster

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// letters is a source of connections that come as messages, each of which wants
// an answer: yes when Accept takes it, and no when that doesn't happen soon, so
// that another worker gets it.
type letters struct {
	answer func(seq uint64, yes bool) // called without locks

	mu      sync.Mutex
	box     sock.FD // an eventfd, readable when Accept has something to return: the listener's
	flag    sock.FD // a duplicate, which outlives the listener
	waiting []letter
	ended   bool
	timer   *time.Timer
}

type letter struct {
	fd   sock.FD
	peer sock.Addr
	seq  uint64
	came time.Time
}

// letterTime is how long a connection waits for a program that takes none: what
// stealAfter is where the primary is one of this package.
const letterTime = stealAfter

var errNoLetter = os.NewSyscallError("read", unix.EAGAIN)

func newLetters(answer func(seq uint64, yes bool)) (*letters, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	flag, err := sock.FD(fd).Dup()
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &letters{answer: answer, box: sock.FD(fd), flag: flag}, nil
}

// Descriptor is for whoever waits; who makes a listener of letters closes it.
func (l *letters) Descriptor() sock.FD { return l.box }

// Accept takes the connection that came first. io.EOF: no more come.
func (l *letters) Accept() (sock.FD, sock.Addr, error) {
	l.mu.Lock()
	if len(l.waiting) == 0 {
		defer l.mu.Unlock()
		if l.ended {
			return sock.None, sock.Addr{}, io.EOF
		}
		return sock.None, sock.Addr{}, errNoLetter
	}
	first := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.lowerLocked()
	l.mu.Unlock()
	l.answer(first.seq, true)
	return first.fd, first.peer, nil
}

// put takes ownership of fd.
func (l *letters) put(fd sock.FD, seq uint64) {
	peer, _ := fd.Getpeername() // a client that has gone has no name, as for accept
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		go l.refuse([]letter{{fd: fd, seq: seq}})
		return
	}
	l.waiting = append(l.waiting, letter{fd, peer, seq, time.Now()})
	if len(l.waiting) == 1 {
		l.raise()
		l.wakeLocked(letterTime)
	}
}

// wakeLocked has old letters looked for later.
func (l *letters) wakeLocked(after time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(after, l.expire)
	} else {
		l.timer.Reset(after)
	}
}

// expire refuses what has waited for too long.
func (l *letters) expire() {
	l.mu.Lock()
	var old []letter
	for len(l.waiting) > 0 && time.Since(l.waiting[0].came) >= letterTime {
		old = append(old, l.waiting[0])
		l.waiting = l.waiting[1:]
	}
	switch {
	case len(l.waiting) > 0:
		l.wakeLocked(letterTime - time.Since(l.waiting[0].came))
	case len(old) > 0:
		l.lowerLocked()
	}
	l.mu.Unlock()
	l.refuse(old)
}

func (l *letters) refuse(all []letter) {
	for _, one := range all {
		one.fd.Close()
		l.answer(one.seq, false)
	}
}

// end refuses what waits, and has Accept return io.EOF.
func (l *letters) end() {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	l.ended = true
	rest := l.waiting
	l.waiting = nil
	l.raise()
	l.flag.Close()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	l.refuse(rest)
}

// raise makes box readable.
func (l *letters) raise() {
	one := [8]byte{1}
	l.flag.Write(one[:])
}

// lowerLocked makes it unreadable when nothing waits.
func (l *letters) lowerLocked() {
	if len(l.waiting) == 0 && !l.ended {
		var count [8]byte
		l.flag.Read(count[:])
	}
}
