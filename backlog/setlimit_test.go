package backlog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

func TestSetLimit(t *testing.T) {
	for _, tt := range []struct {
		name     string
		addr     sock.Addr
		protocol sock.Protocol
	}{
		{"tcp4", inet("127.0.0.1:0"), 0},
		{"tcp6", inet("[::1]:0"), 0},
		{"mptcp", inet("127.0.0.1:0"), sock.MPTCP},
		{"unix", sock.UnixAddr(""), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testleak.FDs(t)
			fd, addr := listening(t, tt.addr, sock.Stream, tt.protocol, 1)
			o := otherHolder(t, fd)
			l := identity(t, fd, addr)
			l.MPTCP = tt.protocol == sock.MPTCP

			connecting(t, addr)
			connecting(t, addr)
			want(t, fd, Queue{2, 1})
			refused := connecting(t, addr)

			before, after, err := SetLimit(l, o, 5)
			if before != (Queue{2, 1}) || after != (Queue{2, 5}) || err != nil {
				t.Fatalf("grown: %v, %v, %v", before, after, err)
			}
			if tt.addr.Family() == sock.Unix {
				refused = connecting(t, addr)
			}
			connected(t, refused) // TCP: when it sends its SYN again
			want(t, fd, Queue{3, 5})

			before, after, err = SetLimit(l, o, 0)
			if before != (Queue{3, 5}) || after != (Queue{3, 0}) || err != nil {
				t.Fatalf("shrunk: %v, %v, %v", before, after, err)
			}
			for range 3 {
				conn, _, err := fd.Accept()
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
			}
		})
	}
}

func TestSetLimitMost(t *testing.T) {
	testleak.FDs(t)
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Skip("no somaxconn to compare with: ", err)
	}
	somaxconn, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	fd, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 1)
	for _, backlog := range []int{-1, math.MaxInt32, math.MaxInt} {
		if err := fd.Listen(1); err != nil {
			t.Fatal(err)
		}
		_, after, err := SetLimit(identity(t, fd, addr), self(fd), backlog)
		if err != nil || after.Limit != somaxconn {
			t.Errorf("backlog %d: %v, %v; somaxconn is %d", backlog, after, err, somaxconn)
		}
	}
}

func TestSetLimitRefuses(t *testing.T) {
	testleak.FDs(t)
	fd, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 1)
	l := identity(t, fd, addr)
	idle := bound(t, inet("127.0.0.1:0"), sock.Stream, 0)
	other, _ := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 1)
	byInode := Listener{Addr: addr, Inode: l.Inode}
	us := func(fd sock.FD) Owner { return Owner{PID: os.Getpid(), FD: int(fd)} }

	for _, tt := range []struct {
		name string
		l    Listener
		o    Owner
		want error
		says string
	}{
		{"no listener", Listener{}, us(fd), nil, "take it from Namespace.Listeners"},
		{"another socket", l, us(other), unix.ESRCH, "look for the owner again"},
		{"another inode", byInode, us(other), unix.ESRCH, "look for the owner again"},
		{"not listening", identity(t, idle, addr), us(idle), unix.ESRCH, "look for the owner again"},
		{"no socket", l, us(0), unix.ESRCH, "another socket now"},
		{"no descriptor", l, us(99999), unix.ESRCH, "another socket now"},
		{"gone", l, Owner{PID: math.MaxInt32, FD: 3}, unix.ESRCH, "it has gone"},
		{"unknown", l, Owner{UID: 33}, unix.EPERM, "a process of uid 33"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := SetLimit(tt.l, tt.o, 7)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v; not %v, %q", err, tt.want, tt.says)
			}
		})
	}
	want(t, fd, Queue{0, 1})
	want(t, other, Queue{0, 1})
	if q, err := Of(idle); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a socket that didn't listen: %v, %v", q, err)
	}
}

func TestSetLimitOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	testleak.FDs(t)
	fd, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 1)
	l := identity(t, fd, addr)
	role := fmt.Sprint("setlimit ", os.Getpid(), " ", int(fd), " ", l.Cookie)
	_, said := child(t, role, sock.None, &syscall.Credential{Uid: 65534, Gid: 65534})
	if !strings.HasPrefix(said, "true ") || !strings.Contains(said, "CAP_SYS_PTRACE") {
		t.Errorf("another user: %q", said)
	}
	want(t, fd, Queue{0, 1})
}

// setLimitInChild sets a limit of 7, and prints whether it got EPERM, and the error.
func setLimitInChild(arg string) {
	var l Listener
	var o Owner
	fmt.Sscan(arg, &o.PID, &o.FD, &l.Cookie)
	_, _, err := SetLimit(l, o, 7)
	fmt.Println(errors.Is(err, unix.EPERM), err)
}

// otherHolder is another process with the socket as its fd 3.
func otherHolder(t *testing.T, fd sock.FD) Owner {
	t.Helper()
	pid, _ := child(t, "hold", fd, nil)
	return Owner{PID: pid, Command: "child", FD: 3}
}

// identity is what SetLimit needs to know of a listener.
func identity(t *testing.T, fd sock.FD, addr sock.Addr) Listener {
	t.Helper()
	cookie, err := sock.Cookie.Get(fd)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(fd), &st); err != nil {
		t.Fatal(err)
	}
	return Listener{Addr: addr, Cookie: cookie, Inode: uint32(st.Ino)}
}

// connecting begins to connect; the test's end closes the socket.
func connecting(t testing.TB, to sock.Addr) sock.FD {
	t.Helper()
	fd := dial(t, to)
	t.Cleanup(func() { fd.Close() })
	return fd
}

// dial begins to connect. The caller closes the socket.
func dial(t testing.TB, to sock.Addr) sock.FD {
	t.Helper()
	fd, err := sock.Socket(to.Family(), sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = fd.Connect(to)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	return fd
}

// connected waits until the connection is there.
func connected(t testing.TB, fd sock.FD) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(fds, 20_000)
		if err == unix.EINTR {
			continue
		}
		if n == 0 || err != nil {
			t.Fatalf("not connected: poll %d, %v", n, err)
		}
		break
	}
	if _, err := fd.Getpeername(); err != nil {
		t.Fatalf("not connected: %v", err)
	}
}

// TestSetLimitOfAnotherNamespace changes an MPTCP listener as Listeners shows it.
func TestSetLimitOfAnotherNamespace(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	ns.Sysctl("core/somaxconn", "77")
	n, err := OpenNamespace(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for _, protocol := range []sock.Protocol{sock.TCP, sock.MPTCP} {
		var fd sock.FD
		ns.Do(func() { fd, _ = listening(t, inet("127.0.0.1:0"), sock.Stream, protocol, 5) })
		all, err := n.Listeners()
		if err != nil {
			t.Fatal(err)
		}
		l := all[slices.IndexFunc(all, func(l Listener) bool { return l.MPTCP == (protocol == sock.MPTCP) })]
		_, after, err := SetLimit(l, self(fd), 1000)
		if after.Limit != 77 || err != nil {
			t.Errorf("%v: limit %d, %v; somaxconn there is 77", protocol, after.Limit, err)
		}
	}
}
