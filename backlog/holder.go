package backlog

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// An Owner is a process that holds a socket.
type Owner struct {
	PID     int    // 0: a process that we may not look into, or of another pid namespace
	Command string // /proc/PID/comm
	FD      int    // the lowest of its descriptors for the socket
	UID     int    // the user who made the socket; from [Owners], whom the process runs as

	// From the process's cgroup, empty where there is none. [Owners] fills them.
	Unit      string // systemd unit: "nginx.service"
	Container string // the container's id, 12 digits
}

func (o Owner) String() string {
	switch {
	case o.PID == 0:
		return fmt.Sprintf("a process of uid %d", o.UID)
	case o.PID == os.Getpid():
		return fmt.Sprintf("this process, fd %d", o.FD)
	}
	return fmt.Sprintf("%s[%d] fd %d", o.Command, o.PID, o.FD)
}

// Holders finds who keeps others from listening on a: the processes of this
// network namespace that have a TCP socket listening on that address and port,
// or on one that conflicts with it (a wildcard, or :: for IPv4 too), or bound
// to it (seen since Linux 6.8); or a unix socket of that name. Whether they set
// SO_REUSEPORT is not visible. Nothing found is no error: the holder may also
// be a connection, or a socket of a family without sock_diag.
//
// It lists the sockets of the namespace and the descriptors of every process
// that we may look into, which takes milliseconds.
func Holders(a sock.Addr) ([]Owner, error) {
	d, err := openDiag()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var uids map[uint32]int // by the inode of the socket
	switch a.Family() {
	case sock.Inet, sock.Inet6:
		uids, err = tcpHolders(d, a.AddrPort())
	case sock.Unix:
		uids, err = unixHolders(d, a)
	}
	if err != nil || len(uids) == 0 {
		return nil, err
	}
	return owners(uids), nil
}

func tcpHolders(d *diag, want netip.AddrPort) (map[uint32]int, error) {
	r := inetRequest{states: 1<<tcpListen | 1<<tcpBoundInactive, local: localPort(want.Port())}
	all, err := inetDump(d, r, func(s inetSocket) (inetSocket, bool) {
		return s, s.local.Port() == want.Port() && conflict(want.Addr(), s.local.Addr(), s.v6only)
	})
	uids := map[uint32]int{}
	for _, s := range all {
		uids[s.inode] = int(s.uid)
	}
	return uids, err
}

// conflict reports whether a socket on have keeps another from listening on
// want: inet_rcv_saddr_equal of the kernel. A wanted :: is taken for dual stack.
func conflict(want, have netip.Addr, haveV6Only bool) bool {
	have = have.Unmap()
	dual := func(a netip.Addr, v6only bool) bool { return a == netip.IPv6Unspecified() && !v6only }
	if want.Is4() != have.Is4() {
		return dual(want, false) || dual(have, haveV6Only)
	}
	return want.IsUnspecified() || have.IsUnspecified() || want.WithZone("") == have.WithZone("")
}

// unixHolders finds a path by the file that the socket is bound to, since its
// name may be relative or renamed, and an abstract name by the name.
func unixHolders(d *diag, a sock.Addr) (map[uint32]int, error) {
	var file unix.Stat_t
	if !a.IsAbstract() && unix.Stat(a.Name(), &file) != nil {
		return nil, nil
	}
	all, err := unixSockets(d, anyState, udiagShowName|udiagShowVFS|udiagShowUID)
	if err != nil {
		return nil, err
	}
	uids := map[uint32]int{}
	for _, s := range all {
		if s.accepts() && s.bound(a, file) {
			uids[s.inode] = int(s.uid)
		}
	}
	return uids, nil
}

// accepts leaves out the accepted connections, which carry the name of their listener.
func (s unixSocket) accepts() bool { return s.state == tcpListen || s.state == tcpClose }

func (s unixSocket) bound(a sock.Addr, file unix.Stat_t) bool {
	if a.IsAbstract() {
		return s.name == "\x00"+a.Name()[1:]
	}
	// Some file systems show another device to stat(2) than to unix_diag.
	dev := unix.Major(uint64(file.Dev))<<20 | unix.Minor(uint64(file.Dev))
	return s.vfsInode == uint32(file.Ino) && (s.vfsDev == dev || s.name == a.Name())
}

// owners finds the processes that hold the sockets of uids, and one without a
// name for each socket of which none is seen.
func owners(uids map[uint32]int) []Owner {
	var found []Owner
	seen := map[uint32]bool{}
	for _, h := range holdings(func(inode uint32) bool { _, ok := uids[inode]; return ok }) {
		seen[h.inode] = true
		found = append(found, Owner{PID: h.pid, Command: command(h.pid), FD: h.fd, UID: uids[h.inode]})
	}
	for inode, uid := range uids {
		if !seen[inode] {
			found = append(found, Owner{UID: uid})
		}
	}
	slices.SortFunc(found, func(a, b Owner) int { return cmp.Or(a.PID-b.PID, a.FD-b.FD) })
	return found
}
