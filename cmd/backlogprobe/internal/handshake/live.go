package handshake

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"onconn/internal/capture"
)

// A Client is one connection attempt that the kernel doesn't let in.
type Client struct {
	Client, Server netip.AddrPort
	Path           Path
	Tries          int       // SYNs seen, or for a refused final ACK SYN-ACKs
	Since          time.Time // of its first SYN
	Next           time.Time // when Linux would try again
}

// A Path is which of the two doors of the accept queue was shut.
type Path string

const (
	SYNPath Path = "SYN refused"
	ACKPath Path = "final ACK refused" // the client believes that it is connected
)

// A Watcher knows the clients that wait in front of full accept queues. Its
// methods may be called from several goroutines.
type Watcher struct {
	source *capture.Source
	queues *Queues
	ports  map[uint16]bool
	done   chan struct{}

	mu      sync.Mutex
	pending map[flow]*pending
	began   map[int64]int // attempts, by the second of their first SYN
	start   time.Time
	swept   time.Time
	missed  uint64
	err     error
}

// A flow is a connection by its ends. The client is the one that sent the SYN.
type flow struct{ client, server netip.AddrPort }

// pending is a handshake that may yet be in trouble.
type pending struct {
	isn           uint32
	first, last   time.Time
	syns, synacks int
	path          Path // empty: not hurt, as far as we know
}

const (
	// maxPending bounds memory, to about 10 MB.
	maxPending = 1 << 16
	// copyWithin: the same segment again within this time is a copy, as a bridge
	// or a VLAN gives. No retransmission comes so soon.
	copyWithin = 50 * time.Millisecond
	// late is how much later than Linux would a client may retry.
	late = 1500 * time.Millisecond
)

// Live watches the handshakes with listeners on some ports, or on all, in the
// network namespace of a file such as /run/netns/blue; empty: ours. Only
// segments with SYN or RST are looked at, in both directions. It costs about
// 2 µs per connection. EPERM: it needs CAP_NET_RAW.
//
//	w, err := handshake.Live("", 8080)
//	...
//	defer w.Close()
//	for _, c := range w.Waiting() { ... }
func Live(netns string, ports ...uint16) (*Watcher, error) {
	source, err := capture.Open(capture.Config{
		Netns:  netns,
		Filter: capture.TCP(true, ports...),
		Snap:   128,
	})
	if err != nil {
		return nil, err
	}
	queues, err := OpenQueues(netns)
	if err != nil {
		source.Close()
		return nil, err
	}
	w := &Watcher{source: source, queues: queues, done: make(chan struct{}),
		pending: map[flow]*pending{}, began: map[int64]int{}, start: time.Now()}
	if len(ports) > 0 {
		w.ports = map[uint16]bool{}
		for _, p := range ports {
			w.ports[p] = true
		}
	}
	go w.run()
	return w, nil
}

// Waiting returns the clients that wait now, the longest first: until the kernel
// answers, or their next try is overdue. A SYN that a listener left unanswered
// counts from the second on. A SYN-ACK that is sent again while the queue is
// full counts as a refused final ACK, though the client may have sent none.
func (w *Watcher) Waiting() (all []Client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for f, p := range w.pending {
		if next := p.next(); p.path != "" && now.Before(next.Add(late)) {
			all = append(all, Client{f.client, f.server, p.path, p.tries(), p.first, next})
		}
	}
	slices.SortFunc(all, func(a, b Client) int {
		return cmp.Or(a.Since.Compare(b.Since), a.Client.Compare(b.Client))
	})
	return all
}

// Attempts is how many connections were tried for the first time, and in which
// time. The first two seconds are left out, in which those are seen that had
// tried before, and the last two, in which that isn't known yet: a client whose
// second SYN comes later than after one second, as Linux sends it, had begun
// earlier. At most ten minutes are remembered.
func (w *Watcher) Attempts() (n int, during time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first, last := w.start.Unix()+2, time.Now().Unix()-2
	first = max(first, last-memory+1)
	for second := first; second <= last; second++ {
		n += w.began[second]
	}
	return n, time.Duration(max(last-first+1, 0)) * time.Second
}

// memory is how many seconds Attempts knows.
const memory = 600

// Missed is how many packets and handshakes could not be looked at, since they
// came too fast or were too many: then Waiting may lack clients.
func (w *Watcher) Missed() uint64 {
	dropped, _ := w.source.Dropped()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.missed + dropped
}

// Err is why watching stopped, if it did.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close stops watching.
func (w *Watcher) Close() error {
	err := w.source.Close()
	<-w.done
	return cmp.Or(err, w.queues.Close())
}
