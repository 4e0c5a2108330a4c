package lesson

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

var shared = Lesson{
	Title:    "a shared socket, and who gets the connections",
	Question: "Several processes accept from one socket. The kernel chooses among them: is that fair?",
	Try: []string{
		"NODE_CLUSTER_SCHED_POLICY=none strace -f -e trace=%network node cluster.js",
		"syscallflow sched                        # every way, idle and under load",
	},
	Think: "With EPOLLEXCLUSIVE one worker got nearly everything. Is that a reason not to use it?",
	Answer: "It depends on the load. The first worker gets everything only while it is waiting whenever a client comes; " +
		"when it is busy the others get theirs. What suffers is what lives with the connection: long-lived ones that " +
		"were opened in a quiet hour all sit in one process. nginx therefore takes its listener out of epoll and puts " +
		"it back now and then; SO_REUSEPORT (lesson 7) chooses by a hash.",
	run: runShared,
}

func runShared(ctx context.Context, r *Run) error {
	rec, err := r.cluster(ctx, "none", 4)
	if err != nil {
		return err
	}
	r.Recording = rec
	primary, workers := family(rec)
	node := strings.Contains(r.Program, "a Node cluster")
	for _, q := range rec.Requests {
		if q.Err != "" {
			return fmt.Errorf("a request failed: %s", q.Err)
		}
	}
	r.step("A primary and two workers, with no scheduling by the primary (Node: SCHED_NONE). 4 requests.")
	equal(r, "primary-accepts", "connections that the primary accepted", count(rec, []int{primary}, "accept", "accept4"), 0)
	r.holds("given", "listening sockets that the primary sent to workers", passed(rec, primary, true), "", "2 or more",
		passed(rec, primary, true) >= 2)
	equal(r, "worker-binds", "a worker called bind", count(rec, workers, "bind") > 0, false)
	if node {
		r.holds("worker-listens", "listen calls of the workers", count(rec, workers, "listen"), "", "at least 2",
			count(rec, workers, "listen") >= 2)
	}
	equal(r, "worker-accepts", "connections that the workers accepted", count(rec, workers, "accept", "accept4"), 4)

	const clients, processes = 120, 4
	r.step("Then, not traced so that nothing is slowed down: %d processes and %d clients, one after the other, for "+
		"each way of waiting. The process that began to wait first is counted first.", processes, clients)
	for _, way := range []struct{ id, what string }{
		{"blocking", "blocking in accept"},
		{"epoll", "epoll"},
		{"exclusive", "epoll with EPOLLEXCLUSIVE"},
	} {
		counts, err := share(ctx, way.id, processes, clients)
		if err != nil {
			return err
		}
		what := way.what + ", connections of each"
		busiest := slices.Max(counts)
		switch way.id {
		case "blocking":
			r.holds(way.id, what, sharesOf(counts), "", "about as many for each", busiest <= clients/2)
		case "exclusive":
			r.holds(way.id, what, sharesOf(counts), "", "most for the first", busiest == counts[0] && busiest > clients/2)
		default:
			r.value(way.id, what, sharesOf(counts), "")
		}
	}

	r.say("Here the primary passed not connections but the listening socket itself, by SCM_RIGHTS. It is one socket with "+
		"one queue; whoever calls accept first gets the oldest connection. unix(7), accept(2)", "primary-accepts", "given", "worker-accepts")
	if node {
		r.say("Node's workers call listen(2) on it once more. That is allowed: the socket is bound already, and listen on a "+
			"listening socket only sets its backlog anew. listen(2)", "worker-binds", "worker-listens")
	}
	r.say("Processes that block in accept wait in a line: who has waited longest is woken, so it is fair. accept(2)", "blocking")
	r.say("With epoll all are woken for each connection, and the fastest wins; the others find the queue empty (EAGAIN), " +
		"or notice that in time and sleep on. Who is fastest is chance, and uneven. epoll(7)")
	r.say("EPOLLEXCLUSIVE wakes only one, and among those that are idle always the one that registered first. "+
		"While little happens, that one gets nearly everything. epoll_ctl(2)", "exclusive")
	r.myth("\"The kernel prefers the process that was put to sleep last, since its caches are warm.\" (the article)",
		"It kept an order of registration, not of sleeping; and blocking processes got even shares.", "exclusive", "blocking")
	r.myth("\"EPOLLEXCLUSIVE balances the load.\"", "It spares needless wake-ups. At light load it is the opposite of balance.", "exclusive")
	return nil
}

// share has processes serve one socket, and counts what each gets of clients that
// come one after the other.
func share(ctx context.Context, way string, processes, clients int) ([]int, error) {
	s, err := start(ctx, false, "server")
	if err != nil {
		return nil, err
	}
	counts, err := s.share(ctx, way, processes, clients)
	_, ended := s.end()
	return counts, firstOf(s.failed, err, ended)
}

func (s *stage) share(ctx context.Context, way string, processes, clients int) ([]int, error) {
	fd, port := s.listener(128)
	if way != "blocking" {
		s.must("nonblock %d", fd)
	}
	var pids []string
	for i := range processes {
		pids = append(pids, s.must("spawn %d", fd))
		s.must("child %d serve 3 %s", i, way)
	}
	if s.failed != nil {
		return nil, s.failed
	}
	return s.tally(ctx, port, pids, clients)
}

// tally makes requests one after the other and counts who answered.
func (s *stage) tally(ctx context.Context, port int, pids []string, clients int) ([]int, error) {
	counts := make([]int, len(pids))
	for range clients {
		pid, err := s.once(ctx, port)
		if err != nil {
			return nil, fmt.Errorf("a request: %w", err)
		}
		i := slices.Index(pids, pid)
		if i < 0 {
			return nil, fmt.Errorf("an answer from process %q, of %q", pid, pids)
		}
		counts[i]++
		time.Sleep(time.Millisecond) // light load: who has answered waits again
	}
	return counts, nil
}
