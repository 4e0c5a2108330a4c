package lesson

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

var overflow = Lesson{
	Title:    "overflow, and what the client sees",
	Question: "The accept queue is full. What is the next client told?",
	Try: []string{
		"nstat -az TcpExtListenOverflows TcpExtListenDrops   # of the whole host",
		"ss -ltnm                 # d<N> in skmem: refused segments of this listener",
		"backlogprobe explain ListenOverflows           # what it counts, and what not",
	},
	Think: "ListenOverflows grew by 40 in a minute. How many clients were lost?",
	Answer: "It can't be told from that. It counts refused segments, and a client sends several: each " +
		"SYN that it repeats counts again. And a client that gets in with its second SYN isn't lost, it is a second late. " +
		"Their number shows in the latencies: look for those of a second and more.",
	run: runOverflow,
}

func runOverflow(ctx context.Context, r *Run) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.Close()
	r.Program = "a server that listens with a backlog of 1 and is busy"
	s, err := start(ctx, true, "server")
	if err != nil {
		return err
	}
	err = r.overflow(s, k)
	recorded, ended := s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}
	r.Recording = recorded
	return nil
}

func (r *Run) overflow(s *stage, k kernel) error {
	fd, port := s.listener(1)
	if s.failed != nil {
		return s.failed
	}
	counters, err := k.Counters()
	if err != nil {
		return err
	}
	full, err := s.crowd(port, 2)
	defer full.close()
	if err != nil {
		return err
	}
	equal(r, "full", "clients that fill the queue of listen(1)", full.settled(2), 2)

	// One that gives up early.
	drops, err := k.drops(port)
	if err != nil {
		return err
	}
	began := time.Now()
	lost, err := s.crowd(port, 1, func(fd sock.FD) error { return sock.SynCnt.Set(fd, 1) })
	defer lost.close()
	if err != nil {
		return err
	}
	end := lost.outcome(patience)
	took := time.Since(began)
	lost.note(end)
	after, err := k.drops(port)
	if err != nil {
		return err
	}
	counted := after - drops
	r.step("Two clients fill the queue. A third connects, and is told to give up early (TCP_SYNCNT 1): %s.", end)
	equal(r, "lost", "what connect of the third client ended with", end, "ETIMEDOUT")
	r.value("tried", "after", took, "ms")
	r.holds("counted", "refused segments that the kernel counted for this one client", counted, "", "more than 1", counted > 1)

	// One that has patience, while the server is busy for a moment.
	before := after
	began = time.Now()
	late, err := s.crowd(port, 1)
	defer late.close()
	if err != nil {
		return err
	}
	until(func() bool { after, err = k.drops(port); return err == nil && after > before })
	s.must("accept %d", fd)
	busy := time.Since(began)
	got := late.outcome(patience)
	took = time.Since(began)
	late.note(got)
	s.must("accept %d", fd) // so that the drawing has them all
	s.must("accept %d", fd)
	r.step("A fourth client connects, and the server accepts one right after its SYN was refused: %s.", got)
	r.value("busy", "the queue was full for", busy, "ms")
	equal(r, "got", "what connect of the fourth client ended with", got, "ok")
	r.holds("late", "it waited", took, "ms", "about 1000, the time until the second SYN", took > 500*time.Millisecond && took > busy)
	if now, err := k.Counters(); err == nil {
		d := now.Sub(counters)
		r.value("overflows", "ListenOverflows of this host meanwhile", d["TcpExtListenOverflows"], "")
	}

	closed := outcomeOfClosed()
	r.step("For comparison: a client connects to a port where nobody listens: %s.", closed)
	equal(r, "closed", "connect where nobody listens", closed, "ECONNREFUSED")

	r.say("It is told nothing. The kernel throws the SYN away, whatever tcp_abort_on_overflow says, and counts it. "+
		"For the client that looks like a lost packet: it sends the SYN again, after a second, and gives up in the "+
		"end with ETIMEDOUT. listen(2)", "lost")
	r.say("So a queue that is full for a moment costs a client a whole second. Whoever looks for overflows looks for "+
		"latencies of a second and more, not for errors. tcp(7)", "got", "late")
	r.say(fmt.Sprintf("The counters count segments. The third client alone counted %d times; ListenOverflows does "+
		"that for all listeners of the host together. nstat(8)", counted), "counted")
	r.say("There is a second way, rarer: the queue fills up between SYN and the last ACK of a handshake. Then the " +
		"client believes that it is connected; syscallflow marks it (\"no room\"), and backlogprobe explain tells the two apart.")
	r.myth("\"Overflow gives ECONNREFUSED.\"", "That means that nobody listens. A full queue is silence.", "lost", "closed")
	r.myth("\"ListenOverflows = lost clients.\"",
		"The fourth client was refused, was counted, and got in.", "got", "counted")
	return nil
}

// drops is what a listener has refused so far.
func (k kernel) drops(port int) (int, error) {
	l, err := k.queue(port)
	return int(l.Drops), err
}

// outcome waits for the first client's connect.
func (c *crowd) outcome(patience time.Duration) string {
	fd := c.fds[0]
	wait := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for end := time.Now().Add(patience); ; {
		left := time.Until(end)
		if left <= 0 {
			return "no answer"
		}
		if n, err := unix.Poll(wait, int(left.Milliseconds())+1); n > 0 && err == nil {
			break
		}
	}
	number, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && number != 0 {
		err = unix.Errno(number)
	}
	return outcome(err)
}

// note has the drawing say what the first client's connect ended with.
func (c *crowd) note(outcome string) {
	q := &c.stage.asked[c.first]
	q.End = c.stage.time(time.Now())
	if outcome != "ok" {
		q.Err = "connect: " + outcome
	}
}

// outcomeOfClosed connects to a port that is bound and doesn't listen.
func outcomeOfClosed() string {
	var fds [2]sock.FD
	for i := range fds {
		fd, err := sock.Socket(sock.Inet, sock.Stream, sock.TCP)
		if err != nil {
			return outcome(err)
		}
		defer fd.Close()
		fds[i] = fd
	}
	if err := fds[0].Bind(sock.IPAddr(loopback(0))); err != nil {
		return outcome(err)
	}
	a, err := fds[0].Getsockname()
	if err != nil {
		return outcome(err)
	}
	if err := fds[1].Connect(a); !errors.Is(err, unix.EINPROGRESS) {
		return outcome(err)
	}
	return (&crowd{fds: fds[1:]}).outcome(patience)
}
