package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

// fillOnly measures a listener that nobody accepts from.
func fillOnly(t *testing.T, target Target, bound int) (*Capacity, *run, *dialer) {
	t.Helper()
	r, err := begin(Options{Target: target, Max: bound, Wait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.view.close)
	d, err := newDialer(target.Addr, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	c, err := r.fill(background(t), d)
	if err != nil {
		t.Fatal(err)
	}
	return c, r, d
}

func TestCapacityIsLimitAndOne(t *testing.T) {
	dual := func(fd sock.FD) error { return sock.V6Only.Set(fd, false) }
	only := func(fd sock.FD) error { return sock.V6Only.Set(fd, true) }
	for _, limit := range []int{0, 1, 5, 128, 511} {
		for _, c := range []struct {
			name    string
			addr    sock.Addr
			connect string // host, if it isn't the one bound
			proto   sock.Protocol
			before  []func(sock.FD) error
		}{
			{"tcp4", inet("127.0.0.1:0"), "", 0, nil},
			{"tcp6", inet("[::1]:0"), "", 0, []func(sock.FD) error{only}},
			{"dual", inet("[::]:0"), "127.0.0.1", 0, []func(sock.FD) error{dual}},
			{"mptcp", inet("127.0.0.1:0"), "", sock.MPTCP, nil},
			{"unix", sock.UnixAddr(filepath.Join(t.TempDir(), "s")), "", 0, nil},
		} {
			t.Run(fmt.Sprint(c.name, limit), func(t *testing.T) {
				testleak.FDs(t)
				if c.proto == sock.MPTCP && sock.HaveMPTCP.Probe() != nil {
					t.Skip(sock.HaveMPTCP.Probe())
				}
				_, target := listening(t, c.addr, c.proto, limit, c.before...)
				if c.connect != "" {
					target.Addr = inet(fmt.Sprintf("%s:%d", c.connect, target.Addr.Port()))
				}
				got, r, _ := fillOnly(t, target, 2000)
				want := Silence
				if c.name == "unix" {
					want = TryAgain
				}
				if got.Measured != limit+1 || got.AtLeast || got.Refusal != want {
					t.Errorf("%+v, want %d and refusal %q", got, limit+1, want)
				}
				if l := r.report.Listener; l.Promised != limit+1 || l.Limit != limit || l.MPTCP != (c.name == "mptcp") {
					t.Errorf("%+v", l)
				}
			})
		}
	}
}

func TestBoundComesFirst(t *testing.T) {
	testleak.FDs(t)
	_, target := listening(t, inet("127.0.0.1:0"), 0, 100)
	if got, _, _ := fillOnly(t, target, 50); got.Measured != 50 || !got.AtLeast {
		t.Errorf("%+v", got)
	}
}

// A group has the places of all its members, and each client meets one of them.
func TestGroup(t *testing.T) {
	testleak.FDs(t)
	shared := func(fd sock.FD) error { return sock.ReusePort.Set(fd, true) }
	_, target := listening(t, inet("127.0.0.1:0"), 0, 10, shared)
	listening(t, target.Addr, 0, 20, shared)
	got, r, _ := fillOnly(t, target, 500)
	if l := r.report.Listener; l.Members != 2 || l.Promised != 32 || l.Limit != 30 {
		t.Errorf("%+v", l)
	}
	if got.Measured < 11 || got.Measured > 32 || got.Refusal != Silence {
		t.Errorf("%+v", got)
	}
}

// Whoever is full when the server begins to accept gets in at a retry.
func TestBurstAgainstHungServer(t *testing.T) {
	testleak.FDs(t)
	_, target := listening(t, inet("127.0.0.1:0"), 0, 5)
	report, err := Connect(background(t), Options{Target: target, Burst: 20, Max: 100, Wait: 1500 * time.Millisecond, Reset: true})
	if err != nil {
		t.Fatal(err)
	}
	b := report.Burst
	if b.Clients != 20 || b.AtOnce != 6 || b.Unanswered != 14 || b.Refusal != Silence || b.Peak == nil || *b.Peak != 6 {
		t.Errorf("%+v", b)
	}
	if c := report.Capacity; c == nil || c.Measured != 6 || c.Refused != 14 {
		t.Errorf("capacity %+v", c)
	}
	if report.Grade == nil || report.Grade.Letter != "F" {
		t.Errorf("%+v", report.Grade)
	}
	report.Judge(Thresholds{Capacity: 6})
	if report.Missed != nil {
		t.Errorf("missed %q", report.Missed)
	}
	report.Judge(Thresholds{7, time.Second})
	if len(report.Missed) != 2 {
		t.Errorf("missed %q", report.Missed)
	}
}

func TestBurstAgainstQuickServer(t *testing.T) {
	testleak.FDs(t)
	fd, target := listening(t, inet("127.0.0.1:0"), 0, 511)
	accepting(t, fd)
	report, err := Connect(background(t), Options{Target: target, Burst: 300, Max: 1000, Wait: 5 * time.Second, Reset: true})
	if err != nil {
		t.Fatal(err)
	}
	if b := report.Burst; b.AtOnce != 300 || b.Refusal != NotRefused || report.Grade.Letter != "A" {
		t.Errorf("%+v %+v", b, report.Grade)
	}
	if report.Capacity != nil {
		t.Errorf("measured %+v though the server accepts", report.Capacity)
	}
	report.Judge(Thresholds{512, time.Minute})
	if report.Missed != nil {
		t.Errorf("missed %q", report.Missed)
	}
}

func TestClosedPort(t *testing.T) {
	testleak.FDs(t)
	fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	if err := fd.Bind(inet("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	name, _ := fd.Getsockname()
	report, err := Connect(background(t), Options{Target: Target{name, true}, Burst: 10, Max: 100, Wait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if b := report.Burst; b.Refused != 10 || b.Refusal != Reset || report.Listener != nil || report.UnknownWhy["listener"] == "" {
		t.Errorf("%+v %+v", b, report)
	}
}

func TestInterrupted(t *testing.T) {
	testleak.FDs(t)
	_, target := listening(t, inet("127.0.0.1:0"), 0, 5)
	ctx, cancel := context.WithCancel(background(t))
	// When the first client is in.
	go func() {
		defer cancel()
		v, err := look(target)
		if err != nil {
			t.Error(err)
			return
		}
		defer v.close()
		until(ctx, 10*time.Second, func() bool { s, err := v.now(); return err != nil || s.depth > 0 })
	}()
	report, err := Connect(ctx, Options{Target: target, Burst: 2000, Max: 5000, Wait: time.Minute, Reset: true})
	if err != nil {
		t.Fatal(err)
	}
	if b := report.Burst; !report.Interrupted || b == nil || b.Clients == 0 || b.Clients == 2000 {
		t.Errorf("%+v %+v", report, b)
	}
}

// The kernel's three counts are of the same refusals. It takes a namespace
// where nobody else connects.
func TestCountersAgree(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	testleak.FDs(t)
	_, target := listening(t, inet("127.0.0.1:0"), 0, 5)
	report, err := Connect(background(t), Options{Target: target, Burst: 16, Max: 100, Wait: 2500 * time.Millisecond, Reset: true})
	if err != nil {
		t.Fatal(err)
	}
	c := report.Counters
	if c == nil || !c.Agree || c.Clients != 10 || c.SYNs < 20 || c.Listener != c.SYNs {
		t.Errorf("%+v", c)
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"127.0.0.1:80", "127.0.0.1:80"}, {":80", "127.0.0.1:80"}, {"80", "127.0.0.1:80"}, {"*:80", "127.0.0.1:80"},
		{"0.0.0.0:80", "127.0.0.1:80"}, {"[::]:80", "[::1]:80"}, {"[::1]:http", "[::1]:80"},
		{"[::ffff:127.0.0.1]:80", "127.0.0.1:80"}, {"127.9.9.9:80", "127.9.9.9:80"}, {"@x", "@x"}, {"/run/x", "/run/x"},
	} {
		got, err := Resolve(background(t), c.text, false)
		if err != nil || got.Addr.String() != c.want || !got.Local {
			t.Errorf("%s: %v local %v, %v", c.text, got.Addr, got.Local, err)
		}
	}
	for _, text := range []string{"", ":", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "[::1]", ":nosuchservice"} {
		if got, err := Resolve(background(t), text, true); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TEST-NET-1 is nobody's.
func TestForeignTargetsAreRefused(t *testing.T) {
	for _, text := range []string{"192.0.2.1:80", "[2001:db8::1]:80", "[::ffff:192.0.2.1]:80"} {
		if _, err := Resolve(background(t), text, false); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", text, err)
		}
		if got, err := Resolve(background(t), text, true); err != nil || got.Local {
			t.Errorf("%s allowed: %v local %v", text, err, got.Local)
		}
	}
	if _, err := SYN(background(t), Options{Target: Target{inet("192.0.2.1:80"), false}}, 1, false); !errors.Is(err, ErrForeign) {
		t.Errorf("--syn: %v", err)
	}
}

func TestOwnErrorsAreNoRefusals(t *testing.T) {
	for _, err := range []error{unix.EMFILE, unix.EADDRNOTAVAIL, unix.ENETUNREACH, unix.EAGAIN} {
		if refusal(err, sock.Inet) {
			t.Error(err)
		}
	}
	if !refusal(unix.EAGAIN, sock.Unix) || !refusal(unix.ECONNREFUSED, sock.Inet) {
		t.Error("a refusal isn't seen as one")
	}
}

// A unix socket is found by each of its names.
func TestUnixNames(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	if err := os.Symlink(dir, dir+"/link"); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, bound := range []string{dir + "/absolute", "relative"} {
		listening(t, sock.UnixAddr(bound), 0, 5)
		name := filepath.Base(bound)
		for _, given := range []string{dir + "/" + name, dir + "/link/" + name, "./" + name} {
			target, err := Resolve(background(t), given, false)
			if err != nil {
				t.Fatal(err)
			}
			if l, err := Look(target); err != nil || l.Limit != 5 {
				t.Errorf("%s as %s: %+v, %v", bound, given, l, err)
			}
		}
	}
}

// Where no client can be made at all there is nothing to report.
func TestNoClients(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "s")
	connect := func() error {
		report, err := Connect(background(t), Options{Target: Target{sock.UnixAddr(path), true}, Burst: 3, Max: 3, Wait: time.Second})
		if report != nil {
			t.Errorf("%+v", report)
		}
		return err
	}
	if err := connect(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("no such path: %v", err)
	}
	fd, err := sock.Socket(sock.Unix, sock.SeqPacket, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	if err := errors.Join(fd.Bind(sock.UnixAddr(path)), fd.Listen(5)); err != nil {
		t.Fatal(err)
	}
	if err := connect(); !errors.Is(err, unix.EPROTOTYPE) {
		t.Errorf("SOCK_SEQPACKET: %v", err)
	}
}

// The drops of a listener that has closed can't be compared.
func TestListenerVanishes(t *testing.T) {
	testleak.FDs(t)
	fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fd.Bind(loopback), fd.Listen(0)); err != nil {
		t.Fatal(err)
	}
	name, err := fd.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	target := Target{name, true}
	o := Options{Target: target, Burst: 8, Max: 8, Wait: time.Second, Reset: true}
	if _, err := Connect(background(t), o); err != nil { // it has drops then
		t.Fatal(err)
	}
	closed := false
	o.Progress = func(float64, string) {
		if !closed {
			closed = true
			fd.Close()
		}
	}
	report, err := Connect(background(t), o)
	if err != nil || report.Counters != nil || report.UnknownWhy["counters"] == "" {
		t.Errorf("%+v, %v", report, err)
	}
}
