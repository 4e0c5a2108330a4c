package chaos

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A slot is a place for one connection of a client at a time.
type slot struct {
	client *client
	tag    int32
	fd     sock.FD
	state  slotState
	local  netip.AddrPort
	number uint32
	index  int // of the request
	planned
	numbers numbers

	request, answer []byte
	sent            int // of request
	got             int // of answer
	worker          uint32

	began time.Time // the connection
	asked time.Time // the request; the first one with its connection
	due   time.Time // the next one, while it thinks
}

type slotState int

const (
	slotFree slotState = iota
	slotSending
	slotWaiting
	slotThinking
	slotEnding // answered; the worker is to close
)

// planned is what a connection will do, by its number alone.
type planned struct {
	requests int
	orderly  bool // ends by FIN, and sees that the worker's end is one
}

// idleLimit is how long a connection may have been idle for the client to use it
// again. It is far below the worker's grace, as with every client of HTTP.
const idleLimit = time.Second

// maxThink is how long a client thinks at most between two requests.
const maxThink = 20 * time.Millisecond

// next begins a connection, or leaves the slot free.
func (s *slot) next() {
	c := s.client
	s.state = slotFree
	for c.more() {
		s.number = uint32(c.begun)
		c.begun++
		s.plan()
		c.open++
		if err := s.connect(); err == nil {
			return
		} else {
			s.lose(err, "")
		}
	}
}

func (s *slot) plan() {
	c := s.client
	s.numbers = numbers(c.cfg.Seed ^ uint64(c.cfg.Client)<<48 ^ uint64(s.number)<<8)
	s.index, s.worker = 0, 0
	s.planned = planned{requests: 1, orderly: s.numbers.below(16) == 0}
	if float64(s.numbers.below(1000)) < c.cfg.KeepAlive*1000 {
		s.requests = 2 + s.numbers.below(5)
	}
}

// reset has close send RST and leave nothing in TIME_WAIT.
var reset = unix.Linger{Onoff: 1}

// connect begins the handshake and, where that is over already, as it is on the
// loopback interface, sends the request.
func (s *slot) connect() (err error) {
	s.began = time.Now()
	s.asked = s.began
	if s.fd, err = s.open(); err != nil {
		return err
	}
	if !s.orderly {
		unix.SetsockoptLinger(int(s.fd), unix.SOL_SOCKET, unix.SO_LINGER, &reset)
	}
	if err = s.fd.Connect(s.client.server); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	s.compose()
	s.state = slotSending
	if err = s.send(); err != nil {
		return err
	}
	events := uint32(toRead)
	if s.state == slotSending {
		events = toWrite
	}
	return s.client.poll.AddTag(s.fd, events, s.tag)
}

const (
	toRead  = unix.EPOLLIN | unix.EPOLLET
	toWrite = toRead | unix.EPOLLOUT
)

// open makes a socket with an address that no connection had before. One that
// is taken was another program's.
func (s *slot) open() (sock.FD, error) {
	fd, err := sock.Socket(sock.Inet, sock.Stream, sock.TCP)
	if err != nil {
		return sock.None, err
	}
	for range 1000 {
		s.local = s.client.address()
		if err = fd.Bind(sock.IPAddr(s.local)); !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		fd.Close()
		return sock.None, err
	}
	return fd, nil
}

// compose makes the next request.
func (s *slot) compose() {
	size := s.numbers.below(256)
	if s.numbers.below(64) == 0 {
		size = s.numbers.below(maxPayload + 1)
	}
	if s.request == nil {
		s.request = make([]byte, 0, maxMessage)
		s.answer = make([]byte, maxMessage+1) // one more, to see what is too long
	}
	s.request = s.request[:headerSize+size]
	s.numbers.fill(s.request[headerSize:])
	h := header{
		magic: magicRequest, run: s.client.cfg.Run, client: uint16(s.client.cfg.Client),
		number: s.number, index: uint16(s.index), size: uint16(size),
	}
	if s.index == s.requests-1 {
		h.flags = flagLast
	}
	h.put(s.request)
	s.sent, s.got = 0, 0
}

func (s *slot) send() error {
	for s.sent < len(s.request) {
		n, err := s.fd.Write(s.request[s.sent:])
		if err != nil {
			if errors.Is(err, unix.EAGAIN) {
				return nil
			}
			return err
		}
		s.sent += n
	}
	s.state = slotWaiting
	return nil
}

// ready does what an event of the socket is about.
func (s *slot) ready() {
	if s.state == slotSending {
		if err := s.send(); err != nil {
			s.lose(err, "")
			s.next()
			return
		}
	}
	for {
		n, err := s.fd.Read(s.answer[s.got:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case s.state == slotEnding && n > 0:
			s.lose(errWrong, fmt.Sprintf("%d bytes came after the answer", n))
		case s.state == slotEnding: // the end, however it comes
			s.finish()
		case err != nil:
			s.lose(err, "")
		case n == 0:
			s.lose(errEOF, "")
		case s.state != slotWaiting:
			s.lose(errWrong, fmt.Sprintf("%d bytes came without a request", n))
		default:
			s.got += n
			more, err := s.judge()
			if err != nil {
				s.lose(errWrong, err.Error())
				break
			}
			if more {
				continue
			}
			return
		}
		s.next()
		return
	}
}

// judge looks whether the answer is whole. If it is not, or if the connection's
// end is to follow it, there is more to read.
func (s *slot) judge() (more bool, err error) {
	n, err := whole(s.answer[:s.got], magicAnswer)
	switch {
	case err != nil:
		return false, err
	case n == 0 || s.got < n:
		return true, nil
	case s.got > n:
		return false, fmt.Errorf("%d bytes too many came with the answer", s.got-n)
	}
	h, err := checkAnswer(s.request, s.answer[:n])
	if err != nil {
		return false, err
	}
	c := s.client
	c.counts.Requests++
	c.counts.Answered++
	s.timeAnswer()
	s.worker = h.worker
	s.index++
	s.got = 0
	switch {
	case s.index < s.requests && h.flags&flagClosing == 0:
		s.state = slotThinking
		s.due = time.Now().Add(time.Duration(s.numbers.below(int(maxThink))))
		return false, nil
	case s.orderly:
		s.state = slotEnding
		return true, nil
	}
	s.finish()
	s.next()
	return false, nil
}

// timeAnswer counts how long the answer took.
func (s *slot) timeAnswer() {
	c, now := s.client, time.Now()
	took := now.Sub(s.asked)
	if took > c.times.Worst {
		c.slow = Answer{Client: c.cfg.Client, Number: s.number, Request: s.index, Local: s.local, Asked: s.asked, Ended: now}
	}
	c.times.add(took)
}

// tick is called every millisecond or so.
func (s *slot) tick(now time.Time) {
	switch s.state {
	case slotFree:
		return
	case slotThinking:
		late := now.Sub(s.due)
		if late < 0 {
			return
		}
		if late > idleLimit {
			s.finish()
			s.next()
			return
		}
		s.asked = now
		s.compose()
		s.state = slotSending
		err := s.send()
		if err == nil && s.state == slotSending {
			err = s.client.poll.ModTag(s.fd, toWrite, s.tag)
		}
		if err != nil {
			s.lose(err, "")
			s.next()
		}
	default:
		if now.Sub(s.asked) > s.client.cfg.Timeout {
			s.lose(os.ErrDeadlineExceeded, "")
			s.next()
		}
	}
}

// finish ends a connection of which everything was answered.
func (s *slot) finish() {
	s.close()
	s.client.counts.Connections++
}

func (s *slot) close() {
	if s.fd != sock.None {
		s.fd.Close()
		s.fd = sock.None
	}
	s.state = slotFree
	s.client.open--
}

// lose ends a connection with a loss, and reports it.
func (s *slot) lose(err error, detail string) {
	c := s.client
	l := &Loss{
		Kind: classify(err), Client: c.cfg.Client, Number: s.number, Request: s.index, Local: s.local,
		LastWorker: int(s.worker), Began: s.began, Asked: s.asked, Ended: time.Now(), Detail: detail,
	}
	switch {
	case s.state == slotThinking:
		l.Idle = true
	case s.state == slotEnding:
	default:
		c.counts.Requests++
	}
	if l.Detail == "" {
		l.Detail = err.Error()
	}
	if s.state == slotWaiting {
		l.Detail += fmt.Sprintf(", after %d of the request's %d bytes were sent and %d came back", s.sent, len(s.request), s.got)
	}
	s.close()
	c.counts.Connections++
	c.out.Encode(clientReport{Counts: c.counts, Loss: l})
}
