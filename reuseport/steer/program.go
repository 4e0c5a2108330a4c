package steer

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/reuseport"
	"onconn/sock"
)

const defaultMembers = 64

// MaxMembers is how many members a program can choose among.
const MaxMembers = 256

// Config says what a Program does.
type Config struct {
	Policy Policy

	// Members is how many the group may have, at most MaxMembers; 0 is 64. The
	// program looks at all there are for each connection.
	Members int

	// HangAfter is the age of a heartbeat ([Publisher.Beat]) from which a
	// member gets nothing new. 0: hangs are not looked for.
	HangAfter time.Duration

	// Limit is how many connections make a member full, open ones and those on
	// their way to it. 0: none is ever full.
	Limit int
}

// A Program is a [reuseport.Steering] by an eBPF program. It belongs to one
// group.
type Program struct {
	policy  Policy
	program sock.FD
	sockets sockArray
	fd      sock.FD // of the board
	board   board

	mu      sync.Mutex
	closed  bool
	members map[reuseport.ID]member
}

// A member is one that has a slot.
type member struct {
	slot   *slot
	socket sock.FD
	// What was so at the last Settle that looked.
	settled time.Time
	chosen  int64
}

var _ reuseport.Counting = (*Program)(nil)

// New makes a Program. Without the right to, the error says which is missing.
func New(c Config) (*Program, error) {
	n := c.Members
	if n == 0 {
		n = defaultMembers
	}
	switch {
	case c.Policy < 0 || int(c.Policy) >= len(policyNames):
		return nil, fmt.Errorf("steer: %v: %w", c.Policy, unix.EINVAL)
	case n < 1 || n > MaxMembers:
		return nil, fmt.Errorf("steer: %d members are not in 1 to %d: %w", n, MaxMembers, unix.EINVAL)
	case c.HangAfter < 0 || c.Limit < 0:
		return nil, fmt.Errorf("steer: HangAfter %v or Limit %d is negative: %w", c.HangAfter, c.Limit, unix.EINVAL)
	}
	p, err := load(c.Policy, n)
	if err != nil {
		return nil, fmt.Errorf("steer: %w", explain(err))
	}
	p.board.hang.Store(int64(c.HangAfter))
	p.board.limit.Store(math.MaxInt64)
	if c.Limit > 0 {
		p.board.limit.Store(int64(c.Limit))
	}
	return p, nil
}

// load makes the two arrays and the program.
func load(policy Policy, n int) (*Program, error) {
	boardMap, err := ebpf.NewMap(&ebpf.MapSpec{Name: "onconn_board", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(1+n) * slotSize,
		MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE})
	if err != nil {
		return nil, err
	}
	defer boardMap.Close()
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Name: "onconn_sockets", Type: ebpf.ReusePortSockArray, KeySize: 4, ValueSize: 8,
		MaxEntries: uint32(n)})
	if err != nil {
		return nil, err
	}
	defer sockets.Close()
	program, err := loadProgram(policy, n, boardMap.FD(), sockets.FD())
	if err != nil {
		return nil, err
	}
	defer program.Close()

	p := &Program{policy: policy, members: map[reuseport.ID]member{}}
	var fds [3]sock.FD
	for i, fd := range []int{program.FD(), sockets.FD(), boardMap.FD()} {
		if fds[i], err = sock.FD(fd).Dup(); err != nil {
			closeAll(fds[:i])
			return nil, err
		}
	}
	p.program, p.sockets, p.fd = fds[0], sockArray(fds[1]), fds[2]
	all, err := mapLines(p.fd, 1+n)
	if err != nil {
		closeAll(fds[:])
		return nil, err
	}
	p.board = newBoard(all, n)
	p.board.shape.Store(int64(policy)<<32 | int64(n))
	p.board.unfit.Store(unfit)
	p.board.none.Store(none)
	return p, nil
}

// loadProgram prefers the type that the kernel asks also when it moves what
// waits in a closing member (Linux 5.14, whatever net.ipv4.tcp_migrate_req is).
func loadProgram(policy Policy, n, boardFD, socketsFD int) (*ebpf.Program, error) {
	spec := &ebpf.ProgramSpec{
		Name:         "onconn_steer",
		Type:         ebpf.SkReuseport,
		AttachType:   ebpf.AttachSkReuseportSelectOrMigrate,
		Instructions: generate(policy, n, boardFD, socketsFD),
		License:      "Dual MIT/GPL",
	}
	p, err := ebpf.NewProgram(spec)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, ebpf.ErrNotSupported) {
		spec.AttachType = ebpf.AttachSkReuseportSelect
		if p, errSelect := ebpf.NewProgram(spec); errSelect == nil {
			return p, nil
		}
	}
	return p, err
}

// Open makes a Program of the Descriptors of another one, which it owns from
// then on; when it fails they are still the caller's. It goes on where the other
// was: members keep their slots. No privilege is needed.
func Open(program, sockets, board sock.FD) (*Program, error) {
	b, err := mapBoard(board)
	if err != nil {
		return nil, fmt.Errorf("steer: %w", err)
	}
	policy, _ := b.config()
	p := &Program{
		policy:  policy,
		program: program,
		sockets: sockArray(sockets),
		fd:      board,
		board:   b,
		members: map[reuseport.ID]member{},
	}
	for i := range b.slots {
		if s := &b.slots[i]; s.taken.Load() == 1 {
			p.members[reuseport.ID(s.id.Load())] = member{slot: s, socket: sock.None}
		}
	}
	return p, nil
}

// Descriptors are the program, the array of sockets and the board, for Open in
// another process; the board alone is enough to publish. They stay the Program's.
func (p *Program) Descriptors() [3]sock.FD {
	return [3]sock.FD{p.program, sock.FD(p.sockets), p.fd}
}

// Close closes the descriptors. Steering goes on as long as a group has the
// program: have the group closed, or steered otherwise, before.
func (p *Program) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	p.closed = true
	fds := p.Descriptors()
	return closeAll(fds[:])
}

func closeAll(fds []sock.FD) (err error) {
	for _, fd := range fds {
		err = errors.Join(err, fd.Close())
	}
	return err
}

// String is the policy's name with "ebpf" before it.
func (p *Program) String() string { return "ebpf " + p.policy.String() }

// Counters are those of the member's slot, which it gets now if it has none. It
// is never nil; where no slot is left, Steer says so.
func (p *Program) Counters(id reuseport.ID) *listen.Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, err := p.member(id)
	if err != nil {
		return new(listen.Counters)
	}
	return &m.slot.counters
}

// Slot is the number of a member's slot, for [OpenPublisher]. A member has one
// once it has joined a group that is steered by the Program.
func (p *Program) Slot(id reuseport.ID) (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.members[id]
	if !ok {
		return 0, false
	}
	return p.board.index(m.slot), true
}

// Publisher is for a member that is accepted from in this process, or nil.
func (p *Program) Publisher(id reuseport.ID) *Publisher {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.members[id]
	if !ok {
		return nil
	}
	return &Publisher{m.slot}
}

// Reset forgets what a member has published: its process has died, and another
// begins to accept from the socket, or nobody does any more.
func (p *Program) Reset(id reuseport.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.board.find(int64(id)); s != nil && id > 0 {
		s.reset()
	}
}

// Load is how many connections the program takes a member to have.
func (p *Program) Load(id reuseport.ID) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.members[id]
	if !ok {
		return 0
	}
	s := m.slot
	n := s.counters.Active.Load() + max(s.pending(), 0)
	return int(min(n, math.MaxInt32))
}

// pending are SYNs that chose the member, and haven't become connections of it.
func (s *slot) pending() int64 {
	return s.chosen.Load() - s.counters.Accepted.Load() - s.lost.Load()
}
