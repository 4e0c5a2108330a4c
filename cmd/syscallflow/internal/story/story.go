// Package story makes of a recording what a drawing shows: who takes part, the
// steps in an order that can be true, what repeats and what may be left out, and
// a sentence for each step that says why.
package story

import (
	"fmt"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/internal/words"
)

// Options say how much of a recording to tell.
type Options struct {
	Verbose bool // every call and packet, nothing folded
	Lanes   int  // at most so many lifelines; 0: as many as there are
}

// A Story is a drawing that isn't drawn yet. All its text is as it was recorded:
// who draws must make it harmless.
type Story struct {
	Title    string // the command
	Summary  string // "4 requests, 2 workers: 76 calls shown as 9 steps"
	System   string // "Linux 6.18 x86_64, times within 40 µs"
	Lanes    []Lane
	Sockets  []Socket
	Steps    []Step
	Notes    []Note
	Queues   []Queue
	Findings []Finding // about the whole run
	Unseen   []string  // what the recording could not see

	recording *recording.Recording
	options   Options
}

// A LaneKind says whose lifeline it is.
type LaneKind int

const (
	Client LaneKind = iota
	Kernel
	Process
)

// A Lane is a lifeline.
type Lane struct {
	Kind   LaneKind
	Name   string // "node primary"
	Detail string // "26657"
	Short  string // than Name, where there is little room: "primary"
	Brief  string // than Detail
	PIDs   []int  // of processes: several if they share the lane
}

// A Socket that is in the drawing has a letter, the same under every descriptor.
type Socket struct {
	ID     recording.SocketID
	Letter string
	What   string // "listener 127.0.0.1:8000"
	Trail  string // "22@26657 → 14@26665"
}

// A Kind is a sort of step: how it is drawn.
type Kind int

const (
	Act  Kind = iota // a call that moves no bytes
	Data             // bytes or packets
	Pass             // a descriptor goes to another process
	Rest             // nothing happens
	Life             // a process begins or ends
	Like             // a connection that went as an earlier one
)

// A State says whether a step went well.
type State int

const (
	Well   State = iota
	Odd          // worth a look: nothing to accept, sent again
	Failed       // an error
)

// A Step is a row of the drawing.
type Step struct {
	Time, End recording.Time
	Kind      Kind
	From, To  int    // lanes, the same for what stays in one
	Label     string // "bind :8000"
	Result    string // "= 22"
	Socket    int    // in Sockets, from 1; 0 is none
	Times     int    // that it happened in a row, from 1
	State     State
	Note      int // in Notes, from 1
	Why, Man  string
	Packet    int      // in the recording's, from 1
	Raw       []string // as strace and tcpdump would say it
}

// A Note explains steps that have its number.
type Note struct{ Text, Man string }

// A Finding is a sentence about the whole run.
type Finding struct {
	Text  string
	State State
}

// A Queue is how many connections waited for accept, after each step.
type Queue struct {
	Address string
	Letter  string // of the listener
	Depths  []int  // for each step
	Limit   int
	Sampled bool // read from the kernel, not counted from packets and accepts
}

// Tell makes the story of a recording.
func Tell(r *recording.Recording, o Options) *Story {
	t := newTeller(r, o)
	t.processes()
	t.calls()
	t.packets()
	t.requests()
	t.order()
	t.count()
	t.quiet()
	s := &Story{
		Title:     strings.Join(r.Command, " "),
		System:    fmt.Sprintf("Linux %s %s, times within %s", r.Kernel, r.Machine, span(r.Clock)),
		Unseen:    r.Unseen,
		recording: r,
		options:   o,
	}
	t.write(s)
	s.Findings = t.findings()
	s.Summary = t.summary(s)
	return s
}

// Fold tells the story anew with no more lifelines than that.
func (s *Story) Fold(lanes int) *Story {
	if lanes <= 0 || len(s.Lanes) <= lanes {
		return s
	}
	o := s.options
	o.Lanes = lanes
	return Tell(s.recording, o)
}

func (t *teller) summary(s *Story) string {
	var parts []string
	if n := len(t.r.Requests); n > 0 {
		parts = append(parts, words.Count(n, "request"))
	} else if n := len(t.conns); n > 0 {
		parts = append(parts, words.Count(n, "connection"))
	}
	if n := len(t.workers()); n > 0 {
		parts = append(parts, words.Count(n, "worker"))
	}
	seen := words.Count(len(t.r.Calls), "call")
	if n := len(t.r.Packets); n > 0 {
		seen += " and " + words.Count(n, "packet")
	}
	steps := 0
	for _, step := range s.Steps {
		if step.Kind != Rest {
			steps++
		}
	}
	return strings.Join(append(parts, seen+" shown as "+words.Count(steps, "step")), " · ")
}

// span is a length of time with about two digits.
func span(d recording.Time) string {
	switch d = max(d, -d); {
	case d < 1e6:
		return fmt.Sprintf("%d µs", d/1e3)
	case d < 1e7:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < 1e9:
		return fmt.Sprintf("%d ms", d/1e6)
	}
	return fmt.Sprintf("%.1f s", float64(d)/1e9)
}
