// Package export writes recordings for other programs: Perfetto and Chrome's
// tracing, Wireshark.
package export

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/story"
)

// A traceEvent is one of Chrome's trace event format, which Perfetto reads too.
type traceEvent struct {
	Name  string         `json:"name"`
	Phase string         `json:"ph"`
	Cat   string         `json:"cat,omitempty"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	At    float64        `json:"ts"` // microseconds
	Took  *float64       `json:"dur,omitempty"`
	ID    string         `json:"id,omitempty"`
	Bind  string         `json:"bp,omitempty"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// kernelPID is the process under which packets and queues are shown. No process
// of a recording has it.
const kernelPID = 0

// ChromeTrace writes calls as slices of their threads, packets as instants, queues
// as counters, and joins the calls on one socket, in whatever process, by arrows.
func ChromeTrace(w io.Writer, r *recording.Recording) error {
	t := trace{r: r, names: map[recording.SocketID]string{}}
	for _, s := range r.Sockets {
		t.names[s.ID] = strings.TrimSpace(fmt.Sprintf("socket %d %s %s", s.ID, s.Local, s.Peer))
	}
	t.processes()
	t.calls()
	t.kernel()
	return json.NewEncoder(w).Encode(map[string]any{
		"traceEvents":     t.events,
		"displayTimeUnit": "ns",
		"otherData": map[string]any{
			"command": strings.Join(r.Command, " "), "kernel": r.Kernel, "began": r.Began, "unseen": r.Unseen,
		},
	})
}

type trace struct {
	r      *recording.Recording
	names  map[recording.SocketID]string
	events []traceEvent
}

func micros(t recording.Time) float64 { return float64(t) / 1e3 }

func (t *trace) add(e traceEvent) { t.events = append(t.events, e) }

func (t *trace) processes() {
	t.add(traceEvent{Name: "process_name", Phase: "M", PID: kernelPID, Args: map[string]any{"name": "kernel"}})
	for i, p := range t.r.Processes {
		t.add(traceEvent{Name: "process_name", Phase: "M", PID: p.PID, TID: p.PID,
			Args: map[string]any{"name": strings.Join(append([]string{p.Name}, p.Args...), " ")}})
		t.add(traceEvent{Name: "process_sort_index", Phase: "M", PID: p.PID, TID: p.PID, Args: map[string]any{"sort_index": i + 1}})
	}
}

func (t *trace) calls() {
	uses := map[recording.SocketID][]*recording.Call{}
	for i := range t.r.Calls {
		c := &t.r.Calls[i]
		took := micros(max(c.End-c.Begin, 0))
		if c.End == 0 {
			took = micros(max(t.r.Took-c.Begin, 0))
		}
		name := c.Name
		if c.Errno != "" {
			name += " " + c.Errno
		}
		e := traceEvent{Name: name, Phase: "X", Cat: "call", PID: c.PID, TID: tid(c), At: micros(c.Begin), Took: &took,
			Args: map[string]any{"call": story.Raw(c)}}
		ids := sockets(c)
		for n, id := range ids {
			e.Args[fmt.Sprintf("socket %d", n+1)] = t.names[id]
			uses[id] = append(uses[id], c)
		}
		t.add(e)
	}
	for _, s := range t.r.Sockets {
		t.flow(s.ID, uses[s.ID])
	}
}

// flow joins the calls on a socket.
func (t *trace) flow(id recording.SocketID, uses []*recording.Call) {
	for i, c := range uses {
		phase := "t"
		switch {
		case len(uses) == 1:
			return
		case i == 0:
			phase = "s"
		case i == len(uses)-1:
			phase = "f"
		}
		t.add(traceEvent{Name: t.names[id], Phase: phase, Cat: "socket", ID: fmt.Sprint(id), Bind: "e",
			PID: c.PID, TID: tid(c), At: micros(c.Begin)})
	}
}

func tid(c *recording.Call) int {
	if c.TID != 0 {
		return c.TID
	}
	return c.PID
}

// sockets are those that a call is about, each once.
func sockets(c *recording.Call) (ids []recording.SocketID) {
	seen := map[recording.SocketID]bool{0: true}
	note := func(fd *recording.FD) {
		if fd != nil && !seen[fd.Socket] {
			seen[fd.Socket] = true
			ids = append(ids, fd.Socket)
		}
	}
	note(c.FD)
	note(c.New)
	for i := range c.Passed {
		note(&c.Passed[i])
	}
	return ids
}

func (t *trace) kernel() {
	for _, p := range t.r.Packets {
		t.add(traceEvent{Name: fmt.Sprintf("%s > %s [%s] %d B", p.From, p.To, p.Flags, p.Size), Phase: "i", Cat: "packet",
			Scope: "p", PID: kernelPID, At: micros(p.Time), Args: map[string]any{"seq": p.Seq, "ack": p.Ack, "socket": t.names[p.Socket]}})
	}
	for _, d := range t.r.Depths {
		t.add(traceEvent{Name: "accept queue of " + t.names[d.Socket], Phase: "C", PID: kernelPID, At: micros(d.Time),
			Args: map[string]any{"waiting": d.Queue, "half open": d.HalfOpen}})
	}
}
