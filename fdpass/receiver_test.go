package fdpass

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

// Messages that are no records are dropped one by one, with what they carry.
func TestReceiverDropsWhatIsNoRecord(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	r := NewReceiver(q.ReceiveEnd())
	null := devNull(t, MaxFDs)
	var good wireRecord
	good.encode(peer(1))
	version := good
	version[len(recordMagic)-1]++
	for _, tt := range []struct {
		name string
		p    []byte
		fds  []sock.FD
	}{
		{"short", good[:recordSize-1], null[:1]},
		{"long", append(good[:], 0), null[:1]},
		{"another version", version[:], null[:1]},
		{"empty", nil, null[:1]},
		{"no descriptor", good[:], nil},
		{"two descriptors", good[:], null[:2]},
		{"all descriptors", good[:], null},
	} {
		for what, accept := range map[string]func() (sock.FD, sock.Addr, error){"accept": r.Accept, "steal": q.Steal} {
			if err := Send(q.SendEnd(), tt.p, tt.fds...); err != nil {
				t.Fatal(err)
			}
			if _, err := q.Send(records(null[0], 1)); err != nil {
				t.Fatal(err)
			}
			var call *os.SyscallError
			if fd, _, err := accept(); fd != sock.None || !errors.Is(err, unix.ECONNABORTED) || !errors.As(err, &call) {
				t.Errorf("%s, %s: %d, %v", what, tt.name, fd, err)
			}
			fd, from, err := accept()
			if from != peer(0) || err != nil {
				t.Errorf("%s, after %s: %v, %v", what, tt.name, from, err)
			}
			fd.Close()
		}
	}
}

// A socket that someone made a blocking one, or asks for credentials on, still
// gives EAGAIN, its records and its end.
func TestReceiverWhateverTheOptions(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	r := NewReceiver(q.ReceiveEnd())
	if err := errors.Join(unix.SetNonblock(int(q.ReceiveEnd()), false),
		unix.SetsockoptInt(int(q.ReceiveEnd()), unix.SOL_SOCKET, unix.SO_PASSCRED, 1),
		unix.SetsockoptInt(int(q.ReceiveEnd()), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Accept(); !errors.Is(err, unix.EAGAIN) {
		t.Error(err)
	}
	if _, err := q.Send(records(devNull(t, 1)[0], 1)); err != nil {
		t.Fatal(err)
	}
	fd, from, err := r.Accept()
	if from != peer(0) || err != nil {
		t.Errorf("%v, %v", from, err)
	}
	fd.Close()
	q.SendEnd().Shutdown(unix.SHUT_WR)
	if _, _, err := r.Accept(); err != io.EOF {
		t.Error(err)
	}
}

func TestReceiverErrors(t *testing.T) {
	var call *os.SyscallError
	if _, _, err := NewReceiver(sock.None).Accept(); !errors.Is(err, unix.EBADF) || !errors.As(err, &call) {
		t.Error(err)
	}
}

func TestAllocations(t *testing.T) {
	testleak.FDs(t)
	q := newQueue(t)
	r := NewReceiver(q.ReceiveEnd())
	null := devNull(t, 1)[0]
	a, b := pair(t, sock.Stream)
	p, fds := make([]byte, 64), make([]sock.FD, 2)
	drain := func() {
		for {
			fd, _, err := r.Accept()
			if err != nil {
				return
			}
			fd.Close()
		}
	}
	one, many := records(null, 1), records(null, 40)
	for what, f := range map[string]func(){
		"one record":   func() { q.Send(one); drain() },
		"many records": func() { q.Send(many); drain() },
		"empty queue":  func() { r.Accept() },
		"steal":        func() { q.Send(one); fd, _, _ := q.Steal(); fd.Close(); q.Len() },
		"message": func() {
			Send(a, p, null, null)
			_, n, _ := Receive(b, p, fds)
			for _, fd := range fds[:n] {
				fd.Close()
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

// FuzzRecord sends arbitrary bytes with and without a descriptor.
func FuzzRecord(f *testing.F) {
	var good wireRecord
	good.encode(peer(7))
	f.Add(good[:], true)
	f.Add(good[:], false)
	f.Add(good[:recordSize-1], true)
	f.Add(append(good[:], 1), true)
	f.Fuzz(func(t *testing.T, p []byte, withFD bool) {
		if len(p) == 0 || len(p) > 1024 {
			return
		}
		a, b := pair(t, sock.SeqPacket)
		var fds []sock.FD
		if withFD {
			fds = append(fds, a)
		}
		if err := Send(a, p, fds...); err != nil {
			t.Fatal(err)
		}
		r := NewReceiver(b)
		fd, from, err := r.Accept()
		ok := withFD && len(p) == recordSize && string(p[:len(recordMagic)]) == recordMagic
		if ok != (err == nil) || ok != (fd != sock.None) {
			t.Fatalf("%x: %d, %v, %v", p, fd, from, err)
		}
		if ok {
			fd.Close()
		}
		a.Close()
		if _, _, err := r.Accept(); err != io.EOF {
			t.Fatalf("after that: %v; a descriptor is left open", err)
		}
	})
}
