package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"onconn/sock"
)

// A State is where a worker is in its life.
type State int

const (
	// StateStarting: forked, and has not said anything yet. A program that
	// knows only LISTEN_FDS stays here.
	StateStarting State = iota
	// StateOnline: it speaks to the primary.
	StateOnline
	// StateDraining: told to finish what it has and go.
	StateDraining
	// StateDead: exited.
	StateDead
)

func (s State) String() string {
	return [...]string{"starting", "online", "draining", "dead"}[s]
}

// A Worker is a worker as the primary sees it. Its methods may be called from
// any goroutine.
type Worker struct {
	// ID counts from 1 and is never used again.
	ID int
	// Slot is its place among the workers, from 0. A worker that replaces
	// another one takes over its slot, and with it the listening sockets.
	Slot int
	// PID is its process number.
	PID int

	primary *Primary
	channel workerLink
	board   *board
	stderr  *relay
	pidfd   sock.FD // None where the kernel has none (before 5.4)
	started time.Time
	before  *Worker       // who had the slot when it was started
	ready   chan struct{} // closed when it takes connections: see isReady
	exited  chan struct{} // closed when it has exited and been waited for

	mu     sync.Mutex
	state  State
	said   bool               // it is ready, by sd_notify
	spoken bool               // it knows this package
	asked  bool               // the primary disconnected it
	reaped bool               // its number may be another process's
	older  bool               // a program before this one has forked it
	mute   bool               // its channel has ended: it is dead, or as good as dead
	idle   bool               // it said that it has nothing left
	lines  []bool             // of the board: in use
	final  Stats              // when it is dead
	status syscall.WaitStatus // likewise
	pulse  pulse
}

func newWorker(p *Primary, id, slot int) *Worker {
	return &Worker{
		ID: id, Slot: slot, primary: p, pidfd: sock.None,
		ready: make(chan struct{}), exited: make(chan struct{}),
	}
}

// Stats are a worker's counters, summed over its listeners.
type Stats struct {
	Accepted int64 // connections taken so far
	Active   int64 // connections it holds
}

// State is where it is in its life.
func (w *Worker) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// ExitedAfterDisconnect reports whether the primary asked it to go: false for a
// crash.
func (w *Worker) ExitedAfterDisconnect() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// Send sends v, as JSON, to the worker, where the function given to [OnMessage]
// gets it. It waits at most 5 s for a worker that doesn't read. See
// [ErrMessageTooLarge].
func (w *Worker) Send(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.sent(w.channel.sendUser(data))
}

// SendFD is Send with a descriptor, of which the function given to [OnMessageFD]
// gets a duplicate: fd stays the caller's, who may close it at once. To a Node
// worker, whose process.on('message') has it as its second argument, it is a TCP or
// UDP socket or a unix stream that doesn't listen. Such messages and what is sent after them wait here
// for each other, since a Node worker takes one descriptor at a time; one that it has no
// number for is lost, with its message, and logged.
func (w *Worker) SendFD(v any, fd sock.FD) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.sent(w.channel.sendUser(data, fd))
}

func (w *Worker) sent(err error) error {
	if err != nil {
		return fmt.Errorf("send to worker %d: %w", w.ID, err)
	}
	return nil
}

// Kill sends the process a signal; SIGKILL also to the processes that it has
// started in its process group. One that has exited is no error.
func (w *Worker) Kill(sig syscall.Signal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reaped {
		return nil
	}
	pid := w.PID
	if sig == syscall.SIGKILL {
		pid = -pid
	}
	return syscall.Kill(pid, sig)
}

// killRest ends what a process that has exited left in its process group, which
// could go on listening.
func (w *Worker) killRest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	syscall.Kill(-w.PID, syscall.SIGKILL)
}

// reap waits for a process that has exited.
func (w *Worker) reap() syscall.WaitStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reaped, w.status = true, waitStatus(w.PID)
	return w.status
}

func (w *Worker) exitStatus() syscall.WaitStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

func (w *Worker) hasSpoken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spoken
}

// Disconnect takes the worker out: it gets no more connections, what it has not
// taken goes to others, and it is asked to finish the rest and exit. It isn't
// replaced. After the drain timeout it is killed. Disconnect doesn't wait; Done
// tells when it has exited.
func (w *Worker) Disconnect() {
	w.primary.gate.RLock()
	defer w.primary.gate.RUnlock()
	w.primary.retire(w)
}

// Done is closed when the process has exited.
func (w *Worker) Done() <-chan struct{} { return w.exited }

// serve handles the worker's messages until its channel ends.
func (w *Worker) serve() error {
	for {
		err := w.channel.wait()
		if err == nil {
			err = w.next()
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, os.ErrDeadlineExceeded):
			return nil // it has exited, or will
		default:
			return err
		}
	}
}

// next receives a message and does what it asks.
func (w *Worker) next() error {
	p := w.primary
	p.gate.RLock()
	m, fds, err := w.channel.receive()
	if err == nil && (len(fds) > 1 || len(fds) > 0 && m.Op != opUser) {
		err = errors.New("a worker may send one descriptor, with a program's message")
	}
	if err == nil {
		err = w.handle(m, fds)
	}
	if err != nil {
		closeAll(fds)
	}
	p.gate.RUnlock()
	if err == nil && m.Op == opUser {
		p.events.wait()
		w.channel.rest()
	}
	return err
}

// handle does what one message asks. An error means that the worker doesn't
// keep to the protocol; else it takes ownership of fds.
func (w *Worker) handle(m message, fds []sock.FD) error {
	p := w.primary
	switch m.Op {
	case opOnline:
		if m.Version != protocolVersion {
			return fmt.Errorf("worker %d speaks version %d of the channel, the primary %d: build both with the same onconn",
				w.ID, m.Version, protocolVersion)
		}
		w.mu.Lock()
		w.spoken = true
		if w.state == StateStarting {
			w.state = StateOnline
		}
		w.mu.Unlock()
		// It knows more than LISTEN_FDS, so until it listens others get what
		// comes to a socket of its own.
		p.leaveAll(w, false, false)
		p.emit(Event{Kind: Online, Worker: w})
	case opListen:
		if m.Key == nil || m.Config == nil {
			return errors.New("listen without an address")
		}
		return p.provide(w, m)
	case opClose:
		if m.Key == nil {
			return errors.New("close without an address")
		}
		p.closed(w, *m.Key)
	case opLeave:
		p.retire(w)
	case opDone:
		p.finished(w)
	case opUser:
		data, err := m.said()
		if err != nil {
			return err
		}
		p.emit(Event{Kind: Messaged, Worker: w, Data: data, fds: fds})
	default:
		return fmt.Errorf("unknown op %q", m.Op)
	}
	return nil
}

// takeLine reserves a line of the worker's board for a listener. Connections
// may outlive their listener and still count there, so it is busy until then.
func (w *Worker) takeLine() (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, used := range w.lines {
		if !used && w.board.line(i).Active.Load() == 0 {
			w.lines[i] = true
			return i, nil
		}
	}
	if len(w.lines) == maxListeners {
		return 0, fmt.Errorf("worker %d has %d listeners: close some", w.ID, maxListeners)
	}
	w.lines = append(w.lines, true)
	return len(w.lines) - 1, nil
}

func (w *Worker) freeLine(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines[i] = false
}

// Stats reads its counters; for a dead worker, those at its end.
func (w *Worker) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == StateDead {
		return w.final
	}
	return w.stats()
}

func (w *Worker) stats() (s Stats) {
	for i := range w.lines {
		c := w.board.line(i)
		s.Accepted += c.Accepted.Load()
		s.Active += c.Active.Load()
	}
	return s
}

// bury marks it dead and lets go of what it shared with the primary.
func (w *Worker) bury() {
	w.channel.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.final = w.stats()
	w.final.Active = 0
	w.state = StateDead
	w.board.close()
	if w.pidfd != sock.None {
		w.pidfd.Close()
	}
}
