package sock

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

func TestSendRecv(t *testing.T) {
	for name, blocking := range map[string]bool{"non-blocking": false, "blocking": true} {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			a, b, err := Pair(Stream)
			check(t, err)
			defer a.Close()
			check(t, unix.SetNonblock(int(a), !blocking))
			if ok, err := a.Nonblocking(); ok == blocking || err != nil {
				t.Errorf("Nonblocking: %v, %v", ok, err)
			}
			var buf [8]byte
			if n, err := a.Recv(buf[:], unix.MSG_DONTWAIT); n != 0 || !errors.Is(err, unix.EAGAIN) {
				t.Errorf("nothing has come: %d, %v", n, err)
			}
			if n, err := b.Send([]byte("hello"), 0); n != 5 || err != nil {
				t.Errorf("Send: %d, %v", n, err)
			}
			if n, err := a.Recv(buf[:], unix.MSG_PEEK); string(buf[:n]) != "hello" || err != nil {
				t.Errorf("Recv with MSG_PEEK: %q, %v", buf[:n], err)
			}
			if n, err := a.Recv(buf[:], unix.MSG_DONTWAIT); string(buf[:n]) != "hello" || err != nil {
				t.Errorf("Recv: %q, %v", buf[:n], err)
			}
			if n, err := a.Send(nil, unix.MSG_DONTWAIT); n != 0 || err != nil {
				t.Errorf("Send of nothing: %d, %v", n, err)
			}
			full := make([]byte, 1<<20)
			for err = nil; err == nil; {
				_, err = a.Send(full, unix.MSG_DONTWAIT)
			}
			if !errors.Is(err, unix.EAGAIN) {
				t.Errorf("into a full buffer: %v", err)
			}
			check(t, b.CloseNow())
			if _, err := a.Send(full, unix.MSG_DONTWAIT); !errors.Is(err, unix.EPIPE) { // and no SIGPIPE
				t.Errorf("to nobody: %v", err)
			}
			if n, err := a.Recv(buf[:], unix.MSG_DONTWAIT); n != 0 || err != nil && !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("from nobody: %d, %v", n, err)
			}
			allocs := testing.AllocsPerRun(100, func() { a.Recv(buf[:], unix.MSG_DONTWAIT) })
			if allocs != 0 {
				t.Errorf("Recv allocates %v times", allocs)
			}
		})
	}
}

func TestTryAccept(t *testing.T) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			l := k.listen(t, 4)
			if _, _, err := l.TryAccept(); !errors.Is(err, unix.EAGAIN) {
				t.Errorf("nobody waits: %v", err)
			}
			c, err := k.dial(t, l)
			if err != nil && !errors.Is(err, unix.EINPROGRESS) {
				t.Fatal(err)
			}
			await(t, l.Descriptor(), unix.POLLIN)
			conn, peer, err := l.TryAccept()
			closing(t, conn, err)
			if own, err := c.Getsockname(); own != peer || err != nil {
				t.Errorf("the peer is %v, %v, not %v", own, err, peer)
			}
		})
	}
}

// Close asks before it trusts that it won't wait: a socket with SO_LINGER is closed by
// a call that the scheduler hears of, and so is what is no socket.
func TestClosesAtOnce(t *testing.T) {
	testleak.FDs(t)
	a, b, err := Pair(Stream)
	check(t, err)
	defer b.Close()
	if !a.closesAtOnce() {
		t.Error("a socket without SO_LINGER")
	}
	check(t, a.CheckSocket())
	check(t, unix.SetsockoptLinger(int(a), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 1}))
	if a.closesAtOnce() {
		t.Error("a socket with SO_LINGER")
	}
	check(t, a.Close())
	if a.closesAtOnce() {
		t.Error("a closed descriptor")
	}
	if err := a.Close(); !errors.Is(err, unix.EBADF) {
		t.Errorf("closed twice: %v", err)
	}
	if err := a.CloseNow(); !errors.Is(err, unix.EBADF) {
		t.Errorf("closed a third time: %v", err)
	}
	var p [2]int
	check(t, unix.Pipe2(p[:], unix.O_CLOEXEC))
	for _, fd := range p {
		if FD(fd).closesAtOnce() {
			t.Error("a pipe is no socket")
		}
		if err := FD(fd).CheckSocket(); !errors.Is(err, unix.ENOTSOCK) {
			t.Errorf("CheckSocket of a pipe: %v", err)
		}
		check(t, FD(fd).Close())
	}
}
