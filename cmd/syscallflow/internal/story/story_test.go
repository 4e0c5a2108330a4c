package story

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/recording/recordingtest"
)

func TestRoundRobin(t *testing.T) {
	s := Tell(recordingtest.Load(t, "made/node-rr"), Options{})
	inOrder(t, lines(s),
		"node primary>node worker: fork",
		"node worker>node primary: asks for a server",
		"node primary>kernel's queue: bind :8000",
		"node primary>kernel's queue: listen(21, 511) got 511",
		"rest: 2.0 s idle: epoll_wait",
		"client>kernel's queue: SYN",
		"kernel's queue>client: SYN-ACK",
		"client>kernel's queue: ACK acceptq 0→1",
		"client>kernel's queue: GET / 59 B",
		"kernel's queue>node primary: accept4 = 22 after 160 µs",
		"node primary>node worker: SCM_RIGHTS 22 = 14",
		"node primary: close(22)",
		"node worker: read GET / 59 B",
		"node worker>client: write 200 OK 70 B",
	)
	last := s.Steps[len(s.Steps)-1]
	if last.Kind != Like || s.Lanes[last.To].Detail != "26665" {
		t.Errorf("the second connection is told as %+v", last)
	}
	for i, step := range s.Steps {
		if step.Kind != Rest && (step.Why == "" || step.Note == 0) {
			t.Errorf("step %d, %s, isn't explained", i+1, step.Label)
		}
	}
	want := "node workers 26664 and 26665 never called bind, listen or accept."
	if !slices.Contains(s.Findings, Finding{Text: want}) {
		t.Errorf("findings: %v", s.Findings)
	}
	i := slices.IndexFunc(s.Sockets, func(so Socket) bool { return so.What == "connection 127.0.0.1:49222" })
	if i < 0 || s.Sockets[i].Trail != "22@26657 → 14@26664" {
		t.Errorf("sockets: %+v", s.Sockets)
	}
	if q := s.Queues; len(q) != 1 || q[0].Sampled || slices.Max(q[0].Depths) != 1 || len(q[0].Depths) != len(s.Steps) {
		t.Errorf("queues: %+v", q)
	}
}

// TestClock tells a recording in which the clocks disagree by less than their
// error: the accept seems to come before the SYN, the receipt before the sending.
func TestClock(t *testing.T) {
	r := recordingtest.Load(t, "made/node-rr")
	r.Clock = 900_000
	for i := range r.Packets {
		r.Packets[i].Time += 400_000
	}
	for i := range r.Calls {
		if c := &r.Calls[i]; c.Name == "sendmsg" {
			c.Begin, c.End = c.Begin+200_000, c.End+200_000
		}
	}
	s := Tell(r, Options{})
	inOrder(t, lines(s),
		"client>kernel's queue: SYN",
		"kernel's queue>client: SYN-ACK",
		"client>kernel's queue: ACK acceptq 0→1",
		"kernel's queue>node primary: accept4 = 22 after 0 µs",
		"node primary>node worker: SCM_RIGHTS 22 = 14",
		"node worker: read GET / 59 B",
		"node worker>client: write 200 OK 70 B",
	)
	for i := 1; i < len(s.Steps); i++ {
		if s.Steps[i].Time < s.Steps[i-1].Time {
			t.Errorf("step %d is before step %d", i+1, i)
		}
	}
	// Beyond the error of the clock the times stand.
	r.Clock = 1000
	if got := lines(Tell(r, Options{})); slices.Index(got, "client>kernel's queue: SYN") < slices.IndexFunc(got, func(l string) bool {
		return strings.Contains(l, "accept4")
	}) {
		t.Error("an accept 250 µs before the SYN was moved with a clock error of 1 µs")
	}
}

func TestInUse(t *testing.T) {
	s := Tell(recordingtest.Load(t, "made/in-use"), Options{})
	i := slices.IndexFunc(s.Steps, func(s Step) bool { return s.Label == "bind :8000" })
	if i < 0 {
		t.Fatalf("no bind in %v", lines(s))
	}
	if step := s.Steps[i]; step.State != Failed || step.Result != "EADDRINUSE" || !strings.Contains(step.Why, "another socket has the address") {
		t.Errorf("%+v", step)
	}
	last := s.Steps[len(s.Steps)-1]
	if last.State != Failed || last.Label != "exit status 1" {
		t.Errorf("it ends with %+v", last)
	}
}

// TestHelpers leaves out processes that only fail, and not those that are killed.
func TestHelpers(t *testing.T) {
	r := recordingtest.Load(t, "made/python")
	r.Processes = append(r.Processes,
		recording.Process{PID: 9775, Parent: 9774, Name: "readlink", Begin: 1e6, End: 2e6, Status: "exit status 1"},
		recording.Process{PID: 9776, Parent: 9774, Name: "worker", Begin: 1e6, End: 2e6, Status: "signal: segmentation fault"})
	got := strings.Join(lines(Tell(r, Options{})), "\n")
	if strings.Contains(got, "readlink") || !strings.Contains(got, "worker: signal: segmentation fault") {
		t.Errorf("%s", got)
	}
}

func TestSharedAndHerd(t *testing.T) {
	s := Tell(recordingtest.Load(t, "made/shared"), Options{})
	inOrder(t, lines(s),
		"prefork primary>kernel's queue: listen(3, 1024) got 128",
		"prefork primary>prefork worker: fork has fd 3",
		"kernel's queue>prefork worker: accept4 = 5 after 100 µs",
		"kernel's queue>prefork worker: accept4 EAGAIN",
		"prefork worker>client: write 200 OK 70 B",
		"prefork worker: signal: killed",
	)
	herd := 0
	for _, step := range s.Steps {
		if step.Result == "EAGAIN" {
			herd += step.Times
			if step.State != Odd {
				t.Errorf("%+v", step)
			}
		}
		if strings.HasPrefix(step.Label, "listen") && (step.State != Odd || !strings.Contains(step.Why, "somaxconn")) {
			t.Errorf("a clamped backlog is told as %+v", step)
		}
	}
	if herd != 15 {
		t.Errorf("%d processes came too late, of 15", herd)
	}
}

// TestFoundRunning: what ran already isn't drawn as if it began.
func TestFoundRunning(t *testing.T) {
	r := recordingtest.Load(t, "made/shared")
	for i := range r.Processes {
		r.Processes[i].Begin = 0
	}
	if got := strings.Join(lines(Tell(r, Options{Verbose: true})), "\n"); strings.Contains(got, ": fork") || !strings.Contains(got, "prefork worker") {
		t.Error(got)
	}
}

// TestCloseOfOne: a listener that is used later on hasn't lost its last descriptor.
func TestCloseOfOne(t *testing.T) {
	for _, used := range []bool{false, true} {
		r := recordingtest.Load(t, "made/python")
		i := slices.IndexFunc(r.Calls, func(c recording.Call) bool { return c.Name == "listen" })
		listen := r.Calls[i]
		end := r.Calls[len(r.Calls)-1].Begin + 1e6
		r.Calls = append(r.Calls, recording.Call{PID: listen.PID, Name: "close", FD: listen.FD, Begin: end, End: end + 1000})
		if used {
			other := recording.FD{Number: 99, Socket: listen.FD.Socket}
			r.Calls = append(r.Calls, recording.Call{PID: listen.PID, Name: "listen", FD: &other, Begin: end + 1e6, End: end + 2e6})
		}
		s := Tell(r, Options{Verbose: true})
		i = slices.IndexFunc(s.Steps, func(step Step) bool {
			return strings.HasPrefix(step.Label, "close(") && strings.Contains(step.Why, "listener")
		})
		if i < 0 || strings.Contains(s.Steps[i].Why, "Only this descriptor") != used {
			t.Errorf("used later: %v, the close is told as %d of %v", used, i, lines(s))
		}
	}
}

func TestOverflow(t *testing.T) {
	s := Tell(recordingtest.Load(t, "made/overflow"), Options{})
	inOrder(t, lines(s),
		"client>kernel's queue: ACK acceptq 0→1",
		"client>kernel's queue: SYN no answer",
		"client>kernel's queue: ACK no room",
		"kernel's queue>client: SYN-ACK again",
		"client>kernel's queue: SYN again",
		"kernel's queue>overflow: accept = 4 after 3.2 s",
	)
	if q := s.Queues[0]; slices.Max(q.Depths) != 1 {
		t.Errorf("the queue has one place, and held %v", q.Depths)
	}
	if !slices.ContainsFunc(s.Findings, func(f Finding) bool { return f.State == Failed && strings.Contains(f.Text, "overflowed") }) {
		t.Errorf("findings: %v", s.Findings)
	}
}

// TestQuiet folds a thousand connections, and shows each when it is told to.
func TestQuiet(t *testing.T) {
	r := recordingtest.Load(t, "made/node-rr")
	r.Packets, r.Requests, r.Depths = nil, nil, nil
	const more = 1000
	listener := recording.SocketID(1)
	for i := range more {
		id := recording.SocketID(1000 + i)
		at := recording.Time(2.4e9 + float64(i)*1e6)
		r.Sockets = append(r.Sockets, recording.Socket{ID: id, Family: "AF_INET", Type: "SOCK_STREAM", From: listener, Made: at,
			Peer: fmt.Sprintf("127.0.0.1:%d", 10000+i)})
		pid := 26664 + i%2
		fd := &recording.FD{Number: 30, Socket: id}
		r.Calls = append(r.Calls,
			recording.Call{PID: 26657, Name: "accept4", Begin: at, End: at + 1000, Return: 30, FD: &recording.FD{Number: 21, Socket: listener}, New: fd},
			recording.Call{PID: 26657, Name: "sendmsg", Begin: at + 2000, End: at + 3000, Passed: []recording.FD{*fd}},
			recording.Call{PID: pid, Name: "recvmsg", Begin: at + 4000, End: at + 5000, Passed: []recording.FD{*fd}},
			recording.Call{PID: pid, Name: "write", Begin: at + 6000, End: at + 7000, Return: 2, FD: fd, Data: []byte("hi"), Size: 2},
		)
	}
	s := Tell(r, Options{})
	if n := len(s.Steps); n > 40 {
		t.Errorf("%d connections are told in %d steps", more, n)
	}
	served := 0
	for _, step := range s.Steps {
		if step.Kind == Like {
			served += step.Times
		}
	}
	if served < more-1 {
		t.Errorf("of %d connections %d are told", more, served)
	}
	if n := len(Tell(r, Options{Verbose: true}).Steps); n < 3*more {
		t.Errorf("verbose has %d steps", n)
	}
	for most := 3; most < 6; most++ {
		if f := s.Fold(most); len(f.Lanes) > most {
			t.Errorf("%d lifelines, not %d", len(f.Lanes), most)
		}
	}
}

// TestPython has no packets: the requests say who came.
func TestPython(t *testing.T) {
	inOrder(t, lines(Tell(recordingtest.Load(t, "made/python"), Options{})),
		"python3>kernel's queue: listen(3, 5) got 5",
		"client>kernel's queue: connects, GET /",
		"kernel's queue>python3: accept4 = 4",
		"client>python3: read GET / 59 B",
		"python3>client: write 200 OK 155 B",
		"python3: close(4)",
	)
}
