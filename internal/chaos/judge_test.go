package chaos

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"onconn/internal/testleak"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// at is a time in milliseconds after noon.
func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

func peer(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("127.64.1.1"), uint16(port))
}

// A loss from a port, between two times.
func lost(kind string, port, began, ended int) *Loss {
	return &Loss{Kind: kind, Local: peer(port), Began: at(began), Ended: at(ended)}
}

func testJournal(t *testing.T, notes int) *journal {
	t.Helper()
	testleak.FDs(t)
	j, err := newJournal(notes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.close)
	return j
}

func TestAttribution(t *testing.T) {
	killed := func() []*moment { return []*moment{{Worker: 1, Kind: Kill, From: at(100), To: at(120)}} }
	tests := []struct {
		name    string
		loss    *Loss
		worker  int // that noted it; 0: none
		state   uint32
		endings []*moment
		want    Cause
	}{
		{"in hand of a killed worker", lost("reset", 1, 90, 110), 1, noteOpen, killed(), InHand},
		{"it was lost before the kill", lost("reset", 1, 80, 90), 1, noteOpen, killed(), Unexplained},
		{"the worker had closed it", lost("eof", 1, 90, 110), 1, noteClosed, killed(), Unexplained},
		{"another worker had it", lost("reset", 1, 90, 110), 2, noteOpen, killed(), Unexplained},
		{"nobody was killed", lost("eof", 1, 90, 110), 1, noteOpen, nil, Unexplained},
		{"a killed worker leaves nobody hanging", lost("hang", 1, 90, 110), 1, noteOpen, killed(), Unexplained},
		{"wrong bytes", lost("wrong", 1, 90, 110), 1, noteOpen, killed(), Unexplained},
		{"at the kill", lost("reset", 1, 90, 110), 0, 0, killed(), AtAKill},
		{"before the kill", lost("reset", 1, 80, 90), 0, 0, killed(), Unexplained},
		{"it began after the kill", lost("reset", 1, 130, 140), 0, 0, killed(), Unexplained},
		{"long after the kill", lost("reset", 1, 90, 3000), 0, 0, killed(), Unexplained},
		{"refused at the kill", lost("refused", 1, 90, 110), 0, 0, killed(), Unexplained},
		{"nobody noted it", lost("eof", 1, 90, 110), 0, 0, nil, Unexplained},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := testJournal(t, 10)
			if tt.worker > 0 {
				n := j.take(tt.loss.Local, tt.worker)
				n.begin()
				n.end(tt.state)
			}
			v := judge(Counts{Connections: 1}, []*Loss{tt.loss}, j.notes(), tt.endings, nil)
			if v.losses[0].Cause != tt.want {
				t.Errorf("the cause is %q, not %q", v.losses[0].Cause, tt.want)
			}
			if len(v.sums) > 0 {
				t.Error(v.sums)
			}
		})
	}
}

// A kill excuses one connection that nobody noted, and no more.
func TestOneForEachKill(t *testing.T) {
	endings := []*moment{
		{Worker: 1, Kind: KillAll, From: at(100), To: at(120)},
		{Worker: 2, Kind: KillAll, From: at(100), To: at(121)},
	}
	var losses []*Loss
	for port := range 5 {
		losses = append(losses, lost("reset", port, 90, 110))
	}
	v := judge(Counts{Connections: 5}, losses, nil, endings, nil)
	causes := map[Cause]int{}
	for _, l := range v.losses {
		causes[l.Cause]++
	}
	if causes[AtAKill] != 2 || causes[Unexplained] != 3 {
		t.Errorf("the causes are %v", causes)
	}
}

// A lowered limit excuses one, and only one that no worker has.
func TestOneForEachSqueeze(t *testing.T) {
	j := testJournal(t, 10)
	j.take(peer(9), 1)
	squeezes := []*moment{{Kind: Squeeze, From: at(100), To: at(101)}}
	losses := []*Loss{lost("reset", 9, 90, 101), lost("reset", 1, 95, 102), lost("reset", 2, 95, 103), lost("reset", 3, 102, 104)}
	v := judge(Counts{Connections: 4}, losses, j.notes(), nil, squeezes)
	for i, want := range []Cause{Unexplained, AtASqueeze, Unexplained, Unexplained} {
		if got := v.losses[i].Cause; got != want {
			t.Errorf("loss %d: %q, not %q", i, got, want)
		}
	}
}

func TestHandledTwice(t *testing.T) {
	j := testJournal(t, 10)
	j.take(peer(1), 1).end(noteClosed)
	j.take(peer(2), 1).end(noteClosed)
	j.take(peer(2), 2).end(noteClosed)
	v := judge(Counts{Connections: 2, Answered: 2}, nil, j.notes(), nil, nil)
	if len(v.twice) != 1 || !strings.HasPrefix(v.twice[0], "127.64.1.1:2: ") {
		t.Errorf("handled twice: %v", v.twice)
	}
}

func TestWrongToAWorker(t *testing.T) {
	j := testJournal(t, 10)
	j.take(peer(1), 1).end(noteBad)
	if v := judge(Counts{Connections: 1}, nil, j.notes(), nil, nil); len(v.bad) != 1 {
		t.Errorf("bad: %v", v.bad)
	}
}

// Clients that don't report what they lost are found by the sums.
func TestSums(t *testing.T) {
	tests := []struct {
		name   string
		counts Counts
		wrong  bool
	}{
		{"right", Counts{Connections: 3, Answered: 6}, false},
		{"one answer was not counted", Counts{Connections: 3, Answered: 5}, true},
		{"a connection without a note", Counts{Connections: 4, Answered: 6}, true},
		{"a note without a connection", Counts{Connections: 2, Answered: 6}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := testJournal(t, 10)
			for port := range 3 {
				n := j.take(peer(port), 1)
				for range 2 {
					n.begin()
					n.finish()
				}
				n.end(noteClosed)
			}
			if v := judge(tt.counts, nil, j.notes(), nil, nil); len(v.sums) > 0 != tt.wrong {
				t.Errorf("the sums: %v", v.sums)
			}
		})
	}
}

func TestReportFails(t *testing.T) {
	tests := []struct {
		name   string
		v      verdict
		passed bool
	}{
		{"nothing", verdict{}, true},
		{"in hand", verdict{losses: []*Loss{{Cause: InHand}, {Cause: AtAKill}}}, true},
		{"unexplained", verdict{losses: []*Loss{{Cause: Unexplained, Kind: "hang"}}}, false},
		{"twice", verdict{twice: []string{"x"}}, false},
		{"bad", verdict{bad: []string{"x"}}, false},
		{"sums", verdict{sums: []string{"x"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Report
			r.add(tt.v)
			if r.Passed != tt.passed {
				t.Errorf("passed: %v", r.Passed)
			}
		})
	}
}

// Notes are read by who opens the journal as a worker does, and by address.
func TestJournal(t *testing.T) {
	j := testJournal(t, 100)
	other, err := openJournal(j.path())
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	for port := range 100 {
		n := other.take(peer(port), port%3+1)
		n.begin()
		n.finish()
		n.begin()
	}
	notes := j.notes()
	for port := range 100 {
		of := notes[peerKey(peer(port))]
		if len(of) != 1 {
			t.Fatalf("port %d has %d notes", port, len(of))
		}
		n := of[0]
		if n.worker.Load() != uint32(port%3+1) || n.begun() != 2 || n.finished() != 1 || n.state.Load() != noteOpen {
			t.Errorf("port %d: %v", port, n)
		}
		if s := fmt.Sprintf("worker %d took it", port%3+1); !strings.HasPrefix(n.String(), s) {
			t.Errorf("port %d: %v", port, n)
		}
	}
}
