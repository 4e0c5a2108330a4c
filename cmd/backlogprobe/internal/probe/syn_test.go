package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"onconn/internal/testleak"
	"onconn/sock"
)

// noTUN fails the test if an interface of ours is left.
func noTUN(t *testing.T) {
	t.Cleanup(func() {
		all, err := net.Interfaces()
		if err != nil {
			t.Error(err)
		}
		for _, i := range all {
			if strings.HasPrefix(i.Name, "probe") {
				t.Errorf("interface %s is left", i.Name)
			}
		}
	})
}

func setSysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := sysctl(name, value); err != nil {
		t.Fatal(err)
	}
}

// The queue of unfinished handshakes holds limit+1 too; what comes beyond is
// dropped, or answered with a cookie.
func TestSYNQueue(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, c := range []struct {
		cookies                     string
		queued, cookied, unanswered int
	}{
		{"0", 9, 0, 64},
		{"1", 9, 64, 0},
		{"2", 0, 73, 0},
	} {
		t.Run("syncookies="+c.cookies, func(t *testing.T) {
			testleak.FDs(t)
			noTUN(t)
			setSysctl(t, "tcp_syncookies", c.cookies)
			_, target := listening(t, inet("127.0.0.1:0"), 0, 8)
			report, err := SYN(background(t), Options{Target: target}, 0, false)
			if err != nil {
				t.Fatal(err)
			}
			s := report.SYN
			if s.Sent != 73 || s.Queued != c.queued || s.Cookies != c.cookied || s.Unanswered != c.unanswered || s.Reset != 0 {
				t.Errorf("%+v", s)
			}
			if *s.HalfOpen != c.queued || *s.Left != 0 {
				t.Errorf("SYN_RECV: %d, %d after the RSTs", *s.HalfOpen, *s.Left)
			}
			if n := report.Counters; !n.Agree || int(n.ListenDrops) != c.unanswered || int(n.SyncookiesSent) != c.cookied {
				t.Errorf("%+v", n)
			}
		})
	}
}

// Handshakes without a socket behind them fill the accept queue.
func TestSYNComplete(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	testleak.FDs(t)
	noTUN(t)
	_, target := listening(t, inet("127.0.0.1:0"), 0, 20)
	report, err := SYN(background(t), Options{Target: target}, 40, true)
	if err != nil {
		t.Fatal(err)
	}
	if s := report.SYN; s.Completed != 21 || s.Unanswered != 19 || s.FinalRefused != 0 || *s.Left != 0 {
		t.Errorf("%+v", s)
	}
	if n := report.Counters; !n.Agree || n.ListenOverflows != 19 {
		t.Errorf("%+v", n)
	}
}

// An address of this host that isn't loopback's needs no route_localnet.
func TestSYNToInterfaceAddress(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	testleak.FDs(t)
	noTUN(t)
	own, err := openTUN()
	if err != nil {
		t.Fatal(err)
	}
	_, target := listening(t, sock.IPAddr(netip.AddrPortFrom(own.subnet.Addr().Next(), 0)), 0, 3)
	report, err := SYN(background(t), Options{Target: target}, 10, false)
	if err != nil || report.SYN.Queued != 4 || report.SYN.Cookies != 6 {
		t.Errorf("%+v %v", report, err)
	}
	own.close()
}

func TestSYNInterrupted(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	testleak.FDs(t)
	noTUN(t)
	_, target := listening(t, inet("127.0.0.1:0"), 0, 8)
	ctx, cancel := context.WithCancel(background(t))
	o := Options{Target: target, Progress: func(float64, string) { cancel() }} // all SYNs are out then
	report, err := SYN(ctx, o, 20, false)
	if err != nil {
		t.Fatal(err)
	}
	if s := report.SYN; !report.Interrupted || s.Answered != 20 || *s.HalfOpen != 9 || *s.Left != 0 || s.Queued+s.Cookies != 0 {
		t.Errorf("%+v", s)
	}
}

func TestSYNRefusals(t *testing.T) {
	_, six := listening(t, inet("[::1]:0"), 0, 1)
	if _, err := SYN(background(t), Options{Target: six}, 1, false); err == nil || !strings.Contains(err.Error(), "IPv4") {
		t.Error(err)
	}
	if os.Geteuid() == 0 { // who may make the interface
		return
	}
	_, four := listening(t, inet("127.0.0.1:0"), 0, 1)
	if _, err := SYN(background(t), Options{Target: four}, 1, false); !errors.Is(err, ErrNoTUN) {
		t.Error(err)
	}
}

func TestSegment(t *testing.T) {
	want := segment{
		from: netip.MustParseAddrPort("198.18.0.10:20000"), to: netip.MustParseAddrPort("127.0.0.1:80"),
		seq: 1<<32 - 1, ackSeq: 7, syn: true, ack: true,
	}
	packet, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := decode(packet); !ok || got != want {
		t.Errorf("%+v %v", got, ok)
	}
	for n := range packet {
		decode(packet[:n]) // whatever arrives, no panic
	}
	packet[9] = 17
	if _, ok := decode(packet); ok {
		t.Error("UDP taken for TCP")
	}
}
