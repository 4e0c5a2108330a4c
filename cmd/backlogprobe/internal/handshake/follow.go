package handshake

import (
	"errors"
	"net"
	"time"

	"onconn/internal/capture"
)

func (w *Watcher) run() {
	defer close(w.done)
	for {
		p, err := w.source.Read()
		if err != nil {
			w.mu.Lock()
			if !errors.Is(err, net.ErrClosed) {
				w.err = err
			}
			w.mu.Unlock()
			return
		}
		if s, ok := capture.Parse(p); ok {
			w.segment(p, s)
		}
	}
}

// loopback is the index of lo in every network namespace.
const loopback = 1

func (w *Watcher) segment(p capture.Packet, s capture.Segment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.Time.Sub(w.swept) > time.Second {
		w.sweep(p.Time)
	}
	local := p.Interface == loopback // both ends are here
	switch {
	case s.Flags&capture.RST != 0:
		delete(w.pending, flow{s.Src, s.Dst})
		delete(w.pending, flow{s.Dst, s.Src})
	case s.Flags&capture.ACK == 0 && (local || !p.Outgoing) && w.watched(s.Dst.Port()):
		w.syn(flow{s.Src, s.Dst}, s.Seq, p.Time)
	case s.Flags&capture.ACK != 0 && (local || p.Outgoing) && w.watched(s.Src.Port()):
		w.synack(flow{s.Dst, s.Src}, p.Time)
	}
}

func (w *Watcher) watched(port uint16) bool { return w.ports == nil || w.ports[port] }

func (w *Watcher) syn(f flow, isn uint32, now time.Time) {
	p := w.pending[f]
	switch {
	case p == nil || p.isn != isn:
		if p == nil && len(w.pending) == maxPending {
			w.missed++
			return
		}
		w.pending[f] = &pending{isn: isn, first: now, last: now, syns: 1}
		w.began[now.Unix()]++
		return
	case now.Sub(p.last) < copyWithin:
		return
	}
	if p.syns == 1 && p.synacks == 0 && now.Sub(p.last) > late {
		w.began[p.first.Unix()]-- // it was no first try
	}
	p.syns++
	p.last = now
	if p.synacks > 0 {
		return
	}
	if _, listens := w.queues.At(f.server); listens {
		p.path = SYNPath
	}
}

func (w *Watcher) synack(f flow, now time.Time) {
	p := w.pending[f]
	if p == nil || p.synacks > 0 && now.Sub(p.last) < copyWithin {
		return
	}
	p.synacks++
	p.last = now
	p.path = ""
	if p.synacks == 1 {
		return
	}
	if d, listens := w.queues.At(f.server); listens && d.Full() {
		p.path = ACKPath
	}
}

// sweep forgets handshakes whose next try is overdue: they got in, or gave up.
func (w *Watcher) sweep(now time.Time) {
	w.swept = now
	for f, p := range w.pending {
		if now.After(p.next().Add(late)) {
			delete(w.pending, f)
		}
	}
	for second := range w.began {
		if second < now.Unix()-2*memory {
			delete(w.began, second)
		}
	}
}

func (p *pending) tries() int { return max(p.syns, p.synacks) }

// next is when Linux would send again: SYNs after 1 s five times
// (tcp_syn_linear_timeouts and the first), then doubling; SYN-ACKs doubling from
// 1 s on.
func (p *pending) next() time.Time {
	wait := time.Second
	if p.synacks > 0 {
		wait <<= min(p.synacks-1, 6)
	} else {
		wait <<= min(max(p.syns-5, 0), 6)
	}
	return p.last.Add(wait)
}
