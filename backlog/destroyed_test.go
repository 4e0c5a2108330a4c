package backlog

import (
	"testing"
	"time"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

// TestDestroyed shows what the rates rely on: each connection is reported once
// per end, with both ports unless SO_LINGER reset it, and a listener by its cookie.
func TestDestroyed(t *testing.T) {
	testleak.FDs(t)
	isolated(t, func(*netns.Namespace) { hearDestroyed(t) })
}

func hearDestroyed(t *testing.T) {
	d, err := openDestroyed(ourNamespace(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var heard []destroyedSocket
	hear := func(n int, wanted func(destroyedSocket) bool) {
		t.Helper()
		found := 0
		for end := time.Now().Add(10 * time.Second); found != n; time.Sleep(time.Millisecond) {
			if lost, err := d.read(func(s destroyedSocket) { heard = append(heard, s) }); lost || err != nil {
				t.Fatalf("lost %v, %v", lost, err)
			}
			found = 0
			for _, s := range heard {
				if wanted(s) {
					found++
				}
			}
			if time.Now().After(end) {
				t.Fatalf("%d reports, not %d: %+v", found, n, heard)
			}
		}
	}
	for _, to := range []sock.Addr{inet("127.0.0.1:0"), inet("[::1]:0")} {
		fd, addr := listening(t, to, sock.Stream, 0, 10)
		port := uint16(addr.Port())
		for _, closeClient := range []func(sock.FD){
			func(fd sock.FD) { fd.Close() },
			func(fd sock.FD) { reset(t, fd) },
		} {
			client := dial(t, addr)
			name, err := client.Getsockname()
			if err != nil {
				t.Fatal(err)
			}
			server := accept(t, fd)
			cookie, err := sock.Cookie.Get(server)
			if err != nil {
				t.Fatal(err)
			}
			closeClient(client)
			hear(1, func(s destroyedSocket) bool { return s.port == uint16(name.Port()) })
			hear(0, func(s destroyedSocket) bool { return s.cookie == cookie })
			server.Close()
			want := destroyedSocket{port, uint16(name.Port()), cookie}
			hear(1, func(s destroyedSocket) bool { return s == want })
		}

		// A listener that closes resets what waits.
		closing, closingAddr := openListener(t, to)
		cookie, err := sock.Cookie.Get(closing)
		if err != nil {
			t.Fatal(err)
		}
		connecting(t, closingAddr)
		want(t, closing, Queue{1, 4})
		closing.Close()
		hear(2, func(s destroyedSocket) bool { return s.port == uint16(closingAddr.Port()) && s.remote == 0 })
		hear(1, func(s destroyedSocket) bool { return s.cookie == cookie })
	}
}

// openListener makes a listener that the caller closes.
func openListener(t testing.TB, a sock.Addr) (sock.FD, sock.Addr) {
	t.Helper()
	fd, err := sock.Socket(a.Family(), sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := fd.Bind(a); err != nil {
		t.Fatal(err)
	}
	if err := fd.Listen(4); err != nil {
		t.Fatal(err)
	}
	name, err := fd.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	return fd, name
}
