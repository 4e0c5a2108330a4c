package cluster

import (
	"cmp"
	"os"
	"slices"
	"time"

	"onconn/backlog"
	"onconn/sock"
)

// Status is what a primary and its workers are doing. It marshals as JSON.
type Status struct {
	PID       int              `json:"pid"`
	Started   time.Time        `json:"started"`
	Program   string           `json:"program"` // what the workers run
	Mode      Mode             `json:"mode"`    // where nothing else was said
	Target    int              `json:"target"`  // how many workers are wanted
	Doing     string           `json:"doing,omitempty"`
	Upgrades  int              `json:"upgrades"` // since Started
	Listeners []ListenerStatus `json:"listeners"`
	Workers   []WorkerStatus   `json:"workers"`
}

// ListenerStatus is about one listener of the cluster. Numbers are sums over its
// sockets.
type ListenerStatus struct {
	Network string `json:"network"`
	Address string `json:"address"`
	Mode    Mode   `json:"mode"`
	Sockets int    `json:"sockets"` // more than one in reuseport mode
	Queue   int    `json:"queue"`   // connections that wait in the accept queues
	Limit   int    `json:"limit"`   // of one accept queue
	Drops   int64  `json:"drops"`   // packets that full queues dropped; -1: unknown
	Held    int    `json:"held"`    // connections accepted for which no worker has room

	Steering string `json:"steering,omitempty"` // in reuseport mode: how the kernel chooses among the sockets
	Away     []int  `json:"away,omitempty"`     // slots that it is told to pass over
}

// WorkerStatus is about one worker.
type WorkerStatus struct {
	ID        int           `json:"id"`
	Slot      int           `json:"slot"`
	PID       int           `json:"pid"`
	State     string        `json:"state"` // starting, online, hung, draining
	Started   time.Time     `json:"started"`
	Accepted  int64         `json:"accepted"`
	Active    int64         `json:"active"`
	Queued    int64         `json:"queued"` // handed to it, not taken yet
	Restarts  int           `json:"restarts"`
	LastAlive time.Time     `json:"last_alive,omitzero"` // zero: a program that knows only LISTEN_FDS
	CPU       time.Duration `json:"cpu_ns"`
	RSS       int64         `json:"rss_bytes"`
}

// Status may be called at any time from Start on.
func (p *Primary) Status() Status {
	p.mu.Lock()
	s := Status{
		PID: os.Getpid(), Started: p.began, Program: p.cfg.Exec, Mode: p.cfg.Mode,
		Target: len(p.usedLocked()), Doing: p.doing, Upgrades: p.upgrades,
		Listeners: []ListenerStatus{}, Workers: []WorkerStatus{},
	}
	restarts := map[int]int{}
	for n, slot := range p.slots {
		restarts[n] = slot.restarts
	}
	p.mu.Unlock()
	queued := map[*Worker]int64{}
	for _, server := range p.all() {
		if l, ok := server.report(queued); ok {
			s.Listeners = append(s.Listeners, l)
		}
	}
	slices.SortFunc(s.Listeners, func(a, b ListenerStatus) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Address, b.Address))
	})
	for _, w := range p.Workers() {
		if ws, ok := w.report(); ok {
			ws.Queued, ws.Restarts = queued[w], restarts[w.Slot]
			s.Workers = append(s.Workers, ws)
		}
	}
	return s
}

// report is the listener's status; it adds what waits for each worker to queued.
func (s *server) report(queued map[*Worker]int64) (l ListenerStatus, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut || s.stopped {
		return ListenerStatus{}, false
	}
	addr := s.sharing.address()
	l = ListenerStatus{Network: addr.Network(), Address: addr.String(), Mode: s.mode}
	for _, fd := range s.sharing.sockets() {
		l.Sockets++
		if q, err := backlog.Of(fd); err == nil {
			l.Queue += q.Depth
			l.Limit = q.Limit
		}
		l.Drops += drops(fd, addr.Network())
	}
	l.Drops = max(l.Drops, -1)
	l.Held = s.sharing.held(queued)
	if g, ok := s.sharing.(*reusePort); ok {
		l.Steering, l.Away = g.steered()
	}
	return l, true
}

// skMeminfoDrops is SK_MEMINFO_DROPS of SO_MEMINFO.
const skMeminfoDrops = 8

// drops are those of one socket, or -1: only TCP counts them.
func drops(fd sock.FD, network string) int64 {
	m, err := sock.MemInfo.Get(fd)
	if err != nil || network != "tcp" {
		return -1
	}
	return int64(m[skMeminfoDrops])
}

// report is the worker's status, unless it is dead.
func (w *Worker) report() (s WorkerStatus, ok bool) {
	cpu, rss := usage(w.PID)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == StateDead {
		return WorkerStatus{}, false
	}
	stats := w.stats()
	s = WorkerStatus{
		ID: w.ID, Slot: w.Slot, PID: w.PID, State: w.state.String(), Started: w.started,
		Accepted: stats.Accepted, Active: stats.Active, CPU: cpu, RSS: rss,
	}
	if w.spoken {
		s.LastAlive = w.lastAliveLocked()
	}
	if w.state == StateOnline && w.pulse.reported {
		s.State = "hung"
	}
	return s, true
}
