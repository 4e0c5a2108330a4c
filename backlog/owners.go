package backlog

import (
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Owners finds the processes that hold sockets, by their inode numbers. It
// remembers what it found, and looks through /proc only for sockets that it
// doesn't know or whose owner has gone; for those that nobody seems to hold,
// once a second. So it doesn't notice a process that comes to share a socket
// with the owners that it knows, nor that one of these executes another program
// or renames itself. The zero value is ready; its methods may be
// called from several goroutines.
type Owners struct {
	mu    sync.Mutex
	known map[uint32]known
}

// known is who held a socket at a time.
type known struct {
	owners []Owner // ordered by process
	at     time.Time
}

// Find returns the owners of each socket, ordered by process. A socket without
// an entry is held by nobody, by processes that we may not look into (of other
// users, when we are not root), or by one outside of our pid namespace. The
// caller owns the map.
func (o *Owners) Find(inodes []uint32) map[uint32][]Owner {
	o.mu.Lock()
	defer o.mu.Unlock()
	missing := map[uint32]bool{}
	for _, inode := range inodes {
		if inode != 0 && !o.known[inode].holds(inode) {
			missing[inode] = true
		}
	}
	if len(missing) > 0 {
		o.look(missing, len(inodes))
	}
	found := make(map[uint32][]Owner, len(inodes))
	for _, inode := range inodes {
		if owners := o.known[inode].owners; len(owners) > 0 {
			found[inode] = slices.Clone(owners)
		}
	}
	return found
}

// holds reports whether nothing has changed.
func (k known) holds(inode uint32) bool {
	if len(k.owners) == 0 {
		return time.Since(k.at) < time.Second
	}
	return !slices.ContainsFunc(k.owners, func(o Owner) bool {
		return !holding{inode, o.PID, o.FD}.holds()
	})
}

// look goes through /proc.
func (o *Owners) look(missing map[uint32]bool, asked int) {
	if o.known == nil {
		o.known = map[uint32]known{}
	}
	now := time.Now()
	for inode, k := range o.known { // forget those that have gone
		if len(o.known) > 2*asked+1000 && !missing[inode] && !k.holds(inode) {
			delete(o.known, inode)
		}
	}
	for inode := range missing {
		o.known[inode] = known{at: now}
	}
	names := map[int]Owner{} // by process
	for _, h := range holdings(func(inode uint32) bool { return missing[inode] }) {
		owner, ok := names[h.pid]
		if !ok {
			owner = process(h.pid)
			names[h.pid] = owner
		}
		owner.FD = h.fd
		k := o.known[h.inode]
		k.owners = append(k.owners, owner)
		o.known[h.inode] = k
	}
}

// process is what holds for all sockets of a process.
func process(pid int) Owner {
	cgroup, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	o := Owner{PID: pid, Command: command(pid)}
	var dir unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid), &dir) == nil {
		o.UID = int(dir.Uid)
	}
	o.Unit, o.Container = cgroupNames(string(cgroup))
	return o
}
