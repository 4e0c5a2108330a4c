package fdpass

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

func connPair(t testing.TB, kind sock.Type) (a, b *Conn) {
	t.Helper()
	x, y, err := sock.Pair(kind)
	if err != nil {
		t.Fatal(err)
	}
	a, errA := NewConn(x)
	b, errB := NewConn(y)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	for _, c := range []*Conn{a, b} {
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func forConns(t *testing.T, f func(t *testing.T, a, b *Conn)) {
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			testleak.FDs(t)
			a, b := connPair(t, kind)
			f(t, a, b)
		})
	}
}

func TestConnWaits(t *testing.T) {
	forConns(t, func(t *testing.T, a, b *Conn) {
		null := devNull(t, 1)
		const messages, size = 200, 4096 // more than the buffers hold
		var wg sync.WaitGroup
		wg.Go(func() {
			for range messages {
				if err := a.SendMsg(make([]byte, size), null...); err != nil {
					t.Error(err)
					return
				}
			}
			a.Close()
		})
		p, fds := make([]byte, size), make([]sock.FD, 1)
		var bytes, got int
		for {
			n, nfd, err := b.ReceiveMsg(p, fds)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			bytes += n
			got += nfd
			for _, fd := range fds[:nfd] {
				fd.Close()
			}
		}
		wg.Wait()
		if bytes != messages*size || got != messages {
			t.Errorf("received %d bytes and %d descriptors", bytes, got)
		}
	})
}

// Messages of several writers stay whole, and keep their descriptors.
func TestConnManyWriters(t *testing.T) {
	forConns(t, func(t *testing.T, a, b *Conn) {
		const writers, each, size = 8, 50, 2000
		null := devNull(t, 1)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for range each {
					if err := a.SendMsg(bytes.Repeat([]byte{byte(w)}, size), null...); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		p, fds := make([]byte, size), make([]sock.FD, 1)
		for range writers * each {
			n, nfd, err := b.ReceiveMsg(p, fds)
			if err != nil {
				t.Fatal(err)
			}
			if n != size || nfd != 1 || !bytes.Equal(p, bytes.Repeat(p[:1], size)) {
				t.Fatalf("a message of %d bytes and %d descriptors is not one of those sent", n, nfd)
			}
			fds[0].Close()
		}
		wg.Wait()
	})
}

// A STREAM takes a large payload in parts: the descriptors come with the first.
func TestConnLargePayload(t *testing.T) {
	testleak.FDs(t)
	a, b := connPair(t, sock.Stream)
	want := make([]byte, 1<<20)
	for i := range len(want) / 4 {
		binary.BigEndian.PutUint32(want[4*i:], uint32(i))
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.SendMsg(want, devNull(t, 2)...); err != nil {
			t.Error(err)
		}
	})
	var got []byte
	var count int
	p, fds := make([]byte, 64<<10), make([]sock.FD, 2)
	for len(got) < len(want) {
		n, nfd, err := b.ReceiveMsg(p, fds)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p[:n]...)
		count += nfd
		for _, fd := range fds[:nfd] {
			fd.Close()
		}
	}
	wg.Wait()
	if !bytes.Equal(got, want) || count != 2 {
		t.Errorf("%d descriptors; the payload is right: %v", count, bytes.Equal(got, want))
	}
}

func TestConnDeadline(t *testing.T) {
	forConns(t, func(t *testing.T, a, b *Conn) {
		check := func(what string, err error) {
			t.Helper()
			var op *net.OpError
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &op) || !op.Timeout() {
				t.Errorf("%s: %v", what, err)
			}
		}
		a.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, _, err := a.ReceiveMsg(make([]byte, 1), nil)
		check("receiving", err)
		a.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		for err = nil; err == nil; {
			err = a.SendMsg(make([]byte, 1024))
		}
		check("sending", err)

		a.SetDeadline(time.Time{})
		if err := b.SendMsg([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, _, err := a.ReceiveMsg(make([]byte, 1), nil); n != 1 || err != nil {
			t.Errorf("after the deadline was lifted: %d, %v", n, err)
		}
	})
}

func TestConnClose(t *testing.T) {
	forConns(t, func(t *testing.T, a, b *Conn) {
		waiting := make(chan error)
		go func() {
			_, _, err := a.ReceiveMsg(make([]byte, 1), nil)
			waiting <- err
		}()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		errs := map[string]error{"waiting": <-waiting, "again": a.Close(), "sending": a.SendMsg([]byte("x")),
			"deadline": a.SetDeadline(time.Time{}), "passcred": a.SetPassCred(true)}
		_, _, errs["receiving"] = a.ReceiveMsg(make([]byte, 1), nil)
		_, errs["peer"] = a.PeerCred()
		for what, err := range errs {
			var op *net.OpError
			if !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, _, err := b.ReceiveMsg(make([]byte, 1), nil); err != io.EOF {
			t.Errorf("the other side: %v", err)
		}
		if err := b.SendMsg([]byte("x")); !errors.Is(err, unix.EPIPE) {
			t.Errorf("the other side sends: %v", err)
		}
	})
}

func TestConnRefusesAndReports(t *testing.T) {
	forConns(t, func(t *testing.T, a, b *Conn) {
		if err := a.SendMsg(nil); !errors.Is(err, unix.EINVAL) {
			t.Errorf("an empty message: %v", err)
		}
		if err := a.SendMsg(nil, devNull(t, 1)...); (a.network == "unix") != errors.Is(err, unix.EINVAL) {
			t.Errorf("descriptors alone: %v", err)
		} else if err == nil {
			if _, nfd, err := b.ReceiveMsg(make([]byte, 1), nil); nfd != 0 || err != ErrTruncated {
				t.Errorf("descriptors without a place: %d, %v", nfd, err)
			}
		}
	})
}

// NewConn owns what it is given, also when it fails: testleak.FDs can't tell a
// number that was closed twice, so each is looked at.
func TestNewConnOwns(t *testing.T) {
	testleak.FDs(t)
	tcp, err := sock.Socket(sock.Inet, sock.Stream, sock.TCP)
	if err != nil {
		t.Fatal(err)
	}
	dgram, other, err := sock.Pair(unix.SOCK_DGRAM)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for want, fd := range map[error]sock.FD{
		unix.ESOCKTNOSUPPORT: tcp,
		unix.EBADF:           sock.None,
		unix.ENOTSOCK:        func() sock.FD { fd, _ := devNull(t, 1)[0].Dup(); return fd }(),
	} {
		var op *net.OpError
		if _, err := NewConn(fd); !errors.Is(err, want) || !errors.As(err, &op) {
			t.Errorf("%v, want %v", err, want)
		}
		if err := fd.Close(); !errors.Is(err, unix.EBADF) {
			t.Errorf("%v: the descriptor was left open", want)
		}
	}
	if _, err := NewConn(dgram); !errors.Is(err, unix.ESOCKTNOSUPPORT) {
		t.Error(err)
	}
}

// A socket inherited from another program may be a blocking one.
func TestNewConnMakesNonBlocking(t *testing.T) {
	testleak.FDs(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	c, err := NewConn(sock.FD(fds[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, _, err := c.ReceiveMsg(make([]byte, 1), nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestConnSyscallConn(t *testing.T) {
	testleak.FDs(t)
	a, _ := connPair(t, sock.SeqPacket)
	raw, err := a.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var kind int
	if err := raw.Control(func(fd uintptr) {
		kind, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
	}); err != nil || kind != unix.SOCK_SEQPACKET {
		t.Errorf("%d, %v", kind, err)
	}
}
