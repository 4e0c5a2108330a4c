package handshake

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"onconn/internal/capture"
	"onconn/internal/testleak"
	"onconn/sock"
)

// watch has a Watcher in the server's namespace of a stage.
func watch(s *stage, ports ...uint16) *Watcher {
	s.Helper()
	w, err := Live(s.server.Path(), ports...)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { w.Close() })
	return w
}

// waiting waits until so many clients wait.
func waiting(t *testing.T, w *Watcher, n int) (all []Client) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if all = w.Waiting(); len(all) == n {
			return all
		}
	}
	t.Fatalf("never %d clients waited, in the end %+v; %v", n, all, w.Err())
	return nil
}

func TestLiveSYN(t *testing.T) {
	s := setStage(t, stageConfig{})
	w := watch(s, 80)
	l := s.listen(80, 0)
	other := s.listen(81, 0)
	s.connect(80)
	s.queued(l, 1)
	s.connect(81)
	s.queued(other, 1)
	s.connect(81) // of a port that isn't watched
	c := s.connect(80)
	name, err := c.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	got := waiting(t, w, 1)[0]
	if got.Client != name.AddrPort() || got.Server != netip.AddrPortFrom(s.serverIP, 80) || got.Path != SYNPath || got.Tries != 2 {
		t.Errorf("%+v", got)
	}
	if next := got.Next.Sub(got.Since); next < 1500*time.Millisecond || next > 2500*time.Millisecond {
		t.Errorf("the third try is due %v after the first", next)
	}
	s.accept(l)
	waiting(t, w, 0)
	if w.Missed() != 0 || w.Err() != nil {
		t.Error(w.Missed(), w.Err())
	}
}

func TestLiveACK(t *testing.T) {
	s := setStage(t, stageConfig{delay: 30 * time.Millisecond})
	w := watch(s, 80)
	l := s.listen(80, 1)
	s.connect(80)
	s.queued(l, 1)
	s.connect(80)
	s.connect(80) // before the ACK of the other, and so not refused yet
	got := waiting(t, w, 1)[0]
	if got.Path != ACKPath || got.Tries != 2 {
		t.Errorf("%+v", got)
	}
	if next := got.Next.Sub(got.Since); next < 2500*time.Millisecond || next > 3500*time.Millisecond {
		t.Errorf("the third SYN-ACK is due %v after the SYN", next)
	}
}

// TestLiveForgets: a client that gives up is gone soon.
func TestLiveForgets(t *testing.T) {
	w := &Watcher{pending: map[flow]*pending{}, began: map[int64]int{}}
	now := time.Now().Add(-time.Hour)
	f := flow{netip.MustParseAddrPort("10.0.0.1:1000"), netip.MustParseAddrPort("10.0.0.2:80")}
	w.pending[f] = &pending{first: now, last: now, syns: 2, path: SYNPath}
	if got := w.Waiting(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	w.sweep(time.Now())
	if len(w.pending) != 0 {
		t.Error("it is remembered")
	}
}

func TestNext(t *testing.T) {
	base := time.Unix(1000, 0)
	for _, tt := range []struct {
		syns, synacks int
		seconds       int
	}{{1, 0, 1}, {5, 0, 1}, {6, 0, 2}, {7, 0, 4}, {11, 0, 64}, {99, 0, 64}, {1, 1, 1}, {1, 2, 2}, {1, 5, 16}} {
		p := pending{last: base, syns: tt.syns, synacks: tt.synacks}
		if got := p.next().Sub(base); got != time.Duration(tt.seconds)*time.Second {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestLiveErrors(t *testing.T) {
	testleak.FDs(t)
	if _, err := Live("/run/netns/no-such-namespace"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestQueuesGroup: of a SO_REUSEPORT group the fullest member counts.
func TestQueuesGroup(t *testing.T) {
	s := setStage(t, stageConfig{})
	reuse := func(fd sock.FD) error { return sock.ReusePort.Set(fd, true) }
	a, b := s.listen(80, 4, reuse), s.listen(80, 4, reuse)
	for range 5 {
		s.connect(80)
	}
	at := netip.AddrPortFrom(s.serverIP, 80)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(12 * time.Millisecond) {
		d, ok := s.queuesForTest(t).At(at)
		if ok && d.Members == 2 && d.Depth >= 3 && d.Limit == 4 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, %v; %v %v", d, ok, a, b)
		}
	}
	if _, ok := s.queuesForTest(t).At(netip.AddrPortFrom(s.serverIP, 9)); ok {
		t.Error("a queue where nobody listens")
	}
}

func (s *stage) queuesForTest(t *testing.T) *Queues {
	t.Helper()
	q, err := OpenQueues(s.server.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func BenchmarkWatcher(b *testing.B) {
	q, err := OpenQueues("")
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	w := &Watcher{queues: q, pending: map[flow]*pending{}, began: map[int64]int{}}
	s := capture.Segment{Src: netip.MustParseAddrPort("10.0.0.1:1000"), Dst: netip.MustParseAddrPort("10.0.0.2:80")}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(100 * time.Microsecond) // 10,000 connections a second
		s.Seq += 7
		s.Src = netip.AddrPortFrom(s.Src.Addr(), uint16(s.Seq))
		s.Flags = capture.SYN
		w.segment(capture.Packet{Time: now, Interface: 2}, s)
		r := s
		r.Src, r.Dst, r.Flags = s.Dst, s.Src, capture.SYN|capture.ACK
		w.segment(capture.Packet{Time: now, Interface: 2, Outgoing: true}, r)
	}
}

func BenchmarkAnalysis(b *testing.B) {
	all := packetsOf(b, "normal-handshake-accept-close")
	a := New(Config{})
	shift := time.Duration(0)
	b.ReportAllocs()
	b.SetBytes(int64(len(all)))
	for b.Loop() {
		shift += time.Second
		for _, p := range all {
			p.Time = p.Time.Add(shift)
			a.Packet(p)
		}
	}
}
