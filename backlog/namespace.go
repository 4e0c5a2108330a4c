package backlog

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Namespace reads the sockets of one network namespace. It keeps netlink
// sockets and the files of its counters and settings open, all made inside the
// namespace, so it goes on reading after the last process has left it: about a
// dozen descriptors, which keep the namespace alive. Its methods may be called
// from several goroutines; none needs a privilege.
type Namespace struct {
	path string
	id   uint64
	file *os.File // of nsfs

	// Questions that walk the hash table of all connections have their own
	// socket, so that the others don't wait for them.
	quick, slow *diag

	netstat, snmp *os.File
	settings      settings

	mu    sync.Mutex
	mptcp map[uint64]bool // whether a listener is MPTCP, by cookie
	noMP  bool            // the kernel has no mptcp_diag
}

// OpenNamespace opens the network namespace of a file such as /run/netns/blue
// or /proc/1/ns/net, which needs CAP_SYS_ADMIN unless it is our own. An empty path is the namespace
// that the calling thread is in: that of the process, unless the program moves
// threads with setns(2).
func OpenNamespace(path string) (*Namespace, error) {
	n := &Namespace{path: path, mptcp: map[uint64]bool{}}
	err := n.open(path)
	if err == nil {
		return n, nil
	}
	n.Close()
	if path == "" {
		return nil, fmt.Errorf("open our network namespace: %w", err)
	}
	remedy := ""
	switch {
	case errors.Is(err, os.ErrPermission):
		remedy = ": needs CAP_SYS_ADMIN, run as root"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTTY):
		remedy = ": it is no network namespace"
	}
	return nil, fmt.Errorf("open network namespace %s: %w%s", path, err, remedy)
}

func (n *Namespace) open(path string) (err error) {
	if path == "" {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if n.file, err = os.Open(threadNamespace); err != nil {
			return err
		}
		return n.openFiles()
	}
	if n.file, err = os.Open(path); err != nil {
		return err
	}
	return n.inside(n.openFiles)
}

// threadNamespace is asked for by thread, since threads may differ.
const threadNamespace = "/proc/thread-self/ns/net"

// openFiles opens what belongs to the namespace of the calling thread. Each of
// these files goes on showing it whoever reads.
func (n *Namespace) openFiles() error {
	info, err := n.file.Stat()
	if err != nil {
		return err
	}
	n.id = info.Sys().(*syscall.Stat_t).Ino
	if n.quick, err = openDiag(); err != nil {
		return err
	}
	if n.slow, err = openDiag(); err != nil {
		return err
	}
	if n.netstat, err = os.Open("/proc/thread-self/net/netstat"); err != nil {
		return err
	}
	if n.snmp, err = os.Open("/proc/thread-self/net/snmp"); err != nil {
		return err
	}
	return n.settings.open()
}

// inside calls f on a thread that is in the namespace.
func (n *Namespace) inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// A thread that can't get home dies with its goroutine.
		runtime.LockOSThread()
		home, err := os.Open(threadNamespace)
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		if sameFile(home, n.file) { // going there would need a privilege even so
			err := f()
			runtime.UnlockOSThread()
			done <- err
			return
		}
		if err := setns(n.file); err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		err = f()
		if setns(home) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func sameFile(a, b *os.File) bool {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// setns moves the calling thread. EINVAL: the file is no network namespace.
func setns(file *os.File) (err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	e := raw.Control(func(fd uintptr) {
		err = os.NewSyscallError("setns", unix.Setns(int(fd), unix.CLONE_NEWNET))
	})
	return errors.Join(e, err)
}

// Path is what the namespace was opened by, and empty for our own.
func (n *Namespace) Path() string { return n.path }

// ID is the inode number of the namespace, as ls -l /proc/PID/ns/net shows it.
func (n *Namespace) ID() uint64 { return n.id }

// Close closes what the namespace keeps open. Methods that are called later
// fail with an error that is os.ErrClosed.
func (n *Namespace) Close() error {
	var errs []error
	for _, d := range []*diag{n.quick, n.slow} {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	for _, f := range append(n.settings[:], n.file, n.netstat, n.snmp) {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
