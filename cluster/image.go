package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/reuseport"
	"onconn/sock"
)

// imageVersion is that of the form below.
const imageVersion = 1

// An image is all that a primary leaves to the program that its process becomes
// by an upgrade: what it knows, and the descriptors by number.
type image struct {
	Version    int                `json:"version"`
	Channel    int                `json:"channel"`    // protocolVersion of the workers
	Configured int                `json:"configured"` // Config.Workers
	Began      time.Time          `json:"began"`
	Upgrades   int                `json:"upgrades"` // this one too
	LastID     int                `json:"last_id"`
	Ready      bool               `json:"ready"`     // some worker was of use once
	NoHangup   bool               `json:"no_hangup"` // SIGHUP was ignored
	Bell       sock.FD            `json:"bell"`
	Sockets    map[string]sock.FD `json:"sockets"` // as of Primary.Sockets
	Servers    []serverImage      `json:"servers"`
	Workers    []workerImage      `json:"workers"`
	Slots      []slotImage        `json:"slots"`
}

type serverImage struct {
	Key    key           `json:"key"`
	Mode   Mode          `json:"mode"`
	Config listen.Config `json:"config"`
	Keep   bool          `json:"keep"`
	Slots  []int         `json:"slots"`
	Given  bool          `json:"given"` // to a program that knows only LISTEN_FDS
	Past   int64         `json:"past"`  // connections that workers took which have left
	Seats  []seatImage   `json:"seats"`
	Left   []queueImage  `json:"left"` // of workers that get no more
	Hand   []handImage   `json:"hand"` // accepted, and no room anywhere

	Members []memberImage `json:"members"` // in reuseport mode, in the kernel's order
	Ordered bool          `json:"ordered"` // if it is that
	Holders []int         `json:"holders"` // workers whose programs know only LISTEN_FDS
}

type memberImage struct {
	ID      reuseport.ID `json:"id"`
	FD      sock.FD      `json:"fd"`
	Slot    int          `json:"slot"`
	Leaving bool         `json:"leaving,omitempty"` // and in no slot
	Given   bool         `json:"given,omitempty"`
}

// A seatImage is a worker's place at a listener; in shared mode it has no queue.
type seatImage struct {
	Worker int         `json:"worker"`
	Line   int         `json:"line"`
	Sent   int64       `json:"sent,omitempty"`
	Limit  int64       `json:"limit,omitempty"`
	Queue  *queueImage `json:"queue,omitempty"`
}

type queueImage struct {
	Worker  int     `json:"worker"`
	Gone    bool    `json:"gone,omitempty"`
	Send    sock.FD `json:"send"`
	Receive sock.FD `json:"receive"`
}

type handImage struct {
	FD   sock.FD             `json:"fd"`
	Peer [sock.WireSize]byte `json:"peer"`
}

type workerImage struct {
	ID      int       `json:"id"`
	Slot    int       `json:"slot"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	State   State     `json:"state"`
	Spoken  bool      `json:"spoken"`
	Asked   bool      `json:"asked"`
	Idle    bool      `json:"idle"`
	Ready   bool      `json:"ready"`
	Lines   []bool    `json:"lines"`
	Channel sock.FD   `json:"channel"`
	Board   sock.FD   `json:"board"`
	PidFD   sock.FD   `json:"pidfd"`
	Stderr  sock.FD   `json:"stderr"`
}

type slotImage struct {
	Slot     int           `json:"slot"`
	Worker   int           `json:"worker,omitempty"` // its ID
	Due      bool          `json:"due,omitempty"`
	Delay    time.Duration `json:"delay,omitempty"`
	Crashes  int           `json:"crashes,omitempty"`
	Restarts int           `json:"restarts,omitempty"`
}

// descriptors are all that the image names; some may be None.
func (m *image) descriptors() (fds []sock.FD) {
	fds = append(fds, m.Bell)
	for _, fd := range m.Sockets {
		fds = append(fds, fd)
	}
	for _, s := range m.Servers {
		for _, seat := range s.Seats {
			if seat.Queue != nil {
				fds = append(fds, seat.Queue.Send, seat.Queue.Receive)
			}
		}
		for _, q := range s.Left {
			fds = append(fds, q.Send, q.Receive)
		}
		for _, h := range s.Hand {
			fds = append(fds, h.FD)
		}
		for _, m := range s.Members {
			fds = append(fds, m.FD)
		}
	}
	for _, w := range m.Workers {
		fds = append(fds, w.Channel, w.Board, w.Stderr, w.PidFD)
	}
	return fds
}

// listens checks that each listening socket is one still: a worker may have shut
// it down.
func (m *image) listens() error {
	var fds []sock.FD
	for _, fd := range m.Sockets {
		fds = append(fds, fd)
	}
	for _, s := range m.Servers {
		for _, member := range s.Members {
			fds = append(fds, member.FD)
		}
	}
	for _, fd := range fds {
		if on, err := sock.AcceptConn.Get(fd); err != nil || !on {
			return fmt.Errorf("descriptor %d doesn't listen any more, some worker has shut it down: restart", fd)
		}
	}
	return nil
}

// write puts the image into memory that survives execve. The caller owns the
// descriptor.
func (m *image) write() (sock.FD, error) {
	p, err := json.Marshal(m)
	if err != nil {
		return sock.None, err
	}
	fd, err := unix.MemfdCreate("onconn-image", unix.MFD_CLOEXEC)
	if err != nil {
		return sock.None, os.NewSyscallError("memfd_create", err)
	}
	for at := 0; at < len(p); {
		n, err := unix.Pwrite(fd, p[at:], int64(at))
		if err != nil {
			unix.Close(fd)
			return sock.None, os.NewSyscallError("pwrite64", err)
		}
		at += n
	}
	return sock.FD(fd), nil
}

// readImage reads what write wrote, and closes the descriptor.
func readImage(fd sock.FD) (*image, error) {
	f := os.NewFile(uintptr(fd), "image")
	if f == nil {
		return nil, errors.New("no descriptor")
	}
	defer f.Close()
	p, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		return nil, err
	}
	return parseImage(p)
}

func parseImage(p []byte) (*image, error) {
	m := &image{Bell: sock.None}
	if err := json.Unmarshal(p, m); err != nil {
		return nil, fmt.Errorf("the state of the primary before: %w", err)
	}
	switch {
	case m.Version != imageVersion:
		return nil, fmt.Errorf("the primary before left a state of version %d, this program knows %d", m.Version, imageVersion)
	case m.Channel != protocolVersion:
		return nil, fmt.Errorf("the workers speak version %d of the channel, this program %d", m.Channel, protocolVersion)
	}
	workers := map[int]bool{}
	for _, w := range m.Workers {
		if w.PID <= 0 || w.Slot < 0 || w.State < StateStarting || w.State > StateDraining || len(w.Lines) > maxListeners {
			return nil, fmt.Errorf("the state of the primary before: worker %d makes no sense", w.ID)
		}
		workers[w.ID] = true
	}
	for _, s := range m.Servers {
		for _, seat := range s.Seats {
			if !workers[seat.Worker] || seat.Line < 0 || seat.Line >= maxListeners || (seat.Queue == nil) != (s.Mode == Shared) {
				return nil, fmt.Errorf("the state of the primary before: %s %s makes no sense", s.Key.Network, s.Key.Address)
			}
		}
	}
	return m, nil
}

// image is the primary's; everything that could change it has to be held up.
func (p *Primary) image() *image {
	m := &image{
		Version: imageVersion, Channel: protocolVersion, Configured: p.cfg.Workers,
		NoHangup: born.noHangup, Bell: p.bell, Sockets: map[string]sock.FD{},
	}
	for _, s := range p.all() {
		if !s.shut {
			m.Servers = append(m.Servers, s.image())
			if s.mode != ReusePort { // whose members are in its image
				s.sockets(m.Sockets)
			}
		}
	}
	for _, w := range p.Workers() {
		m.Workers = append(m.Workers, w.image())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m.Began, m.Upgrades, m.LastID, m.Ready = p.began, p.upgrades+1, p.lastID, p.ready
	for n, s := range p.slots {
		i := slotImage{Slot: n, Due: s.due != nil, Delay: s.delay, Crashes: s.crashes, Restarts: s.restarts}
		if s.worker != nil {
			i.Worker = s.worker.ID
		}
		m.Slots = append(m.Slots, i)
	}
	return m
}

func (w *Worker) image() workerImage {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := workerImage{
		ID: w.ID, Slot: w.Slot, PID: w.PID, Started: w.started, State: w.state, Spoken: w.spoken, Asked: w.asked,
		Idle: w.idle, Lines: w.lines, Channel: w.channel.descriptor(), Board: w.board.file, PidFD: w.pidfd,
		Stderr: w.stderr.descriptor(),
	}
	select {
	case <-w.ready:
		i.Ready = true
	default:
	}
	return i
}
