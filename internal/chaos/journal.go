package chaos

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A journal is memory that all workers share with the judge, and that outlives
// them: a worker notes there each connection that it takes, without a system
// call. It is a memfd of the judge's, which workers open under /proc, so that no
// file is left whatever happens.
type journal struct {
	memory []byte
	file   *os.File // the judge's
}

// A note is what a worker knows of one connection. Its times are nanoseconds of
// the wall clock.
type note struct {
	peer     atomic.Uint64 // address and port; 0: not written yet. Written after worker and taken.
	worker   atomic.Uint32
	state    atomic.Uint32
	requests atomic.Uint64 // begun in the upper half, finished in the lower one
	taken    atomic.Int64
	last     atomic.Int64 // when requests or state changed
}

// States of a note.
const (
	noteOpen   = iota
	noteClosed // by the worker, or because the client had closed
	noteBad    // the client sent what it never does
)

const noteSize = int(unsafe.Sizeof(note{}))

// newJournal makes one for so many notes. Memory is used as it is written.
func newJournal(notes int) (*journal, error) {
	fd, err := unix.MemfdCreate("onconn-chaos", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "journal")
	if err := file.Truncate(int64((notes + 1) * noteSize)); err != nil {
		file.Close()
		return nil, err
	}
	j, err := mapJournal(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	j.file = file
	return j, nil
}

// path is where another process opens it.
func (j *journal) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), j.file.Fd()) }

// openJournal opens the one at path.
func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("the journal: %w", err)
	}
	defer file.Close()
	return mapJournal(file)
}

func mapJournal(file *os.File) (*journal, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	memory, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return &journal{memory: memory}, nil
}

func (j *journal) close() {
	unix.Munmap(j.memory)
	if j.file != nil {
		j.file.Close()
	}
}

// used is how many notes were begun. It lies where a note would.
func (j *journal) used() *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&j.memory[0])) }

func (j *journal) capacity() int { return len(j.memory)/noteSize - 1 }

func (j *journal) at(i int) *note { return (*note)(unsafe.Pointer(&j.memory[(i+1)*noteSize])) }

// take notes that a worker has taken a connection.
func (j *journal) take(peer netip.AddrPort, worker int) *note {
	i := j.used().Add(1) - 1
	if i >= uint64(j.capacity()) {
		panic("chaos: the journal is full")
	}
	n := j.at(int(i))
	n.worker.Store(uint32(worker))
	n.taken.Store(time.Now().UnixNano())
	n.peer.Store(peerKey(peer))
	return n
}

// begin, finish and end note what the worker does. One goroutine calls them.
func (n *note) begin()           { n.requests.Add(1 << 32) }
func (n *note) finish()          { n.requests.Add(1); n.last.Store(time.Now().UnixNano()) }
func (n *note) end(state uint32) { n.last.Store(time.Now().UnixNano()); n.state.Store(state) }

func (n *note) begun() int    { return int(n.requests.Load() >> 32) }
func (n *note) finished() int { return int(uint32(n.requests.Load())) }

// peerKey is an IPv4 address and a port as a number that is never 0.
func peerKey(a netip.AddrPort) uint64 {
	ip := a.Addr().Unmap().As4()
	return uint64(binary.BigEndian.Uint32(ip[:]))<<16 | uint64(a.Port())
}

// notes are all that were written, by client address.
func (j *journal) notes() map[uint64][]*note {
	n := min(int(j.used().Load()), j.capacity())
	all := make(map[uint64][]*note, n)
	backing := make([]*note, n) // one allocation for the rule: a note for each
	for i := range n {
		backing[i] = j.at(i)
		key := backing[i].peer.Load()
		switch before := all[key]; {
		case key == 0: // its worker died over it
		case before == nil:
			all[key] = backing[i : i+1 : i+1]
		default:
			all[key] = append(before, backing[i])
		}
	}
	return all
}
