// Package watch sees what the tracer can't: the packets of the ports that a program
// listens on, and how many connections wait there.
package watch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/cmd/syscallflow/internal/follow"
	"onconn/cmd/syscallflow/internal/recording"
	"onconn/internal/capture"
)

// Limits of what is kept.
const (
	maxPorts   = 16
	maxPackets = 100_000
	maxDepths  = 100_000
	maxOpening = 10_000
)

// A Watcher watches listeners as they come. The zero Watcher can't: see New.
type Watcher struct {
	time func(ns int64) recording.Time

	namespace *backlog.Namespace
	sources   []*capture.Source
	ports     map[uint16]bool
	work      sync.WaitGroup
	stop      chan struct{}

	mu        sync.Mutex
	listeners []listener
	packets   []recording.Packet
	depths    []recording.Depth
	lost      int
	unseen    []string
	refused   bool // no packets
}

type listener struct {
	follow.Listener
	address netip.AddrPort
	last    recording.Depth
	gone    bool
}

// New makes a Watcher. time converts CLOCK_REALTIME.
func New(time func(ns int64) recording.Time) *Watcher {
	w := &Watcher{time: time, ports: map[uint16]bool{}, stop: make(chan struct{})}
	var err error
	if w.namespace, err = backlog.OpenNamespace(""); err != nil {
		w.unseen = append(w.unseen, "The accept queues could not be watched: "+err.Error()+".")
	}
	return w
}

// Listening begins to watch a listener. It returns when no packet can be missed.
func (w *Watcher) Listening(l follow.Listener) {
	address, err := netip.ParseAddrPort(l.Address)
	if err != nil {
		return // a unix socket: no packets
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.ContainsFunc(w.listeners, func(o listener) bool { return o.Socket == l.Socket && !o.gone }) {
		return // it listens again, with another backlog
	}
	first := len(w.listeners) == 0
	w.listeners = append(w.listeners, listener{Listener: l, address: address})
	if first && w.namespace != nil {
		w.work.Go(w.poll)
	}
	if !w.ports[address.Port()] {
		w.ports[address.Port()] = true
		w.capture(address.Port())
	}
}

// capture opens a source for a port.
func (w *Watcher) capture(port uint16) {
	if w.refused {
		return
	}
	if len(w.sources) == maxPorts {
		w.unseen = append(w.unseen, fmt.Sprintf("Packets of port %d and further ones were not watched: more than %d ports.", port, maxPorts))
		w.refused = true
		return
	}
	source, err := capture.Open(capture.Config{Filter: capture.TCP(false, port), Buffer: 4 << 20})
	if err != nil {
		w.refused = true
		why := err.Error()
		if errors.Is(err, unix.EPERM) {
			why = "that needs root or CAP_NET_RAW"
		}
		w.unseen = append(w.unseen, "Packets were not watched: "+why+".")
		return
	}
	w.sources = append(w.sources, source)
	w.work.Go(func() { w.read(source) })
}

// read keeps packets until the source is closed.
func (w *Watcher) read(source *capture.Source) {
	opening := map[netip.AddrPort]uint32{} // clients, and what comes after their SYN
	for {
		p, err := source.Read()
		if err != nil {
			return
		}
		s, ok := capture.Parse(p)
		if !ok {
			continue
		}
		w.mu.Lock()
		if len(w.packets) == maxPackets {
			w.lost++
		} else {
			w.packets = append(w.packets, recording.Packet{
				Time: w.time(p.Time.UnixNano()), From: s.Src, To: s.Dst, Flags: flags(s.Flags),
				Seq: s.Seq, Ack: s.Ack, Size: s.Payload, Raw: append([]byte(nil), p.Data...),
			})
		}
		w.mu.Unlock()
		switch next, ok := opening[s.Src]; {
		case s.Flags&(capture.SYN|capture.ACK) == capture.SYN:
			if len(opening) >= maxOpening {
				clear(opening)
			}
			opening[s.Src] = s.Seq + 1
		case ok && s.Seq == next && s.Flags&capture.ACK != 0:
			delete(opening, s.Src)
			w.sample() // the last step of a handshake: one more waits
		}
	}
}

// flags prints those of a TCP header: "SA".
func flags(f capture.Flags) string {
	var b []byte
	for _, n := range []struct {
		flag capture.Flags
		name byte
	}{{capture.SYN, 'S'}, {capture.FIN, 'F'}, {capture.RST, 'R'}, {capture.PSH, 'P'}, {capture.ACK, 'A'}} {
		if f&n.flag != 0 {
			b = append(b, n.name)
		}
	}
	return string(b)
}

// poll samples the queues until the end.
func (w *Watcher) poll() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			w.sample()
		}
	}
}

// sample keeps what has changed in the queues.
func (w *Watcher) sample() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.namespace == nil {
		return
	}
	for i := range w.listeners {
		l := &w.listeners[i]
		if l.gone {
			continue
		}
		q, err := w.namespace.Lookup(l.address, l.Cookie)
		if err != nil {
			l.gone = errors.Is(err, unix.ENOENT)
			continue
		}
		d := recording.Depth{Time: w.time(time.Now().UnixNano()), Socket: l.Socket, Queue: q.Depth, Limit: q.Limit, Drops: int(q.Drops)}
		if d.Queue == l.last.Queue && d.Limit == l.last.Limit && d.Drops == l.last.Drops || len(w.depths) == maxDepths {
			continue
		}
		l.last = d
		w.depths = append(w.depths, d)
	}
}

// Finish ends watching, and adds what was seen to the recording.
func (w *Watcher) Finish(r *recording.Recording) {
	close(w.stop)
	for _, s := range w.sources {
		// What is in the buffer is read before the deadline ends Read.
		s.SetDeadline(time.Now().Add(50 * time.Millisecond))
	}
	w.work.Wait()
	for _, s := range w.sources {
		if n, err := s.Dropped(); err == nil {
			w.lost += int(n)
		}
		s.Close()
	}
	if w.namespace != nil {
		w.namespace.Close()
	}
	if w.lost > 0 {
		w.unseen = append(w.unseen, fmt.Sprintf("%d packets were lost.", w.lost))
	}
	r.Packets = w.packets
	r.Depths = append(r.Depths, w.depths...)
	r.Unseen = append(r.Unseen, w.unseen...)
	join(r, w.ports)
}
