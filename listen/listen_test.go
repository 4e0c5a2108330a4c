package listen_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

func TestListenAddresses(t *testing.T) {
	testleak.FDs(t)
	for _, tt := range []struct {
		network, address string
		host             string
		family           sock.Family
		v6only           bool
	}{
		{"tcp", "", "::", sock.Inet6, false},
		{"tcp", ":0", "::", sock.Inet6, false},
		{"tcp", ":", "::", sock.Inet6, false},
		{"tcp", "[::]:0", "::", sock.Inet6, false},
		{"tcp", "0.0.0.0:0", "0.0.0.0", sock.Inet, false},
		{"tcp", "127.0.0.1:0", "127.0.0.1", sock.Inet, false},
		{"tcp", "[::ffff:127.0.0.1]:0", "127.0.0.1", sock.Inet, false},
		{"tcp", "[::1]:0", "::1", sock.Inet6, true}, // by the kernel (__inet6_bind)
		{"tcp", "localhost:0", "127.0.0.1", sock.Inet, false},
		{"tcp4", ":0", "0.0.0.0", sock.Inet, false},
		{"tcp4", "localhost:0", "127.0.0.1", sock.Inet, false},
		{"tcp6", ":0", "::", sock.Inet6, true},
		{"tcp6", "[::1]:0", "::1", sock.Inet6, true},
	} {
		t.Run(tt.network+" "+tt.address, func(t *testing.T) {
			l := mustListen(t, listen.Config{}, tt.network, tt.address)
			addr := l.Addr().(*net.TCPAddr)
			if addr.IP.String() != tt.host || addr.Port == 0 {
				t.Errorf("address %v", addr)
			}
			if l.Fallback() != nil {
				t.Errorf("fallback: %v", l.Fallback())
			}
			fd := l.Descriptor()
			if family := get(t, sock.SockDomain, fd); family != tt.family {
				t.Errorf("family %v", family)
			}
			if tt.family == sock.Inet6 && get(t, sock.V6Only, fd) != tt.v6only {
				t.Errorf("IPV6_V6ONLY is not %v", tt.v6only)
			}
			if p := get(t, sock.SockProtocol, fd); p != sock.TCP {
				t.Errorf("protocol %v", p)
			}
		})
	}
}

func get[T any](t *testing.T, o sock.Option[T], fd sock.FD) T {
	t.Helper()
	v, err := o.Get(fd)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestListenDualStackTakesBoth(t *testing.T) {
	testleak.FDs(t)
	l := mustListen(t, listen.Config{}, "tcp", ":0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "::1"} {
		client, err := net.Dial("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server := accept(t, l)
		if server.LocalAddr().String() != client.RemoteAddr().String() ||
			server.RemoteAddr().String() != client.LocalAddr().String() {
			t.Errorf("%v has %v and %v", host, server.LocalAddr(), server.RemoteAddr())
		}
	}
}

func TestListenV6Only(t *testing.T) {
	testleak.FDs(t)
	for _, tt := range []struct {
		c       listen.Config
		network string
		v6only  bool
	}{
		{listen.Config{V6Only: listen.On}, "tcp", true},
		{listen.Config{V6Only: listen.Off}, "tcp", false},
		{listen.Config{V6Only: listen.Off}, "tcp6", false},
	} {
		l := mustListen(t, tt.c, tt.network, ":0")
		if get(t, sock.V6Only, l.Descriptor()) != tt.v6only {
			t.Errorf("%v %s: IPV6_V6ONLY is not %v", tt.c.V6Only, tt.network, tt.v6only)
		}
	}
	for _, bad := range []struct{ network, address string }{{"tcp4", ":0"}, {"tcp", "127.0.0.1:0"}} {
		if l, err := (listen.Config{V6Only: listen.On}).Listen(t.Context(), bad.network, bad.address); err == nil {
			l.Close()
			t.Errorf("V6Only on %s %s is accepted", bad.network, bad.address)
		}
	}
}

func init() {
	children["no IPv6"] = func() {
		denyIPv6()
		l, err := listen.Listen("tcp", ":0")
		say(err, l != nil && strings.HasPrefix(l.Addr().String(), "0.0.0.0:"), l != nil && errors.Is(l.Fallback(), unix.EAFNOSUPPORT))
		_, err = listen.Listen("tcp", l.Addr().String())
		say(errors.Is(err, unix.EADDRINUSE))
		for _, tt := range []struct {
			c                listen.Config
			network, address string
		}{
			{listen.Config{}, "tcp6", ":0"},
			{listen.Config{}, "tcp", "[::]:0"},
			{listen.Config{V6Only: listen.On}, "tcp", ":0"},
		} {
			_, err = tt.c.Listen(context.Background(), tt.network, tt.address)
			say(errors.Is(err, unix.EAFNOSUPPORT))
		}
	}
}

// TestListenFallback runs where the kernel says that it has no IPv6.
func TestListenFallback(t *testing.T) {
	testleak.FDs(t)
	got := runChild(t, "no IPv6", nil)
	if want := "<nil> true true\ntrue\ntrue\ntrue\ntrue\n"; got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

// TestListenInUseIsNoFallback has the port taken for IPv6 only, so that IPv4
// would be free.
func TestListenInUseIsNoFallback(t *testing.T) {
	testleak.FDs(t)
	v6 := mustListen(t, listen.Config{}, "tcp6", ":0")
	_, port, _ := net.SplitHostPort(v6.Addr().String())
	l, err := listen.Listen("tcp", ":"+port)
	if err == nil {
		l.Close()
	}
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("%v, %v", l, err)
	}
}

func TestListenServiceName(t *testing.T) {
	testleak.FDs(t)
	want, err := net.LookupPort("tcp", "http-alt")
	if err != nil {
		t.Skip(err)
	}
	l, err := listen.Listen("tcp", "127.0.0.1:http-alt")
	if errors.Is(err, unix.EADDRINUSE) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := l.Addr().(*net.TCPAddr).Port; got != want {
		t.Errorf("port %d, not %d", got, want)
	}
}

func TestListenContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (listen.Config{}).Listen(ctx, "tcp", "some-host.invalid:0"); err == nil {
		t.Error("a name is looked up with a cancelled context")
	}
}

// TestOptions looks at the listening socket, and at what a connection inherits.
func TestOptions(t *testing.T) {
	testleak.FDs(t)
	type values struct {
		reuseAddr, reusePort, noDelay, keepAlive bool
		idle, interval                           time.Duration
		count                                    int
		deferAccept                              time.Duration
		fastOpen                                 int
	}
	// What the kernel has without being told.
	const defaultIdle, defaultInterval = 7200 * time.Second, 75 * time.Second
	for _, tt := range []struct {
		name string
		c    listen.Config
		want values
	}{
		{"zero", listen.Config{}, values{true, false, true, true, 15 * time.Second, 15 * time.Second, 9, 0, 0}},
		{"mptcp", listen.Config{MPTCP: true}, values{true, false, true, true, 15 * time.Second, 15 * time.Second, 9, 0, 0}},
		{"all else", listen.Config{NoReuseAddr: true, ReusePort: true, Nagle: true, KeepAlive: -1,
			DeferAccept: 2 * time.Second, FastOpen: 16},
			values{false, true, false, false, defaultIdle, defaultInterval, 9, 3 * time.Second, 16}},
		{"keep-alive", listen.Config{KeepAlive: time.Minute}, values{true, false, true, true, time.Minute, 15 * time.Second, 9, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := mustListen(t, tt.c, "tcp", "127.0.0.1:0")
			check := func(who string, fd sock.FD, want values) {
				t.Helper()
				got := values{
					get(t, sock.ReuseAddr, fd), get(t, sock.ReusePort, fd), get(t, sock.NoDelay, fd), get(t, sock.KeepAlive, fd),
					get(t, sock.KeepIdle, fd), get(t, sock.KeepIntvl, fd), get(t, sock.KeepCnt, fd),
					get(t, sock.DeferAccept, fd), get(t, sock.FastOpen, fd),
				}
				if got != want {
					t.Errorf("%s has %+v, not %+v", who, got, want)
				}
			}
			check("listener", l.Descriptor(), tt.want)

			client := dial(t, l)
			if _, err := client.Write([]byte("x")); err != nil { // for DeferAccept
				t.Fatal(err)
			}
			conn := accept(t, l).(*connwrap.Conn)
			fd, err := conn.Detach()
			if err != nil {
				t.Fatal(err)
			}
			defer fd.Close()
			inherited := tt.want
			inherited.deferAccept, inherited.fastOpen = 0, 0
			check("connection", fd, inherited)
		})
	}
}

func TestConfigValidation(t *testing.T) {
	testleak.FDs(t)
	for _, c := range []listen.Config{
		{V6Only: "yes"},
		{KeepAlive: 10 * time.Hour},
		{DeferAccept: -1},
		{FastOpen: -1},
		{UnixMode: os.ModeSetuid | 0o600},
		{MaxConns: -1},
	} {
		l, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err == nil {
			l.Close()
			t.Errorf("%+v is accepted", c)
		} else if !strings.Contains(err.Error(), "listen.Config") {
			t.Errorf("%v", err)
		}
		if l, err := c.Own(sock.None); l != nil || !strings.Contains(err.Error(), "listen.Config") {
			t.Errorf("Own: %v", err)
		}
	}
}

func TestConfigJSON(t *testing.T) {
	full := listen.Config{
		Backlog: -1, NoReuseAddr: true, ReusePort: true, MPTCP: true, V6Only: listen.On, KeepAlive: time.Minute,
		Nagle: true, DeferAccept: time.Second, FastOpen: 7, UnixMode: 0o660, MaxConns: 8, Shared: true,
		AsIs: true, NoHalfOpen: true, PauseOnConnect: true,
	}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Tag.Get("json") != "-" && v.Field(i).IsZero() {
			t.Errorf("the test leaves %s out", f.Name)
		}
	}
	for _, c := range []listen.Config{{}, full} {
		withHooks := c
		withHooks.Control = func(sock.FD) error { return nil }
		withHooks.Counters = new(listen.Counters)
		b, err := json.Marshal(withHooks)
		if err != nil {
			t.Fatal(err)
		}
		var got listen.Config
		if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%s gives %+v, %v", b, got, err)
		}
	}
}

func TestControl(t *testing.T) {
	testleak.FDs(t)
	called := 0
	c := listen.Config{Control: func(fd sock.FD) error {
		called++
		if !get(t, sock.ReuseAddr, fd) {
			t.Error("called before the options are set")
		}
		return sock.RcvBuf.Set(fd, 8192)
	}}
	l := mustListen(t, c, "tcp", "127.0.0.1:0")
	if n := get(t, sock.RcvBuf, l.Descriptor()); called != 1 || n != 2*8192 {
		t.Errorf("called %d times, SO_RCVBUF is %d", called, n)
	}
}

func TestListenVsock(t *testing.T) {
	testleak.FDs(t)
	if fd, err := sock.Socket(sock.Vsock, sock.Stream, 0); err != nil {
		t.Skip("no vsock in this kernel: ", err)
	} else {
		fd.Close()
	}
	for _, address := range []string{":0", "any:0", ":", "any:"} {
		l := mustListen(t, listen.Config{}, "vsock", address)
		a := l.Addr().(sock.Addr)
		if a.CID() != unix.VMADDR_CID_ANY || a.Port() == 0 || a.Port() == unix.VMADDR_PORT_ANY {
			t.Errorf("%q gives %v", address, a)
		}
		if _, err := l.Queue(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Queue: %v", err)
		}
		if asked, granted := l.Backlog(); asked != 511 || granted != 511 {
			t.Errorf("backlog %d, %d", asked, granted)
		}
		again := "any:" + strconv.FormatUint(uint64(a.Port()), 10)
		if _, err := listen.Listen("vsock", again); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%s again: %v", again, err)
		}
		if err := l.SetDeadline(time.Now()); err != nil {
			t.Error(err)
		}
		if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Accept: %v", err)
		}
	}
	for _, bad := range []string{"", "3", "x:0", "4294967296:0", "any:-1", "any:x", "1:2:3"} {
		if l, err := listen.Listen("vsock", bad); err == nil {
			l.Close()
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestLazyPoller looks for the duplicate that Accept waits on.
func TestLazyPoller(t *testing.T) {
	testleak.FDs(t)
	l := mustListen(t, listen.Config{}, "tcp", "127.0.0.1:0")
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	l.Queue()
	l.Backlog()
	l.SetBacklog(5)
	if n := count(); n != before {
		t.Errorf("%d descriptors more before the first Accept", n-before)
	}
	l.SetDeadline(time.Now())
	l.Accept()
	if n := count(); n != before+1 {
		t.Errorf("%d descriptors more after the first Accept", n-before)
	}
}
