package lesson

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
)

var robin = Lesson{
	Title:    "round robin: the worker never binds or listens",
	Question: "All workers of a Node cluster call listen(8000). Why is there no EADDRINUSE, and who accepts?",
	Try: []string{
		"strace -f -e trace=%network node cluster.js    # nodejs.org/api/cluster.html",
		"ss -ltnp 'sport = :8000'     # one listener, and its owner: the primary",
		"syscallflow -- node cluster.js",
	},
	Think: "The primary hangs in a loop for ten seconds. What becomes of clients that a worker has already, and of new " +
		"ones?",
	Answer: "The workers go on with theirs: they read and write by themselves, without the primary. New clients get " +
		"connected, by the kernel, and wait in the accept queue until the primary accepts again, or until it is full " +
		"(lesson 3). The primary should do nothing but accept and hand over.",
	run: runRobin,
}

func runRobin(ctx context.Context, r *Run) error {
	rec, err := r.cluster(ctx, "rr", 4)
	if err != nil {
		return err
	}
	r.Recording = rec
	primary, workers := family(rec)
	all := append([]int{primary}, workers...)
	r.step("A primary starts %d workers; each calls listen on the same port. Then 4 requests, one after the other.", len(workers))
	for _, q := range rec.Requests {
		if q.Err != "" {
			return fmt.Errorf("a request failed: %s", q.Err)
		}
	}
	equal(r, "processes", "workers", len(workers), 2)
	listens := count(rec, []int{primary}, "listen")
	r.holds("listens", "listen calls of the primary", listens, "", "at least 1", listens >= 1)
	equal(r, "worker-binds", "a worker called bind", count(rec, workers, "bind") > 0, false)
	equal(r, "worker-listens", "a worker called listen", count(rec, workers, "listen") > 0, false)
	equal(r, "worker-accepts", "a worker called accept", count(rec, workers, "accept", "accept4") > 0, false)
	equal(r, "accepts", "connections that the primary accepted", count(rec, []int{primary}, "accept", "accept4"), 4)
	equal(r, "passed", "connections that it sent to workers (SCM_RIGHTS)", passed(rec, primary, false), 4)
	equal(r, "proxied", "the primary read or wrote bytes of a connection", touched(rec, primary), false)
	got := served(rec, workers)
	r.holds("served", "connections answered by each worker", sharesOf(got), "", "each some", len(got) == 2 && slices.Min(got) > 0)
	equal(r, "errors", "bind or listen failed", failedCalls(rec, all), false)
	if l := listening(rec); l.Backlog > 0 {
		r.value("backlog", "limit that listen granted", l.Backlog, "")
	}

	r.say("A worker's listen isn't listen(2). It asks the primary, over a channel that it has from it, for a server "+
		"on that port. The primary opens one socket, once. So there is nothing to be in use. socketpair(2), unix(7)",
		"worker-binds", "worker-listens", "errors")
	r.say("The primary accepts each connection, chooses a worker, and sends it the descriptor in a message with "+
		"SCM_RIGHTS. The worker gets a descriptor of its own for the same connection, and reads and writes it as if it "+
		"had accepted. unix(7)", "accepts", "passed", "worker-accepts")
	r.say("Whose turn it is the primary decides, in the program, so that everyone gets a share also where little "+
		"happens. Lesson 5 shows what the kernel does when it has to decide.", "served")
	r.myth("\"The primary is a proxy.\"", "It read and wrote nothing of any connection.", "proxied")
	r.myth("\"Several processes on one port need SO_REUSEPORT.\"",
		"Not these: only one socket was bound. Lesson 7 has the other way.", "worker-binds")
	return nil
}

// touched reports whether a process read or wrote on an accepted connection.
func touched(rec *recording.Recording, pid int) bool {
	accepted := connections(rec)
	for _, c := range find(rec, []int{pid}, "read", "readv", "recv", "recvfrom", "recvmsg", "write", "writev", "send", "sendto", "sendmsg") {
		if c.FD != nil && accepted[c.FD.Socket] && c.Return > 0 {
			return true
		}
	}
	return false
}

// connections are the sockets that were accepted.
func connections(rec *recording.Recording) map[recording.SocketID]bool {
	accepted := map[recording.SocketID]bool{}
	for _, s := range rec.Sockets {
		if s.From != 0 {
			accepted[s.ID] = true
		}
	}
	return accepted
}

// served counts the connections to which each process wrote an answer.
func served(rec *recording.Recording, pids []int) (counts []int) {
	accepted := connections(rec)
	for _, pid := range pids {
		answered := map[recording.SocketID]bool{}
		for _, c := range find(rec, []int{pid}, "write", "writev", "send", "sendto", "sendmsg") {
			if c.FD != nil && accepted[c.FD.Socket] && c.Return > 0 {
				answered[c.FD.Socket] = true
			}
		}
		counts = append(counts, len(answered))
	}
	return counts
}

func sharesOf(counts []int) string {
	var parts []string
	for _, n := range counts {
		parts = append(parts, fmt.Sprint(n))
	}
	return strings.Join(parts, " / ")
}

// failedCalls reports whether a bind or listen failed.
func failedCalls(rec *recording.Recording, pids []int) bool {
	return slices.ContainsFunc(find(rec, pids, "bind", "listen"), func(c recording.Call) bool { return c.Errno != "" })
}
