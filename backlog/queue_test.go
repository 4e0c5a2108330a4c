package backlog

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

func TestOf(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name     string
		addr     sock.Addr
		typ      sock.Type
		protocol sock.Protocol
	}{
		{"tcp4", inet("127.0.0.1:0"), sock.Stream, 0},
		{"tcp6", inet("[::1]:0"), sock.Stream, 0},
		{"mptcp", inet("127.0.0.1:0"), sock.Stream, sock.MPTCP},
		{"unix", sock.UnixAddr(filepath.Join(dir, "s")), sock.Stream, 0},
		{"unixpacket", sock.UnixAddr(filepath.Join(dir, "p")), sock.SeqPacket, 0},
		{"abstract", sock.UnixAddr(""), sock.Stream, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testleak.FDs(t)
			fd, addr := listening(t, tt.addr, tt.typ, tt.protocol, 7)
			want(t, fd, Queue{0, 7})

			for range 3 {
				client, err := sock.Socket(addr.Family(), tt.typ, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				if err := client.Connect(addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
					t.Fatal(err)
				}
			}
			want(t, fd, Queue{3, 7})

			conn, _, err := fd.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			want(t, fd, Queue{2, 7})

			if err := fd.Listen(1); err != nil {
				t.Fatal(err)
			}
			want(t, fd, Queue{2, 1})
		})
	}
}

// want waits a moment, since the last ACK of a handshake may be under way.
func want(t *testing.T, fd sock.FD, q Queue) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		got, err := Of(fd)
		if err != nil {
			t.Fatal(err)
		}
		if got == q {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("queue is %+v, not %+v", got, q)
		}
	}
}

func TestOfNotListening(t *testing.T) {
	testleak.FDs(t)
	for _, fd := range []sock.FD{
		bound(t, inet("127.0.0.1:0"), sock.Stream, 0),
		bound(t, sock.UnixAddr(""), sock.Stream, 0),
	} {
		if q, err := Of(fd); !errors.Is(err, unix.EINVAL) {
			t.Errorf("a socket that doesn't listen: %v, %v", q, err)
		}
	}
	if _, err := Of(sock.None); !errors.Is(err, unix.EBADF) {
		t.Errorf("no descriptor: %v", err)
	}
}

func TestOfVsock(t *testing.T) {
	testleak.FDs(t)
	fd, err := sock.Socket(sock.Vsock, sock.Stream, 0)
	if err != nil {
		t.Skip("no vsock in this kernel: ", err)
	}
	defer fd.Close()
	if q, err := Of(fd); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("vsock: %v, %v", q, err)
	}
}

func TestCapacity(t *testing.T) {
	if c := (Queue{Limit: 511}).Capacity(); c != 512 {
		t.Errorf("capacity %d of limit 511", c)
	}
}

func BenchmarkOf(b *testing.B) {
	for _, tt := range []struct {
		name string
		addr sock.Addr
	}{{"tcp", inet("127.0.0.1:0")}, {"unix", sock.UnixAddr("")}} {
		b.Run(tt.name, func(b *testing.B) {
			fd, _ := listening(b, tt.addr, sock.Stream, 0, 7)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Of(fd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
