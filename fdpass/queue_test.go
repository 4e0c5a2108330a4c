package fdpass

import (
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

// peer is an address that tells records apart.
func peer(i int) sock.Addr {
	return sock.IPAddr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 24), byte(i >> 16), 1}), uint16(i)))
}

func records(fd sock.FD, n int) []Record {
	rs := make([]Record, n)
	for i := range rs {
		rs[i] = Record{fd, peer(i)}
	}
	return rs
}

func TestQueue(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	r := NewReceiver(q.ReceiveEnd())
	null := devNull(t, 1)[0]
	const n = 100 // several batches, and a part of one
	if sent, err := q.Send(records(null, n)); sent != n || err != nil {
		t.Fatalf("%d, %v", sent, err)
	}
	for i := range n {
		if l, err := q.Len(); l != n-i || err != nil {
			t.Fatalf("length %d, %v; want %d", l, err, n-i)
		}
		accept := r.Accept
		if i%2 == 1 {
			accept = q.Steal
		}
		fd, from, err := accept()
		if err != nil || from != peer(i) || !sameFile(t, fd, null) {
			t.Fatalf("record %d: %v, %v", i, from, err)
		}
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			t.Error("not close-on-exec")
		}
		fd.Close()
	}
	for what, accept := range map[string]func() (sock.FD, sock.Addr, error){"accept": r.Accept, "steal": q.Steal} {
		if fd, _, err := accept(); fd != sock.None || !errors.Is(err, unix.EAGAIN) {
			t.Errorf("%s: %d, %v", what, fd, err)
		}
	}
	if l, err := q.Len(); l != 0 || err != nil {
		t.Errorf("length %d, %v", l, err)
	}
	if sent, err := q.Send(nil); sent != 0 || err != nil {
		t.Errorf("no records: %d, %v", sent, err)
	}
}

func TestQueueAddresses(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	for _, a := range []sock.Addr{
		sock.IPAddr(netip.MustParseAddrPort("192.0.2.1:80")),
		sock.IPAddr(netip.MustParseAddrPort("[2001:db8::1]:65535")),
		sock.VsockAddr(3, 1234),
		sock.UnixAddr(""),
		{},
	} {
		if _, err := q.Send([]Record{{q.SendEnd(), a}}); err != nil {
			t.Fatal(err)
		}
		fd, got, err := q.Steal()
		if got != a || err != nil {
			t.Errorf("%v arrives as %v: %v", a, got, err)
		}
		fd.Close()
	}
}

func TestQueueFull(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	rs := records(devNull(t, 1)[0], 10_000)
	sent, err := q.Send(rs)
	if !errors.Is(err, unix.EAGAIN) || sent == 0 || sent == len(rs) {
		t.Fatalf("%d, %v", sent, err)
	}
	if l, err := q.Len(); l != sent || err != nil {
		t.Errorf("%d were sent, and %d wait: %v", sent, l, err)
	}
	if again, err := q.Send(rs[sent:]); again != 0 || !errors.Is(err, unix.EAGAIN) {
		t.Errorf("again: %d, %v", again, err)
	}

	// One place is free at once, but epoll says so later.
	writable := func() bool {
		p := []unix.PollFd{{Fd: int32(q.SendEnd()), Events: unix.POLLOUT}}
		n, err := unix.Poll(p, 0)
		return err == nil && n == 1
	}
	left := sent
	for ; !writable(); left-- {
		fd, _, err := q.Steal()
		if err != nil {
			t.Fatal(err)
		}
		fd.Close()
	}
	if left > sent/4+1 || left < sent/4-1 {
		t.Errorf("writable with %d of %d waiting, want a quarter", left, sent)
	}
}

func TestQueueStopsAtABadDescriptor(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	rs := records(devNull(t, 1)[0], 40)
	rs[20].FD = sock.None
	if n, err := q.Send(rs); n != 20 || !errors.Is(err, unix.EBADF) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := q.Len(); n != 20 || err != nil {
		t.Errorf("%d wait: %v", n, err)
	}
}

func TestQueueSetLimit(t *testing.T) {
	testleak.FDs(t)
	rs := records(devNull(t, 1)[0], 2000)
	for _, want := range []int{1, 6, 7, 16, 64, 100, 500} {
		q := newQueue(t)
		granted, err := q.SetLimit(want)
		if err != nil {
			t.Fatal(err)
		}
		if granted != want && want >= 16 {
			t.Errorf("limit %d: granted %d", want, granted)
		}
		for range 2 { // and again once it has been emptied
			sent, err := q.Send(rs)
			if sent != granted || !errors.Is(err, unix.EAGAIN) {
				t.Errorf("limit %d: %d records, granted were %d: %v", want, sent, granted, err)
			}
			for range sent {
				fd, _, err := q.Steal()
				if err != nil {
					t.Fatal(err)
				}
				fd.Close()
			}
		}
	}
	q := newQueue(t)
	if _, err := q.SetLimit(0); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	if granted, err := q.SetLimit(math.MaxInt); granted < 100 || err != nil {
		t.Errorf("as much as possible: %d, %v", granted, err)
	}
}

// TestShortageIsNotRemembered: what is measured once is measured when a descriptor
// is there again.
func TestShortageIsNotRemembered(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	measured.cost = 0
	old := table.Swap(int64(sock.None))
	limit(0)
	_, err := q.SetLimit(100)
	opened := descriptorTable()
	limit(int(before.Cur))
	if !errors.Is(err, unix.EMFILE) || opened != cannotCount {
		t.Errorf("without descriptors: %v, %d", err, opened)
	}
	if granted, err := q.SetLimit(100); granted != 100 || err != nil {
		t.Errorf("with descriptors: %d, %v", granted, err)
	}
	if descriptorTable() == cannotCount && old != cannotCount {
		t.Error("descriptors aren't counted for good")
	}
	if fd := table.Swap(old); fd >= 0 && fd != old {
		unix.Close(int(fd))
	}
}

func TestQueueEnd(t *testing.T) {
	testleak.FDs(t)
	null := devNull(t, 1)[0]
	for name, end := range map[string]func(*Queue) error{
		"close":    (*Queue).Close,
		"shutdown": func(q *Queue) error { return q.SendEnd().Shutdown(unix.SHUT_WR) },
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue(t)
			worker, err := q.ReceiveEnd().Dup()
			if err != nil {
				t.Fatal(err)
			}
			defer worker.Close()
			r := NewReceiver(worker)
			if _, err := q.Send(records(null, 2)); err != nil {
				t.Fatal(err)
			}
			if err := end(q); err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				fd, from, err := r.Accept()
				if from != peer(i) || err != nil {
					t.Fatalf("what waited: %v, %v", from, err)
				}
				fd.Close()
			}
			for range 2 {
				if fd, _, err := r.Accept(); fd != sock.None || err != io.EOF {
					t.Errorf("%d, %v", fd, err)
				}
			}
		})
	}
}

func TestQueueWorkerShutsDown(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	null := devNull(t, 1)[0]
	if _, err := q.Send(records(null, 1)); err != nil {
		t.Fatal(err)
	}
	q.ReceiveEnd().Shutdown(unix.SHUT_RD)
	if n, err := q.Send(records(null, 1)); n != 0 || !errors.Is(err, unix.EPIPE) {
		t.Errorf("%d, %v", n, err)
	}
	fd, _, err := q.Steal()
	if err != nil {
		t.Fatal(err)
	}
	fd.Close()
}

func TestQueueClosed(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	rs := records(devNull(t, 1)[0], 3)
	var wg sync.WaitGroup
	for range 4 { // Close meets calls that run
		wg.Go(func() {
			for {
				_, err := q.Send(rs)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				q.Len()
				fd, _, err := q.Steal()
				if err == nil {
					fd.Close()
				}
			}
		})
	}
	within(t, "the queue is in use", func() bool { n, err := q.Len(); return n > 0 && err == nil })
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	_, sendErr := q.Send(rs)
	_, lenErr := q.Len()
	_, _, stealErr := q.Steal()
	_, limitErr := q.SetLimit(10)
	for _, err := range []error{sendErr, lenErr, stealErr, limitErr, q.Close()} {
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

// A queue that is made of its ends goes on where it was.
func TestOwnQueue(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	null := devNull(t, 1)[0]
	if n, err := q.Send(records(null, 3)); n != 3 {
		t.Fatal(err)
	}
	send, err := q.SendEnd().Dup()
	if err != nil {
		t.Fatal(err)
	}
	receive, err := q.ReceiveEnd().Dup()
	if err != nil {
		t.Fatal(err)
	}
	own, err := OwnQueue(send, receive)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if n, err := own.Len(); n != 3 || err != nil {
		t.Errorf("length %d, %v", n, err)
	}
	fd, from, err := own.Steal()
	if err != nil || from != peer(0) {
		t.Fatalf("%v, %v", from, err)
	}
	fd.Close()
	if _, err := OwnQueue(null, receive); !errors.Is(err, unix.ENOTSOCK) {
		t.Errorf("of /dev/null: %v", err)
	}
}
