package handshake

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/internal/capture"
	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a client's and a server's network namespace with a wire between
// them, and a capture on one end of it.
type stage struct {
	*testing.T
	server, client *netns.Namespace
	serverIP       netip.Addr
	source         *capture.Source
	queues         *Queues
	analysis       *Analysis
	done           chan struct{}
	marked         chan struct{}

	mu       sync.Mutex
	packets  []capture.Packet
	segments []capture.Segment
}

// marker is a closed port, to which a SYN ends what is to be captured.
const marker = 65535

type stageConfig struct {
	v6       bool
	atClient bool          // capture there
	delay    time.Duration // of what the far end, seen from the capture, sends
	sysctls  map[string]string
}

// setStage skips the test where we may not. HANDSHAKE_RECORD names a directory
// that gets what was captured, as a pcap file named after the test.
func setStage(t *testing.T, c stageConfig) *stage {
	t.Helper()
	testleak.FDs(t)
	s := &stage{T: t, server: netns.New(t), client: netns.New(t), done: make(chan struct{}), marked: make(chan struct{})}
	a, b := netip.MustParsePrefix("10.77.0.1/24"), netip.MustParsePrefix("10.77.0.2/24")
	if c.v6 {
		a, b = netip.MustParsePrefix("fd77::1/64"), netip.MustParsePrefix("fd77::2/64")
	}
	s.serverIP = a.Addr()
	near, far, nearIP, farIP := s.server, s.client, a, b
	if c.atClient {
		near, far, nearIP, farIP = s.client, s.server, b, a
	}
	if c.delay > 0 {
		wire(t, near, far, nearIP, farIP, c.delay)
	} else {
		netns.Link(t, near, far, nearIP, farIP)
	}
	for name, value := range c.sysctls {
		s.server.Sysctl(name, value)
	}
	var err error
	if s.source, err = capture.Open(capture.Config{Netns: near.Path(), Interface: "veth0", Filter: capture.TCP(false)}); err != nil {
		t.Fatal(err)
	}
	if s.queues, err = OpenQueues(s.server.Path()); err != nil {
		s.source.Close()
		t.Fatal(err)
	}
	ns, err := backlog.OpenNamespace(s.server.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	sysctls, err := ns.Sysctls()
	if err != nil {
		t.Fatal(err)
	}
	s.analysis = New(Config{Depth: s.queues.At, Sysctls: &sysctls})
	go s.capture()
	t.Cleanup(func() {
		s.source.Close()
		<-s.done
		s.queues.Close()
	})
	return s
}

func (s *stage) capture() {
	defer close(s.done)
	for {
		p, err := s.source.Read()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.Error(err)
			}
			return
		}
		segment, _ := capture.Parse(p)
		if segment.Dst.Port() == marker || segment.Src.Port() == marker {
			if rst(segment) {
				close(s.marked)
			}
			continue
		}
		s.analysis.Packet(p)
		p.Data = append([]byte(nil), p.Data...)
		s.mu.Lock()
		s.packets = append(s.packets, p)
		s.segments = append(s.segments, segment)
		s.mu.Unlock()
	}
}

// wait waits until so many segments that fit were captured.
func (s *stage) wait(n int, fits func(capture.Segment) bool) {
	s.Helper()
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		s.mu.Lock()
		have := 0
		for _, g := range s.segments {
			if fits(g) {
				have++
			}
		}
		s.mu.Unlock()
		if have >= n {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("%d segments of %d were seen", have, n)
		}
	}
}

func synack(g capture.Segment) bool {
	return g.Flags&(capture.SYN|capture.ACK) == capture.SYN|capture.ACK
}
func syn(g capture.Segment) bool { return g.Flags&(capture.SYN|capture.ACK) == capture.SYN }
func rst(g capture.Segment) bool { return g.Flags&capture.RST != 0 }

func (s *stage) fromServer(g capture.Segment) bool { return g.Src.Addr() == s.serverIP }

// ack reports a client's ACK.
func (s *stage) ack(g capture.Segment) bool { return g.Flags == capture.ACK && !s.fromServer(g) }

// end stops the capture and returns what was seen live, with queues, and what a
// file of it tells.
func (s *stage) end() (live, offline Result) {
	s.Helper()
	s.connect(marker)
	<-s.marked // and so has all that was before it
	s.source.Close()
	<-s.done
	a := New(Config{Packets: true})
	for _, p := range s.packets {
		a.Packet(p)
	}
	if dir := os.Getenv("HANDSHAKE_RECORD"); dir != "" {
		name := regexp.MustCompile("([a-z])([A-Z])|(SYN|ACK)([A-Z])").ReplaceAllString(strings.TrimPrefix(filepath.Base(s.Name()), "Test"), "$1$3-$2$4")
		s.record(filepath.Join(dir, strings.ToLower(name)+".pcap"))
	}
	return s.analysis.Finish(), a.Finish()
}

func (s *stage) record(path string) {
	f, err := os.Create(path)
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriterNanos(f)
	if err := w.WriteFileHeader(256, layers.LinkTypeRaw); err != nil {
		s.Fatal(err)
	}
	for _, p := range s.packets {
		ci := gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(p.Data), Length: p.Length}
		if err := w.WritePacket(ci, p.Data); err != nil {
			s.Fatal(err)
		}
	}
}

// listen makes a listener in the server's namespace.
func (s *stage) listen(port uint16, backlog int, before ...func(sock.FD) error) sock.FD {
	s.Helper()
	return s.listenProtocol(port, backlog, 0, before...)
}

func (s *stage) listenProtocol(port uint16, backlog int, proto sock.Protocol, before ...func(sock.FD) error) (fd sock.FD) {
	s.Helper()
	s.server.Do(func() {
		addr := sock.IPAddr(netip.AddrPortFrom(s.serverIP, port))
		var err error
		if fd, err = sock.Socket(addr.Family(), sock.Stream, proto); err != nil {
			s.Skip(err)
		}
		s.Cleanup(func() { fd.Close() })
		for _, f := range append(before, func(fd sock.FD) error { return fd.Bind(addr) }) {
			if err := f(fd); err != nil {
				s.Fatal(err)
			}
		}
		if err := fd.Listen(backlog); err != nil {
			s.Fatal(err)
		}
	})
	return fd
}

// connect starts to connect from the client's namespace.
func (s *stage) connect(port uint16) sock.FD { s.Helper(); return s.connectProtocol(port, 0) }

func (s *stage) connectProtocol(port uint16, proto sock.Protocol, before ...func(sock.FD) error) (fd sock.FD) {
	s.Helper()
	s.client.Do(func() {
		addr := sock.IPAddr(netip.AddrPortFrom(s.serverIP, port))
		var err error
		if fd, err = sock.Socket(addr.Family(), sock.Stream, proto); err != nil {
			s.Skip(err)
		}
		s.Cleanup(func() { fd.Close() })
		for _, f := range before {
			if err := f(fd); err != nil {
				s.Fatal(err)
			}
		}
		if err := fd.Connect(addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			s.Fatal(err)
		}
	})
	return fd
}

// accept takes a connection as soon as there is one.
func (s *stage) accept(l sock.FD) sock.FD {
	s.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if fd, _, err := l.Accept(); err == nil {
			s.Cleanup(func() { fd.Close() })
			return fd
		} else if !errors.Is(err, unix.EAGAIN) {
			s.Fatal(err)
		}
	}
	s.Fatal("nothing to accept")
	return sock.None
}

// queued waits until so many connections wait for accept.
func (s *stage) queued(l sock.FD, n int) {
	s.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if q, err := backlog.Of(l); err != nil {
			s.Fatal(err)
		} else if q.Depth == n {
			return
		}
	}
	s.Fatalf("there never were %d in the queue", n)
}

// find returns the attempts of one kind.
func find(r Result, k Kind) (all []*Attempt) {
	for _, a := range r.Attempts {
		if a.Verdict.Kind == k {
			all = append(all, a)
		}
	}
	return all
}

// only checks that there are so many attempts of a kind, all of a certainty.
func only(t *testing.T, r Result, n int, k Kind, sure Certainty) []*Attempt {
	t.Helper()
	all := find(r, k)
	if len(all) != n {
		t.Errorf("%d attempts are %s, not %d: %v", len(all), k, n, r.Totals.Kinds)
		for _, a := range r.Attempts {
			t.Logf("%+v: %s\n%+v", a.Verdict, a.timeline("..."), a.Packets)
		}
	}
	for _, a := range all {
		if a.Verdict.Certainty != sure {
			t.Errorf("%+v, not %s", a.Verdict, sure)
		}
	}
	return all
}
