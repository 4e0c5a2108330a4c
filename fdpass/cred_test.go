package fdpass

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

func self() Cred { return Cred{os.Getpid(), os.Geteuid(), os.Getegid()} }

func TestPeerCredOfAPair(t *testing.T) {
	forConns(t, func(t *testing.T, a, _ *Conn) {
		if c, err := a.PeerCred(); c != self() || err != nil {
			t.Errorf("%v, %v", c, err)
		}
	})
}

// connectRole connects to the parent's listener, and ends when the parent
// closes the connection.
func connectRole() error {
	s, err := sock.Socket(sock.Unix, sock.SeqPacket, 0)
	if err != nil {
		return err
	}
	if err := s.Connect(sock.UnixAddr(os.Getenv("FDPASS_TEST_NAME"))); err != nil {
		return err
	}
	if err := Send(s, []byte("child")); err != nil {
		return err
	}
	return readable(s)
}

// connectedChild returns the accepted connection of another process.
func connectedChild(t *testing.T, attr syscall.SysProcAttr) (*child, *Conn) {
	t.Helper()
	listener, err := sock.Socket(sock.Unix, sock.SeqPacket, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	name := fmt.Sprintf("@fdpass-test-%d-%s", os.Getpid(), t.Name())
	if err := errors.Join(listener.Bind(sock.UnixAddr(name)), listener.Listen(1)); err != nil {
		t.Fatal(err)
	}
	c := start(t, "connect", attr, []string{"FDPASS_TEST_NAME=" + name})
	if err := readable(listener); err != nil {
		t.Fatal(err)
	}
	fd, _, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := NewConn(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, _, err := conn.ReceiveMsg(make([]byte, 8), nil); err != nil {
		t.Fatal(err)
	}
	return c, conn
}

func TestPeerOfAnotherProcess(t *testing.T) {
	testleak.FDs(t)
	want := self()
	attr := syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		want.UID, want.GID = 65534, 65533
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65533}
	}
	c, conn := connectedChild(t, attr)
	want.PID = c.pid
	if got, err := conn.PeerCred(); got != want || err != nil {
		t.Errorf("%v, %v; want %v", got, err, want)
	}

	pidfd, err := conn.PeerPidfd()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd))
	if err != nil || !strings.Contains(string(info), fmt.Sprintf("Pid:\t%d\n", c.pid)) {
		t.Errorf("the pidfd isn't of process %d: %s %v", c.pid, info, err)
	}
	if flags, _ := unix.FcntlInt(uintptr(pidfd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("the pidfd isn't close-on-exec")
	}
	conn.Close()
	c.finish()
	if err := readable(pidfd); err != nil {
		t.Errorf("the pidfd doesn't tell that the process has ended: %v", err)
	}
}

func TestReceiveCred(t *testing.T) {
	forConns(t, func(t *testing.T, a, b *Conn) {
		receive := func(want Cred) {
			t.Helper()
			p, fds := make([]byte, 8), make([]sock.FD, 1)
			n, nfd, from, err := b.ReceiveCred(p, fds)
			if err != nil || string(p[:n]) != "hello" || nfd != 1 || from != want {
				t.Fatalf("%q, %d, %v, %v; want credentials %v", p[:n], nfd, from, err, want)
			}
			fds[0].Close()
		}
		for _, tt := range []struct {
			on   bool
			want Cred
		}{{true, self()}, {false, nobody}} {
			if err := b.SetPassCred(tt.on); err != nil {
				t.Fatal(err)
			}
			if err := a.SendMsg([]byte("hello"), devNull(t, 1)...); err != nil {
				t.Fatal(err)
			}
			receive(tt.want)
		}
	})
}

// With SO_PASSPIDFD the kernel opens a pidfd for each message, which nobody
// here asks for.
func TestReceiveClosesPidfds(t *testing.T) {
	forKinds(t, func(t *testing.T, a, b sock.FD, _ sock.Type) {
		if err := unix.SetsockoptInt(int(b), unix.SOL_SOCKET, unix.SO_PASSPIDFD, 1); err != nil {
			t.Skip("SO_PASSPIDFD:", err)
		}
		if err := Send(a, []byte("x"), devNull(t, 1)...); err != nil {
			t.Fatal(err)
		}
		fds := make([]sock.FD, 2)
		_, nfd, err := Receive(b, make([]byte, 1), fds)
		if nfd != 1 || err != nil {
			t.Fatalf("%d, %v", nfd, err)
		}
		fds[0].Close()
	})
}
