// Package compare lays two recordings side by side: what each program calls for a
// connection, in which of its processes, and what only one of them does.
package compare

import (
	"slices"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/story"
)

// A Profile is what a program does, by its recording.
type Profile struct {
	Name        string
	Connections int
	Setup       map[string]int    // calls about listeners, by name
	Serving     map[string]Counts // calls for connections, by name
	Backlog     int               // of its greatest listener
	Listeners   int
	Empty       int            // accepts that found nothing
	Handed      int            // connections passed to another process
	Shared      bool           // several processes accept
	Wait        recording.Time // from a connection's first accept to its first answer: the median
	Findings    []story.Finding
}

// Counts are calls by who made them.
type Counts struct{ Primary, Worker int }

func (c Counts) total() int { return c.Primary + c.Worker }

// Calls is how many calls served all connections.
func (p *Profile) Calls() (n int) {
	for _, c := range p.Serving {
		n += c.total()
	}
	return n
}

// Of makes the profile of a recording. Serving is what happens to accepted
// connections, and from the first of them on also what is called to wait and to
// pass descriptors on.
func Of(r *recording.Recording) *Profile {
	p := &Profile{Name: strings.Join(r.Command, " "), Setup: map[string]int{}, Serving: map[string]Counts{}}
	p.Findings = story.Tell(r, story.Options{}).Findings
	parts := story.Parts(r)
	sockets := map[recording.SocketID]*recording.Socket{}
	for i := range r.Sockets {
		s := &r.Sockets[i]
		sockets[s.ID] = s
		if s.Listens {
			p.Listeners++
			p.Backlog = max(p.Backlog, s.Backlog)
		}
	}
	first, last := span(r)
	accepters := map[int]bool{}
	began := map[recording.SocketID]recording.Time{}
	handed := map[recording.SocketID]bool{}
	var waits []recording.Time
	for i := range r.Calls {
		c := &r.Calls[i]
		s := sockets[about(c)]
		accepts := c.Name == "accept" || c.Name == "accept4"
		during := first > 0 && c.Begin >= first && c.Begin <= last
		switch {
		case accepts && c.Errno == "" && c.New != nil:
			p.Connections++
			accepters[c.PID] = true
			began[c.New.Socket] = c.End
		case accepts && c.Errno == "EAGAIN":
			p.Empty++
		}
		if s != nil && s.From != 0 {
			if t, ok := began[s.ID]; ok && c.Errno == "" && (strings.HasPrefix(c.Name, "write") || strings.HasPrefix(c.Name, "send")) && len(c.Passed) == 0 {
				waits = append(waits, c.Begin-t)
				delete(began, s.ID)
			}
		}
		if c.Name == "sendmsg" && c.Errno == "" {
			for _, fd := range c.Passed {
				if s := sockets[fd.Socket]; s != nil && s.From != 0 {
					handed[fd.Socket] = true
				}
			}
		}
		switch {
		case accepts, s != nil && s.From != 0, during && (waiting(c) || s != nil && s.Pair != 0):
			n := p.Serving[c.Name]
			if parts[c.PID] == "worker" {
				n.Worker++
			} else {
				n.Primary++
			}
			p.Serving[c.Name] = n
		case s != nil && (s.Listens || c.Name == "bind"):
			p.Setup[c.Name]++
		}
	}
	p.Handed, p.Shared = len(handed), len(accepters) > 1
	if len(waits) > 0 {
		slices.Sort(waits)
		p.Wait = waits[len(waits)/2]
	}
	return p
}

// span is the time from the first accepted connection to the last call on one.
func span(r *recording.Recording) (first, last recording.Time) {
	accepted := map[recording.SocketID]bool{}
	for _, s := range r.Sockets {
		if s.From == 0 {
			continue
		}
		accepted[s.ID] = true
		if first == 0 || s.Made < first {
			first = s.Made
		}
	}
	for i := range r.Calls {
		if c := &r.Calls[i]; accepted[about(c)] {
			first, last = min(first, c.Begin), max(last, c.Begin)
		}
	}
	return first, last
}

// about is the socket that a call is about: one that it makes, or has.
func about(c *recording.Call) recording.SocketID {
	switch {
	case c.New != nil && c.New.Socket != 0:
		return c.New.Socket
	case c.FD != nil:
		return c.FD.Socket
	case len(c.Passed) > 0:
		return c.Passed[0].Socket
	}
	return 0
}

func waiting(c *recording.Call) bool {
	return strings.HasPrefix(c.Name, "epoll_wait") || strings.HasPrefix(c.Name, "epoll_pwait") ||
		strings.HasSuffix(c.Name, "poll") || strings.HasSuffix(c.Name, "select") || c.Name == "pselect6"
}
