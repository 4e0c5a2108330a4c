package accept

import (
	"net"
	"strings"
	"testing"
	"time"

	"onconn/internal/testleak"
	"onconn/sock"
)

// starving starts a server that holds all of its few descriptors, and clients
// that wait for it.
func starving(t *testing.T, clients int, env ...string) (sock.FD, *process, []net.Conn) {
	testleak.FDs(t)
	ln := listener(t, sock.Inet, sock.Stream, 4096)
	p := spawn(t, ln, "serve", append(env, "NOFILE=40")...)
	p.do("hold")
	conns := make([]net.Conn, clients)
	for i := range conns {
		conns[i] = dial(t, ln)
	}
	eventually(t, "its descriptors are used up", func() bool { return p.do("status").Exhausted > 0 })
	return ln, p, conns
}

func TestOutOfDescriptors(t *testing.T) {
	begin := time.Now()
	ln, p, clients := starving(t, 1000, "SHED_AFTER=-1")

	before, start := p.do("status"), time.Now()
	time.Sleep(time.Second) // what is measured
	after, took := p.do("status"), time.Since(start)
	used := after.CPU - before.CPU
	t.Logf("with %d accepted of %d: %v of CPU time and %d tries in %v",
		after.Accepted, len(clients), used, after.Exhausted-before.Exhausted, took.Round(time.Millisecond))
	if used > took/10 {
		t.Error("the loop spins")
	}
	if after.Exhausted == before.Exhausted {
		t.Error("accept wasn't tried again")
	}
	if n := after.Exhausted; n > 10+int64(time.Since(begin)/lastRetry) { // the first come faster
		t.Errorf("accept was tried %d times in %v", n, time.Since(begin))
	}
	if n := strings.Count(after.Log, "out of descriptors"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, after.Log)
	}

	p.do("serve slowly")
	for _, c := range clients {
		wantServed(t, c)
	}
	if s := p.do("status"); s.Shed != 0 || int(s.Accepted) != len(clients) {
		t.Errorf("%+v; want all %d accepted", s.Stats, len(clients))
	}
	wantServed(t, dial(t, ln))
}

func TestShed(t *testing.T) {
	const shedAfter = 200 * time.Millisecond
	begin := time.Now()
	ln, p, clients := starving(t, 200, "SHED_AFTER=200")
	var s status
	eventually(t, "all are held or shed", func() bool {
		s = p.do("status")
		return int(s.Accepted+s.Shed) == len(clients)
	})
	// The queue is first in, first out: those who came later were shed.
	for _, c := range clients[s.Accepted:] {
		wantClosed(t, c)
	}
	if took := time.Since(begin); took < shedAfter {
		t.Errorf("shed after %v, sooner than %v", took, shedAfter)
	}
	if s.OnShed != int(s.Shed) {
		t.Errorf("OnShed was told of %d, not %d", s.OnShed, s.Shed)
	}
	if n := strings.Count(s.Log, "closed connections unserved"); n != 1 {
		t.Errorf("shedding was logged %d times:\n%s", n, s.Log)
	}
	t.Logf("held %d, shed %d", s.Accepted, s.Shed)

	// Whoever comes when nobody has waited for a while is given as long.
	eventually(t, "nobody waits", func() bool { return !p.do("status").Short })
	begin = time.Now()
	wantClosed(t, dial(t, ln))
	if took := time.Since(begin); took < shedAfter {
		t.Errorf("a latecomer was shed after %v, sooner than %v", took, shedAfter)
	}

	// Service goes on by itself.
	p.do("serve")
	for _, c := range clients[:s.Accepted] {
		wantServed(t, c)
	}
	wantServed(t, dial(t, ln))
	eventually(t, "the rest of the shed ones is logged", func() bool {
		return strings.Count(p.do("status").Log, "closed connections unserved") >= 2
	})
}

// TestShedAfterSuccess: as long as an accept succeeds now and then, nobody is
// shed, however long the others wait.
func TestShedAfterSuccess(t *testing.T) {
	const shedAfter = time.Second
	_, p, clients := starving(t, 100, "SHED_AFTER=1000")
	last, longest := time.Now(), time.Duration(0)
	for begin := last; time.Since(begin) < 3*shedAfter/2; {
		before := p.do("serve one").Accepted
		eventually(t, "another is accepted", func() bool { return p.do("status").Accepted > before })
		longest = max(longest, time.Since(last))
		last = time.Now()
		time.Sleep(shedAfter / 10) // the pace at which descriptors come free
	}
	s := p.do("serve")
	if s.Shed != 0 && longest < shedAfter {
		t.Errorf("shed %d although an accept succeeded every %v", s.Shed, longest)
	}
	for _, c := range clients[:s.Accepted] {
		wantServed(t, c)
	}
}

// TestReserveGrabbed: a goroutine that is faster to take the reserve's number
// can't take it for good.
func TestReserveGrabbed(t *testing.T) {
	ln, p, clients := starving(t, 300, "SHED_AFTER=50")
	p.do("grab")
	eventually(t, "the reserve is lost or all are shed", func() bool {
		s := p.do("status")
		return !s.Reserve || int(s.Accepted+s.Shed) == len(clients)
	})
	t.Logf("%+v", p.do("status").Stats)
	p.do("ungrab")
	p.do("serve")
	eventually(t, "the reserve is there again", func() bool { return p.do("status").Reserve })
	wantServed(t, dial(t, ln))

	// And it is of use.
	p.do("hold")
	before := p.do("status")
	for range 100 {
		dial(t, ln)
	}
	eventually(t, "some are shed again", func() bool { return p.do("status").Shed > before.Shed })
}
