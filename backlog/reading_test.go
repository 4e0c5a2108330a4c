package backlog

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// connect starts a connection that lasts until the test ends.
func connect(t testing.TB, addr sock.Addr, before ...func(sock.FD) error) sock.FD {
	t.Helper()
	return connectType(t, addr, sock.Stream, 0, before...)
}

func connectType(t testing.TB, addr sock.Addr, typ sock.Type, p sock.Protocol, before ...func(sock.FD) error) sock.FD {
	t.Helper()
	fd, err := sock.Socket(addr.Family(), typ, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fd.Close() })
	for _, f := range before {
		err := f(fd)
		if errors.Is(err, unix.EPERM) {
			t.Skip("needs root: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := fd.Connect(addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		t.Fatal(err)
	}
	return fd
}

// knock sends one SYN, and gives up before the next.
func knock(t testing.TB, addr sock.Addr) {
	t.Helper()
	fd, err := sock.Socket(addr.Family(), sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := fd.Connect(addr); !errors.Is(err, unix.EINPROGRESS) {
		t.Errorf("connect: %v", err)
	}
	fd.Close()
}

// eventually waits until f finds nothing amiss.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// readInChild prints what a user without privileges reads of a listener.
func readInChild(arg string) {
	addr := netip.MustParseAddrPort(arg)
	n, err := OpenNamespace("")
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := n.Lookup(addr, 0)
	waiting, err2 := n.Waiting(addr.Port())
	c, err3 := n.Counters()
	s, err4 := n.Sysctls()
	if err := errors.Join(err, err2, err3, err4); err != nil {
		fmt.Println(err)
		return
	}
	var o Owners
	own, ownErr := OpenNamespace("/proc/self/ns/net")
	if ownErr == nil {
		own.Close()
	}
	_, err = OpenNamespace("/proc/1/ns/net")
	if errors.Is(err, fs.ErrPermission) {
		err = errors.New("permission denied")
	}
	fmt.Println(l.Queue, "waiting", len(waiting), "owners", len(o.Find([]uint32{l.Inode})),
		"counters", len(c) > 100, "somaxconn", s.Somaxconn > 0, "own", ownErr, "other:", err)
}
