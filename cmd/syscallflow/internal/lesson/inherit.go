package lesson

import (
	"context"
	"fmt"

	"onconn/cmd/syscallflow/internal/recording"
)

var inherited = Lesson{
	Title:    "an inherited descriptor",
	Question: "A child has its parent's listening socket from birth. What may it do with it?",
	Try: []string{
		"ls -l /proc/PID/fd      # socket:[INODE], the same in both processes",
		"systemd-socket-activate -l 8000 python3 server.py    # sd_listen_fds(3)",
		"syscallflow -- onconn --mode shared    # the listener passed by SCM_RIGHTS",
	},
	Think:  "The parent closes its descriptor, or dies. What becomes of the clients in the queue?",
	Answer: "Nothing: the queue belongs to the socket, and that lives as long as any process has a descriptor for it. This is how systemd keeps clients waiting while a service restarts, and how a server is replaced without loss (lesson 8).",
	run:    runInherited,
}

func runInherited(ctx context.Context, r *Run) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.Close()
	r.Program = "a server that starts a child, which inherits its listening socket"
	s, err := start(ctx, true, "server")
	if err != nil {
		return err
	}
	pids, err := r.inherit(ctx, s, k)
	rec, ended := s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}
	r.Recording = rec
	primary, children := family(rec)
	if len(children) != 1 || fmt.Sprint(primary) != pids[0] || fmt.Sprint(children[0]) != pids[1] {
		return fmt.Errorf("the recording has processes %d and %d, but %s served", primary, children, pids)
	}
	first, ok := firstAccept(rec, children[0])
	if !ok {
		return fmt.Errorf("the child accepted nothing")
	}
	before := 0
	for _, c := range find(rec, children, "socket", "bind", "listen") {
		if c.Begin < first.End {
			before++
		}
	}
	equal(r, "calls", "calls of socket, bind and listen of the child before its first connection", before, 0)
	equal(r, "same", "what the child accepted from is the parent's socket", first.FD.Socket == listening(rec).ID, true)

	r.say("A new process has a copy of every descriptor of its parent, and those that aren't close-on-exec stay when it "+
		"becomes another program. Copied is the number in the table; the socket behind it, with its queue, "+
		"is one. fork(2), execve(2)", "calls", "same")
	r.say("So the child served without ever having made a socket, bound it or listened; and both could accept. "+
		"accept(2)", "calls", "child", "both")
	r.say("bind is refused, since the socket has an address. listen isn't: it set the backlog of the one socket, "+
		"for the parent too. listen(2)", "bind", "listen", "limit")
	r.myth("\"In the child, bind and listen can't be called any more, only accept, read and write.\" (the article)",
		"That is so for bind, in the parent too. listen may be called by everyone who has the socket; "+
			"Node's workers do so with SCHED_NONE (lesson 5).", "bind", "listen", "limit")
	return nil
}

// inherit returns the numbers of the two processes, parent first.
func (r *Run) inherit(ctx context.Context, s *stage, k kernel) (pids [2]string, err error) {
	fd, port := s.listener(4)
	pids[1] = s.must("spawn %d", fd)
	s.must("child 0 serve 3 blocking")
	if s.failed != nil {
		return pids, s.failed
	}
	byChild := 0
	for range 2 {
		pid, err := s.once(ctx, port)
		if err != nil {
			return pids, err
		}
		if pid == pids[1] {
			byChild++
		}
	}
	r.step("The parent calls socket, bind and listen, and starts a child. The child accepts; the parent doesn't. 2 requests.")
	equal(r, "child", "requests that the child answered, of 2", byChild, 2)

	s.must("serve %d blocking", fd)
	var got []string
	for range 4 {
		pid, err := s.once(ctx, port)
		if err != nil {
			return pids, err
		}
		got = append(got, pid)
	}
	parent, child := 0, 0
	for _, pid := range got {
		if pid == pids[1] {
			child++
			continue
		}
		parent++
		pids[0] = pid
	}
	r.step("Now the parent accepts too. 4 requests.")
	r.holds("both", "of 4 requests, answered by parent / child", fmt.Sprintf("%d / %d", parent, child), "", "each some", parent > 0 && child > 0)
	if parent == 0 {
		return pids, fmt.Errorf("the parent got none of 4 requests, so there is nothing to compare")
	}

	before, err := k.queue(port)
	if err != nil {
		return pids, err
	}
	_, err = s.tell("child 0 bind 3 0")
	equal(r, "bind", "bind, called by the child", outcome(err), "EINVAL")
	_, err = s.tell("child 0 listen 3 7")
	equal(r, "listen", "listen(3, 7), called by the child", outcome(err), "ok")
	after, err := k.queue(port)
	if err != nil {
		return pids, err
	}
	r.step("The child calls bind, and listen(3, 7).")
	equal(r, "limit", "limit of the queue, before and after", fmt.Sprintf("%d, %d", before.Limit, after.Limit), "4, 7")
	return pids, nil
}

// firstAccept is the first connection that a process accepted.
func firstAccept(rec *recording.Recording, pid int) (recording.Call, bool) {
	for _, c := range find(rec, []int{pid}, "accept", "accept4") {
		if c.Errno == "" && c.New != nil {
			return c, true
		}
	}
	return recording.Call{}, false
}
