package story

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/internal/words"
)

// cast decides who gets a lifeline, and returns each actor's.
func (t *teller) cast(s *Story) map[actor]int {
	weight := map[actor]int{}
	var actors []actor
	for i := range t.events {
		e := &t.events[i]
		if e.hidden || e.hint {
			continue
		}
		for _, a := range []actor{e.from, e.to} {
			if weight[a] == 0 {
				actors = append(actors, a)
			}
			weight[a]++
			if e.kind != Like {
				weight[a]++
			}
		}
	}
	sort.SliceStable(actors, func(i, j int) bool {
		a, b := actors[i], actors[j]
		if a.kind != b.kind {
			return a.kind < b.kind
		}
		return a.kind == Process && t.place[a.pid] < t.place[b.pid] // parents first
	})
	lanes := map[actor]int{}
	kernels, processes, clients := 0, 0, 0
	for _, a := range actors {
		switch a.kind {
		case Kernel:
			kernels++
		case Process:
			processes++
		default:
			clients++
		}
	}
	foldKernels := t.o.Lanes > 0 && kernels > 1 && len(actors) > t.o.Lanes
	if foldKernels {
		kernels = 1
	}
	own := actors // processes that keep a lifeline of their own
	if t.o.Lanes > 0 && clients+kernels+processes > t.o.Lanes {
		own = slices.DeleteFunc(slices.Clone(actors), func(a actor) bool { return a.kind != Process })
		sort.SliceStable(own, func(i, j int) bool {
			if pi, pj := t.worker(own[i].pid), t.worker(own[j].pid); pi != pj {
				return pj
			}
			return weight[own[i]] > weight[own[j]]
		})
		own = own[:min(max(t.o.Lanes-clients-kernels-1, 0), len(own))]
	}
	shared := -1
	for _, a := range actors {
		switch {
		case a.kind == Client:
			s.Lanes = append(s.Lanes, t.clientLane())
		case a.kind == Kernel && foldKernels:
			if i := slices.IndexFunc(s.Lanes, func(l Lane) bool { return l.Kind == Kernel }); i >= 0 {
				lanes[a] = i
				continue
			}
			s.Lanes = append(s.Lanes, Lane{Kind: Kernel, Name: "kernel's queues", Short: "kernel", Detail: "several addresses"})
		case a.kind == Kernel:
			s.Lanes = append(s.Lanes, t.kernelLane(a))
		case slices.Contains(own, a):
			s.Lanes = append(s.Lanes, Lane{Kind: Process, Name: t.name(a.pid), Short: t.part(a.pid), Detail: fmt.Sprint(a.pid), PIDs: []int{a.pid}})
		case shared < 0:
			// Its place is the last one.
			shared = len(actors)
			lanes[a] = -1
			continue
		default:
			lanes[a] = -1
			continue
		}
		lanes[a] = len(s.Lanes) - 1
	}
	if shared >= 0 {
		l := Lane{Kind: Process}
		for _, a := range actors {
			if lanes[a] < 0 {
				l.PIDs = append(l.PIDs, a.pid)
				lanes[a] = len(s.Lanes)
			}
		}
		l.Name = words.Count(len(l.PIDs), "more process")
		if len(l.PIDs) > 1 {
			l.Name += "es"
			l.Name = strings.Replace(l.Name, "processses", "processes", 1)
		}
		if !slices.ContainsFunc(l.PIDs, func(pid int) bool { return !t.worker(pid) }) {
			l.Name = words.Count(len(l.PIDs), "more worker")
			l.Short = words.Count(len(l.PIDs), "worker")
		}
		l.Detail = fmt.Sprintf("%d..%d", slices.Min(l.PIDs), slices.Max(l.PIDs))
		s.Lanes = append(s.Lanes, l)
	}
	return lanes
}

func (t *teller) kernelLane(a actor) Lane {
	l := Lane{Kind: Kernel, Name: "kernel's queue", Short: "kernel", Detail: a.address, Brief: port(a.address)}
	n := 0
	for _, s := range t.listeners {
		if s.Local == a.address {
			n++
		}
	}
	switch {
	case n > 1:
		l.Name = fmt.Sprintf("kernel, %d queues", n)
	case n == 0:
		l.Name = "kernel"
	}
	return l
}

func (t *teller) clientLane() Lane {
	l := Lane{Kind: Client, Name: "client"}
	seen := map[string]bool{}
	for _, c := range t.conns {
		if c.client.IsValid() && t.client(c).kind == Client {
			l.Detail = c.client.String()
			seen[l.Detail] = true
		}
	}
	if n := len(seen); n > 1 {
		l.Detail = fmt.Sprintf("%d addresses", n)
	}
	return l
}

// name is what a process is called: its program and its part.
func (t *teller) name(pid int) string {
	p := t.procs[pid]
	if p == nil {
		return "process"
	}
	name := p.Name
	if (name == "" || strings.Contains(name, "MainThread")) && len(p.Args) > 0 {
		name = path.Base(p.Args[0])
	}
	return strings.TrimSpace(name + " " + t.part(pid))
}

// part is what a process does among others.
func (t *teller) part(pid int) string {
	if t.worker(pid) {
		return "worker"
	}
	if slices.ContainsFunc(t.children(pid), t.worker) {
		return "primary"
	}
	return ""
}

// sockets gives those in the steps their letters.
func (t *teller) sockets(s *Story, id recording.SocketID) int {
	if id == 0 {
		return 0
	}
	trail := t.trails[id]
	if r := t.socks[id]; r != nil && t.class[id] == pair { // two sockets, but one channel
		first, second := min(id, r.Pair), max(id, r.Pair)
		id, trail = first, t.trails[first]+" ⇄ "+t.trails[second]
	}
	for i := range s.Sockets {
		if s.Sockets[i].ID == id {
			return i + 1
		}
	}
	so := Socket{ID: id, Letter: letter(len(s.Sockets)), Trail: trail}
	if r := t.socks[id]; r != nil {
		switch t.class[id] {
		case listener:
			so.What = "listener " + r.Local
		case accepted:
			so.What = strings.TrimSpace("connection " + r.Peer)
		case pair:
			so.What = "channel"
		case outgoing:
			so.What = "client"
			if r.Peer != "" {
				so.What = "client of " + r.Peer
			}
		default:
			so.What = strings.TrimSpace("socket " + r.Local)
		}
	}
	s.Sockets = append(s.Sockets, so)
	return len(s.Sockets)
}

func letter(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return letter(n/26-1) + string(rune('A'+n%26))
}

// Parts are what the processes of a recording do among others: "primary",
// "worker", or "" for one that is alone.
func Parts(r *recording.Recording) map[int]string {
	t := newTeller(r, Options{})
	parts := map[int]string{}
	for _, p := range r.Processes {
		parts[p.PID] = t.part(p.PID)
	}
	return parts
}
