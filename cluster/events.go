package cluster

import "sync"

// maxMessages is how many events may wait for OnEvent before workers that send
// messages have to wait too.
const maxMessages = 1024

// An eventQueue brings events to OnEvent in order. Telling what happens to a
// worker never blocks, or a slow OnEvent could keep the primary from acting.
type eventQueue struct {
	mu      sync.Mutex
	change  sync.Cond // of all below
	events  []Event
	telling bool // f runs
	closed  bool
}

func newEventQueue() *eventQueue {
	q := &eventQueue{}
	q.change.L = &q.mu
	return q
}

// push adds an event.
func (q *eventQueue) push(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = append(q.events, e)
	q.change.Broadcast()
}

// wait is called when a message has been added, and waits while there are many.
func (q *eventQueue) wait() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.events) >= maxMessages && !q.closed {
		q.change.Wait()
	}
}

// idle reports whether all events have been told.
func (q *eventQueue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events) == 0 && !q.telling
}

// close ends run when all events have been told.
func (q *eventQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.change.Broadcast()
}

// run calls f for each event until the queue is closed.
func (q *eventQueue) run(f func(Event)) {
	for {
		q.mu.Lock()
		for len(q.events) == 0 && !q.closed {
			q.change.Wait()
		}
		events := q.events
		q.events, q.telling = nil, true
		q.change.Broadcast()
		q.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			f(e)
		}
		q.mu.Lock()
		q.telling = false
		q.mu.Unlock()
	}
}
