package capture

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened captures in a namespace until the end of the test.
func opened(t *testing.T, c Config) *Source {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return s
}

// talk connects to a port and sends a byte each way.
func talk(t *testing.T, n *netns.Namespace, addr string) (server, client netip.AddrPort) {
	t.Helper()
	n.Do(func() {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		l, err := lc.Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		a, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		server, client = l.Addr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort()
	})
	return server, client
}

// TestLoopback: on lo each packet is seen once, with its time.
func TestLoopback(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:80", "[::1]:80"} {
		t.Run(addr, func(t *testing.T) {
			testleak.FDs(t)
			n := netns.New(t)
			s := opened(t, Config{Netns: n.Path(), Filter: TCP(false, 80)})
			before := time.Now()
			server, client := talk(t, n, addr)
			var payload, syns int
			sent := map[[2]uint32]bool{}
			for {
				p, err := s.Read()
				if err != nil {
					t.Fatal(err)
				}
				g, ok := Parse(p)
				if !ok {
					t.Fatalf("no segment: %+v", p)
				}
				if d := p.Time.Sub(before); d < -time.Second || d > 20*time.Second {
					t.Errorf("its time is off by %v", d)
				}
				if p.Interface != 1 || p.Outgoing || p.Length != len(p.Data) {
					t.Errorf("%+v", p)
				}
				if g.Flags&SYN != 0 {
					syns++
					if !g.HasTS || g.MSS == 0 || g.WScale < 0 || !g.SACK {
						t.Errorf("options %+v", g.Options)
					}
				}
				if key := [2]uint32{uint32(g.Src.Port()), g.Seq}; g.Payload > 0 && !sent[key] { // not sent again
					sent[key] = true
					payload += g.Payload
				}
				if g.Src != client && g.Src != server {
					t.Errorf("from %v", g.Src)
				}
				if g.Flags&FIN != 0 && g.Src == server {
					break
				}
			}
			if payload != 5 || syns != 2 {
				t.Errorf("%d bytes and %d SYNs, not 5 and 2", payload, syns)
			}
			if dropped, err := s.Dropped(); err != nil || dropped != 0 {
				t.Error(dropped, err)
			}
		})
	}
}

// TestFilters: only what was asked for comes.
func TestFilters(t *testing.T) {
	many := make([]uint16, maxPorts)
	for i := range many {
		many[i] = uint16(1000 + i)
	}
	many[maxPorts/2] = 80
	for name, tt := range map[string]struct {
		ports      []uint16
		handshakes bool
		port       string
		want       bool
	}{
		"all":              {nil, false, "80", true},
		"port":             {[]uint16{80}, false, "80", true},
		"second port":      {[]uint16{9, 80}, true, "80", true},
		"another port":     {[]uint16{9}, false, "80", false},
		"as many as fit":   {many, true, "80", true},
		"another of many":  {many, true, "81", false},
		"more than fit":    {append(many, 2), true, "81", true},
		"handshakes alone": {nil, true, "80", true},
	} {
		for _, host := range []string{"127.0.0.1:", "[::1]:"} {
			t.Run(name+" "+host, func(t *testing.T) {
				testleak.FDs(t)
				n := netns.New(t)
				s := opened(t, Config{Netns: n.Path(), Filter: TCP(tt.handshakes, tt.ports...)})
				server, _ := talk(t, n, host+tt.port)
				end := server
				if !tt.want { // something that passes ends the wait
					end, _ = talk(t, n, host+"9")
					if name == "another of many" {
						end, _ = talk(t, n, host+"1000")
					}
				}
				for seen := 0; ; seen++ {
					p, err := s.Read()
					if err != nil {
						t.Fatal(err)
					}
					g, _ := Parse(p)
					if tt.handshakes && g.Flags&(SYN|RST) == 0 {
						t.Errorf("flags %b", g.Flags)
					}
					if server != end && (g.Src == server || g.Dst == server) {
						t.Error("a segment that the filter rejects")
					}
					if g.Src == end {
						break
					}
				}
			})
		}
	}
}

// TestDirection: on a real interface both directions are seen and told apart.
func TestDirection(t *testing.T) {
	testleak.FDs(t)
	a, b := netns.New(t), netns.New(t)
	netns.Link(t, a, b, netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.2/24"))
	s := opened(t, Config{Netns: a.Path(), Interface: "veth0", Filter: TCP(true)})
	b.Do(func() {
		if c, err := net.Dial("tcp", "10.0.0.1:9"); !errors.Is(err, unix.ECONNREFUSED) {
			t.Error(c, err)
		}
	})
	for _, outgoing := range []bool{false, true} {
		p, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		if g, ok := Parse(p); !ok || p.Outgoing != outgoing || (g.Dst.Port() == 9) == outgoing {
			t.Errorf("%+v, outgoing %v", g, p.Outgoing)
		}
	}
}

// TestSnap cuts packets but not their length.
func TestSnap(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	s := opened(t, Config{Netns: n.Path(), Filter: TCP(true), Snap: 40})
	talk(t, n, "127.0.0.1:80")
	p, err := s.Read()
	if err != nil || len(p.Data) != 40 || p.Length != 60 {
		t.Fatalf("%d bytes of %d, %v", len(p.Data), p.Length, err)
	}
	if g, ok := Parse(p); !ok || g.Payload != 0 || g.Flags != SYN {
		t.Errorf("%+v", g)
	}
}

// TestClose interrupts a Read that waits.
func TestClose(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	s := opened(t, Config{Netns: n.Path()})
	read := make(chan error)
	go func() {
		_, err := s.Read()
		read <- err
	}()
	s.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := s.Read(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestDeadline(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	s := opened(t, Config{Netns: n.Path()})
	if err := s.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	testleak.FDs(t)
	for want, c := range map[error]Config{
		unix.ENODEV: {Interface: "no-such-if"},
		unix.ENOENT: {Netns: "/run/netns/no-such-namespace"},
		unix.EINVAL: {Snap: -1},
	} {
		s, err := Open(c)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, want) && !errors.Is(err, unix.EPERM) {
			t.Errorf("%+v: %v, not %v", c, err, want)
		}
	}
}

// TestOpenUnprivileged gives up CAP_NET_RAW on one thread.
func TestOpenUnprivileged(t *testing.T) {
	testleak.FDs(t)
	err := onThread(func() error {
		if os.Geteuid() == 0 {
			if _, _, errno := syscall.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 65534, ^uintptr(0)); errno != 0 {
				return errno
			}
		}
		s, err := Open(Config{})
		if err == nil {
			s.Close()
		}
		return err
	})
	if !errors.Is(err, unix.EPERM) {
		t.Error(err)
	}
	t.Log(err)
}
