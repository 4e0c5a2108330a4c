package fdpass

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

var kinds = []sock.Type{sock.Stream, sock.SeqPacket}

func forKinds(t *testing.T, f func(t *testing.T, a, b sock.FD, kind sock.Type)) {
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			testleak.FDs(t)
			a, b := pair(t, kind)
			f(t, a, b, kind)
		})
	}
}

// devNull opens n descriptors of /dev/null.
func devNull(t testing.TB, n int) []sock.FD {
	t.Helper()
	fds := make([]sock.FD, n)
	for i := range fds {
		fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds[i] = sock.FD(fd)
		t.Cleanup(func() { unix.Close(fd) })
	}
	return fds
}

func sameFile(t testing.TB, a, b sock.FD) bool {
	t.Helper()
	var x, y unix.Stat_t
	if err := errors.Join(unix.Fstat(int(a), &x), unix.Fstat(int(b), &y)); err != nil {
		t.Fatal(err)
	}
	return x.Dev == y.Dev && x.Ino == y.Ino
}

func TestSendReceive(t *testing.T) {
	for _, count := range []int{0, 1, 2, MaxFDs} {
		forKinds(t, func(t *testing.T, a, b sock.FD, _ sock.Type) {
			sent := devNull(t, count)
			if count > 0 {
				sent[0] = b // tell the first from the others
			}
			if err := Send(a, []byte("hello"), sent...); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, 16)
			fds := make([]sock.FD, MaxFDs)
			n, nfd, err := Receive(b, p, fds)
			if err != nil || string(p[:n]) != "hello" || nfd != count {
				t.Fatalf("received %q and %d descriptors: %v", p[:n], nfd, err)
			}
			for i, fd := range fds[:nfd] {
				if !sameFile(t, fd, sent[i]) {
					t.Errorf("descriptor %d is another file", i)
				}
				if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
					t.Errorf("descriptor %d isn't close-on-exec", i)
				}
				fd.Close()
			}
			if _, _, err := Receive(b, p, fds); !errors.Is(err, unix.EAGAIN) {
				t.Errorf("nothing left, and the error is %v", err)
			}
			a.Shutdown(unix.SHUT_WR)
			if n, nfd, err := Receive(b, p, fds); n != 0 || nfd != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %d, %v", n, nfd, err)
			}
		})
	}
}

func TestSendRefuses(t *testing.T) {
	forKinds(t, func(t *testing.T, a, b sock.FD, kind sock.Type) {
		null := devNull(t, 1)[0]
		for _, tt := range []struct {
			name string
			p    string
			fds  []sock.FD
			want error
			text string
		}{
			{"too many", "x", slices.Repeat([]sock.FD{null}, MaxFDs+1), unix.EINVAL, "at most 253"},
			{"none", "x", []sock.FD{null, sock.None}, unix.EBADF, "descriptor 1"},
			{"not open", "x", []sock.FD{1 << 30}, unix.EBADF, ""},
			{"empty", "", nil, unix.EINVAL, "at least one byte"},
		} {
			var call *os.SyscallError
			err := Send(a, []byte(tt.p), tt.fds...)
			if !errors.Is(err, tt.want) || !errors.As(err, &call) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		if _, _, err := Receive(b, make([]byte, 1), nil); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("a refused message had an effect: %v", err)
		}

		// The kernel sends descriptors without a byte on one of the two kinds only.
		err := Send(a, nil, null)
		if kind == sock.Stream {
			if !errors.Is(err, unix.EINVAL) {
				t.Errorf("descriptors alone: %v", err)
			}
			return
		}
		fds := []sock.FD{sock.None}
		n, nfd, err2 := Receive(b, make([]byte, 1), fds)
		if err != nil || n != 0 || nfd != 1 || err2 != nil {
			t.Fatalf("descriptors alone: %v; they arrive as %d, %d, %v", err, n, nfd, err2)
		}
		fds[0].Close()
	})
}

func TestReceiveNeedsABuffer(t *testing.T) {
	a, _ := pair(t, sock.Stream)
	if _, _, err := Receive(a, nil, nil); !errors.Is(err, unix.EINVAL) {
		t.Errorf("an empty buffer: %v", err)
	}
}

// Whatever isn't handed over is closed: testleak sees it if not.
func TestReceiveClosesWhatHasNoPlace(t *testing.T) {
	for _, room := range []int{0, 1, 2} {
		forKinds(t, func(t *testing.T, a, b sock.FD, _ sock.Type) {
			if err := Send(a, []byte("hello"), devNull(t, 3)...); err != nil {
				t.Fatal(err)
			}
			p, fds := make([]byte, 8), make([]sock.FD, room)
			n, nfd, err := Receive(b, p, fds)
			if !errors.Is(err, ErrTruncated) || nfd != 0 || string(p[:n]) != "hello" {
				t.Errorf("room for %d of 3: %q, %d, %v", room, p[:n], nfd, err)
			}
			for _, fd := range fds {
				if fd != sock.None {
					t.Errorf("a closed descriptor, %d, is handed over", fd)
				}
			}
		})
	}
}

func TestReceiveReportsACutPayload(t *testing.T) {
	testleak.FDs(t)
	a, b := pair(t, sock.SeqPacket)
	if err := Send(a, []byte("hello"), devNull(t, 1)...); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	n, nfd, err := Receive(b, p, make([]sock.FD, 1))
	if !errors.Is(err, unix.EMSGSIZE) || string(p[:n]) != "hell" || nfd != 0 {
		t.Errorf("%q, %d, %v", p[:n], nfd, err)
	}
}

// What came before on a STREAM is merged with the first bytes of the message
// that has descriptors; what comes after isn't.
func TestStreamOrder(t *testing.T) {
	testleak.FDs(t)
	a, b := pair(t, sock.Stream)
	null := devNull(t, 2)
	err := errors.Join(Send(a, []byte("--")), Send(a, []byte("BB"), null...), Send(a, []byte("CC")))
	if err != nil {
		t.Fatal(err)
	}
	p, fds := make([]byte, 16), make([]sock.FD, 4)
	n, nfd, err := Receive(b, p, fds)
	if string(p[:n]) != "--BB" || nfd != 2 || err != nil {
		t.Errorf("%q, %d, %v", p[:n], nfd, err)
	}
	for _, fd := range fds[:nfd] {
		fd.Close()
	}
	if n, nfd, err := Receive(b, p, fds); string(p[:n]) != "CC" || nfd != 0 || err != nil {
		t.Errorf("%q, %d, %v", p[:n], nfd, err)
	}
}

func TestSendErrors(t *testing.T) {
	forKinds(t, func(t *testing.T, a, b sock.FD, kind sock.Type) {
		null := devNull(t, 1)
		var err error
		for err == nil {
			err = Send(a, make([]byte, 1024), null...)
		}
		if !errors.Is(err, unix.EAGAIN) {
			t.Errorf("a full buffer: %v", err)
		}
		b.Shutdown(unix.SHUT_RD)
		if err := Send(a, []byte("x"), null...); !errors.Is(err, unix.EPIPE) {
			t.Errorf("a peer that has gone: %v", err)
		}
	})
	a, _ := pair(t, sock.Stream)
	if err := Send(a, make([]byte, 4<<20)); err != io.ErrShortWrite {
		t.Errorf("a part that went: %v", err)
	}
}

// A process without free numbers is told of what it lost, and keeps no part.
func TestReceiveAtTheLimit(t *testing.T) {
	testleak.FDs(t)
	a, b := pair(t, sock.SeqPacket)
	if err := Send(a, []byte("hello"), devNull(t, 10)...); err != nil {
		t.Fatal(err)
	}
	q := newQueue(t)
	if _, err := q.Send(records(a, 1)); err != nil {
		t.Fatal(err)
	}
	start(t, "truncate", syscall.SysProcAttr{}, nil, b, q.ReceiveEnd()).finish()
}

func truncateRole() error {
	before, _ := openCount()
	limit(before + 3)
	p, fds := make([]byte, 8), make([]sock.FD, 10)
	n, nfd, err := Receive(childQueue, p, fds)
	if !errors.Is(err, ErrTruncated) || nfd != 0 || string(p[:n]) != "hello" {
		return fmt.Errorf("%q, %d, %v", p[:n], nfd, err)
	}
	if after, _ := openCount(); after != before {
		return fmt.Errorf("%d descriptors before, %d after", before, after)
	}
	limit(0) // what a Receiver meets if others take all of its margin at once
	if _, _, err := receiveRecord(childControl); !errors.Is(err, ErrTruncated) || !errors.Is(err, unix.ECONNABORTED) {
		return fmt.Errorf("a record whose descriptor is lost: %v", err)
	}
	return nil
}
