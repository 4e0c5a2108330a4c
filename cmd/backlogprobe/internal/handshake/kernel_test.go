package handshake

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/capture"
	"onconn/sock"
)

// TestSYNRefusedThenAccepted fills a queue of one, and empties it after the
// first refusals.
func TestSYNRefusedThenAccepted(t *testing.T) {
	s := setStage(t, stageConfig{})
	l := s.listen(80, 0)
	s.connect(80)
	s.queued(l, 1)
	s.connect(80)
	s.wait(3, syn)
	s.accept(l)
	s.wait(2, synack)
	s.wait(2, s.ack)
	live, offline := s.end()

	a := only(t, live, 1, AnsweredLate, Certain)
	if len(a) == 1 {
		if want := "accept queue full (1 of 1 SYN)"; a[0].SYNs.N == 2 && !strings.HasPrefix(a[0].Verdict.Text, want) {
			t.Errorf("%q doesn't begin with %q", a[0].Verdict.Text, want)
		}
		if d := a[0].Depths[0]; !d.Full() || d.Limit != 0 || d.Members != 1 {
			t.Errorf("at the first SYN the queue was %+v", d)
		}
		if d := a[0].Waited(); d < 900*time.Millisecond {
			t.Errorf("waited only %v", d)
		}
	}
	only(t, offline, 1, AnsweredLate, Consistent)
	only(t, offline, 1, Connected, Certain)
}

func TestSYNRefused(t *testing.T) {
	s := setStage(t, stageConfig{})
	l := s.listen(80, 0)
	s.connect(80)
	s.queued(l, 1)
	s.connect(80)
	s.wait(3, syn)
	live, offline := s.end()
	only(t, live, 1, SYNUnanswered, Certain)
	only(t, offline, 1, SYNUnanswered, Consistent)
}

// overflow has three clients connect at once while there is room for one.
func overflow(t *testing.T, c stageConfig) (*stage, sock.FD) {
	s := setStage(t, c)
	l := s.listen(80, 3)
	for range 3 {
		s.connect(80)
	}
	s.queued(l, 3)
	for range 3 {
		s.connect(80)
	}
	s.wait(6, synack)
	return s, l
}

func TestFinalACKRefused(t *testing.T) {
	s, l := overflow(t, stageConfig{delay: 30 * time.Millisecond})
	s.wait(8, synack) // two of them again
	for range 4 {
		s.accept(l)
	}
	s.accept(l) // when the next SYN-ACKs or these ACKs have come
	s.accept(l)
	live, offline := s.end()
	a := only(t, live, 2, ACKRefused, Certain)
	for _, a := range a {
		if !slices.Contains(a.Verdict.Rules, "queue-full-at-syn-ack") {
			t.Errorf("rules %v", a.Verdict.Rules)
		}
	}
	// Bare ACKs, once: TCP_DEFER_ACCEPT would look the same.
	only(t, offline, 2, ACKRefused, Consistent)
	only(t, offline, 4, Connected, Certain)
}

func TestFinalACKWithDataRefused(t *testing.T) {
	for _, tt := range []struct {
		name     string
		atClient bool
		sure     Certainty
	}{{"seen-at-the-server", false, Certain}, {"seen-at-the-client", true, Consistent}} {
		t.Run(tt.name, func(t *testing.T) {
			s := setStage(t, stageConfig{delay: 30 * time.Millisecond, atClient: tt.atClient})
			l := s.listen(80, 1)
			s.connect(80)
			s.queued(l, 1)
			first, second := s.connect(80), s.connect(80) // both SYNs come before an ACK
			s.wait(3, synack)
			s.queued(l, 2)
			for _, fd := range []sock.FD{first, second} {
				if _, err := fd.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
			}
			s.wait(4, synack)
			for range 3 {
				s.accept(l)
			}
			_, offline := s.end()
			for _, a := range only(t, offline, 1, ACKRefused, tt.sure) {
				near := NearServer
				if tt.atClient {
					near = NearClient
				}
				if a.Near != near {
					t.Errorf("captured near %v", a.Near)
				}
			}
		})
	}
}

// TestCookieRefused: with room for one unfinished handshake, the second client
// gets a cookie, and its ACK and data are ignored in silence.
func TestCookieRefused(t *testing.T) {
	for _, tt := range []struct {
		name     string
		atClient bool
		kind     Kind
		sure     Certainty
	}{{"cookie-refused-seen-at-the-server", false, ACKRefused, Consistent}, {"cookie-refused-seen-at-the-client", true, DataIgnored, CannotTell}} {
		t.Run(tt.name, func(t *testing.T) {
			s := setStage(t, stageConfig{delay: 30 * time.Millisecond, atClient: tt.atClient})
			l := s.listen(80, 0)
			s.connect(80)
			second := s.connect(80)
			s.wait(2, synack)
			s.queued(l, 1)
			if _, err := second.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			s.wait(4, func(g capture.Segment) bool { return g.Payload > 0 })
			_, offline := s.end()
			only(t, offline, 1, tt.kind, tt.sure)
			only(t, offline, 1, Connected, Certain)
		})
	}
}

func TestAbortOnOverflow(t *testing.T) {
	s, _ := overflow(t, stageConfig{delay: 30 * time.Millisecond, sysctls: map[string]string{"ipv4/tcp_abort_on_overflow": "1"}})
	s.wait(2, rst)
	live, offline := s.end()
	only(t, live, 2, ResetAfterACK, Certain)
	only(t, offline, 2, ResetAfterACK, Consistent)
}

func TestClosedPort(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		name := "closed-port-v4"
		if v6 {
			name = "closed-port-v6"
		}
		t.Run(name, func(t *testing.T) {
			s := setStage(t, stageConfig{v6: v6})
			s.client.Do(func() {})
			s.connect(9)
			s.wait(1, rst)
			_, offline := s.end()
			only(t, offline, 1, ClosedPort, Consistent)
		})
	}
}

// TestCookies has the server speak, so that its clock shows. Cookies round down
// by up to 64 ms: of several one is sure to be off by enough.
func TestCookies(t *testing.T) {
	s := setStage(t, stageConfig{sysctls: map[string]string{"ipv4/tcp_syncookies": "2"}})
	l := s.listen(80, 16)
	const n = 8
	for range n {
		s.connect(80)
		if _, err := s.accept(l).Write([]byte("220 hello\r\n")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Millisecond) // another place within the 64 ms
	}
	_, offline := s.end()
	found := 0
	for _, a := range only(t, offline, n, Connected, Certain) {
		if strings.Contains(strings.Join(a.Notes, " "), "SYN cookie") {
			found++
		}
	}
	if found < n/2 {
		t.Errorf("%d of %d cookies were recognised", found, n)
	}
}

// TestNoCookies: the clock of ordinary handshakes isn't taken for a cookie's.
func TestNoCookies(t *testing.T) {
	s := setStage(t, stageConfig{})
	l := s.listen(80, 16)
	for range 8 {
		s.connect(80)
		if _, err := s.accept(l).Write([]byte("220 hello\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	_, offline := s.end()
	for _, a := range only(t, offline, 8, Connected, Certain) {
		if len(a.Notes) > 0 {
			t.Errorf("notes %q", a.Notes)
		}
	}
}

func TestDeferAccept(t *testing.T) {
	s := setStage(t, stageConfig{})
	l := s.listen(80, 16, func(fd sock.FD) error { return sock.DeferAccept.Set(fd, 3*time.Second) })
	s.connect(80)
	s.wait(2, synack)
	s.accept(l)
	_, offline := s.end()
	only(t, offline, 1, Deferred, Consistent)
}

// TestDeferAcceptData: data completes the handshake, which then looks ordinary.
func TestDeferAcceptData(t *testing.T) {
	s := setStage(t, stageConfig{})
	l := s.listen(80, 16, func(fd sock.FD) error { return sock.DeferAccept.Set(fd, 3*time.Second) })
	c := s.connect(80)
	s.wait(1, s.ack)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.accept(l).Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	s.wait(3, s.fromServer)
	_, offline := s.end()
	only(t, offline, 1, Connected, Certain)
}

func TestFastOpen(t *testing.T) {
	s := setStage(t, stageConfig{sysctls: map[string]string{"ipv4/tcp_fastopen": "3"}})
	l := s.listen(80, 16, func(fd sock.FD) error { return sock.FastOpen.Set(fd, 16) })
	plain := s.listen(81, 16)
	hello := func(port uint16) {
		t.Helper()
		c := s.connectProtocol(port, 0, func(fd sock.FD) error { return sock.FastOpenConnect.Set(fd, true) })
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	hello(80) // gets a cookie
	s.accept(l)
	hello(80) // uses it
	s.accept(l)
	hello(81)
	s.accept(plain)
	_, offline := s.end()
	var notes []string
	for _, a := range only(t, offline, 3, Connected, Certain) {
		notes = append(notes, strings.Join(a.Notes, "; "))
	}
	slices.Sort(notes)
	for i, want := range []string{"fast open refused", "fast open: 5 bytes in the SYN taken", "fast open: a cookie"} {
		if i < len(notes) && !strings.HasPrefix(notes[i], want) {
			t.Errorf("note %q, not %q", notes[i], want)
		}
	}
}

func TestMPTCP(t *testing.T) {
	s := setStage(t, stageConfig{})
	l := s.listenProtocol(80, 16, sock.MPTCP)
	plain := s.listen(81, 16)
	s.connectProtocol(80, sock.MPTCP)
	s.accept(l)
	s.connectProtocol(81, sock.MPTCP)
	s.accept(plain)
	_, offline := s.end()
	for _, a := range only(t, offline, 2, Connected, Certain) {
		want := "MPTCP"
		if a.Server.Port() == 81 {
			want = "MPTCP offered, plain TCP agreed on"
		}
		if !slices.Contains(a.Notes, want) {
			t.Errorf("port %d: notes %q", a.Server.Port(), a.Notes)
		}
	}
}

func TestClientLeft(t *testing.T) {
	s := setStage(t, stageConfig{v6: true})
	l := s.listen(80, 16)
	c := s.connect(80)
	s.queued(l, 1)
	if err := unix.SetsockoptLinger(int(c), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.wait(1, rst)
	_, offline := s.end()
	only(t, offline, 1, ClientLeft, CannotTell)
}
