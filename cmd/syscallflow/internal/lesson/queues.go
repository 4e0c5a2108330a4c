package lesson

import (
	"context"
	"fmt"

	"onconn/backlog"
)

var queues = Lesson{
	Title:    "the two queues, and listen(n) = n+1",
	Question: "listen(fd, n): what does n count, and how many clients really fit?",
	Try: []string{
		"ss -ltn                      # Recv-Q of Send-Q: waiting, of the limit",
		"ss -tn state syn-recv        # the other queue: half-open ones",
		"backlogprobe -a              # both, for each listener",
		"sysctl net.core.somaxconn net.ipv4.tcp_syncookies",
	},
	Think: "A server listens with a backlog of 511 and net.core.somaxconn is 128. You raise somaxconn to 4096. " +
		"How many connections may wait now?",
	Answer: "129, as before: the limit is copied when listen is called. Only the next listen takes the new cap; " +
		"calling it again on the same socket is enough and loses nothing (backlogprobe set does that from outside).",
	run: runQueues,
}

func runQueues(ctx context.Context, r *Run) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.Close()
	r.Program = "a server that listens and never accepts"
	s, err := start(ctx, true, "server")
	if err != nil {
		return err
	}
	err = r.drawnQueue(s, k)
	recorded, ended := s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}
	r.Recording = recorded
	s, err = start(ctx, false, "server")
	if err != nil {
		return err
	}
	err = firstOf(r.acceptQueues(s, k), r.halfOpen(s, k))
	_, ended = s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}
	r.say("n counts no clients that are served. It is the limit of two queues of the listening socket: finished "+
		"connections that nobody has accepted, and half-open ones, whose handshake isn't finished. listen(2)",
		"half")
	r.say("Each holds one more than the limit, since the kernel refuses only when there are more than n "+
		"(sk_acceptq_is_full). So listen(0) is a server that works.", "held0", "held1", "held5")
	r.say("The limit is capped by net.core.somaxconn, silently: listen returns 0 all the same. ss -ltn shows what was "+
		"granted, in the column Send-Q. listen(2)", "clamped")
	r.say("When the queue of half-open ones is full, the kernel doesn't refuse: it answers with a SYN cookie and "+
		"remembers nothing. A client that proves with its ACK that it is there goes straight to the accept queue. "+
		"tcp(7), tcp_syncookies", "cookies")
	r.myth("\"backlog is the length of the SYN queue\", or: \"of both together\".",
		"It limits each of the two for itself.", "half", "held5")
	r.myth("\"listen(0) accepts nobody\", or: \"0 means the default\".", "One connection fits.", "held0")
	r.myth("\"Node's 511 is there because the kernel rounds 512 up to a power of two.\"",
		"Nothing is rounded: 5 gave 6, and not 8.", "held5")
	r.myth("\"Since Linux 2.2 the SYN queue's length is tcp_max_syn_backlog\" (so says listen(2)).",
		"With SYN cookies on it has no say: the half-open ones stopped at n+1 too.", "half", "cookies")
	return nil
}

// drawnQueue is the part that is drawn: three clients for listen(1).
func (r *Run) drawnQueue(s *stage, k kernel) error {
	_, port := s.listener(1)
	if s.failed != nil {
		return s.failed
	}
	clients, err := s.crowd(port, 3)
	defer clients.close()
	if err != nil {
		return err
	}
	in := clients.settled(2)
	equal(r, "held1", "listen(1): connected of 3 clients, without accept", in, 2)
	q, err := k.queue(port)
	if err != nil {
		return err
	}
	r.step("listen(fd, 1). 3 clients connect; %d get in, and wait. The server accepts nobody.", in)
	equal(r, "depth1", "listen(1): connections in the accept queue", q.Depth, 2)
	until(func() bool { return resent(clients) > 0 }) // so that it is in the recording
	return nil
}

// resent counts the clients that have sent their SYN again.
func resent(c *crowd) (n int) {
	for _, fd := range c.fds {
		if info, err := tcpInfo(int(fd)); err == nil && info.Total_retrans > 0 {
			n++
		}
	}
	return n
}

func (r *Run) acceptQueues(s *stage, k kernel) error {
	for _, n := range []int{0, 5} {
		_, port := s.listener(n)
		if s.failed != nil {
			return s.failed
		}
		clients, err := s.crowd(port, n+3)
		if err == nil {
			equal(r, fmt.Sprint("held", n), fmt.Sprintf("listen(%d): connected of %d clients", n, n+3), clients.settled(n+1), n+1)
		}
		clients.close()
		if err != nil {
			return err
		}
	}
	r.step("The same with listen(0) and listen(5), and three clients more than n.")
	sys, err := k.Sysctls()
	if err != nil {
		return err
	}
	_, port := s.listener(1<<31 - 1)
	q, err := k.queue(port)
	if err != nil {
		return firstOf(s.failed, err)
	}
	r.step("listen(2147483647), to see the cap.")
	r.value("somaxconn", "net.core.somaxconn", sys.Somaxconn, "")
	equal(r, "clamped", "listen(2147483647): limit granted", q.Limit, sys.Somaxconn)
	return nil
}

// halfOpen fills the other queue. TCP_DEFER_ACCEPT keeps connections half-open
// whose client is silent, so that needs no forged packets and no privilege.
func (r *Run) halfOpen(s *stage, k kernel) error {
	const n = 3
	sys, err := k.Sysctls()
	if err != nil {
		return err
	}
	fd := s.mustNumber("socket")
	s.must("defer %d 10", fd)
	port := s.mustNumber("bind %d 0", fd)
	s.must("listen %d %d", fd, n)
	if s.failed != nil {
		return s.failed
	}
	clients, err := s.crowd(port, n+1)
	defer clients.close()
	if err != nil {
		return err
	}
	half, q := 0, backlog.Listener{}
	look := func(waiting int) func() bool {
		return func() bool {
			open, err := k.HalfOpen(uint16(port))
			if err != nil {
				return false
			}
			half = len(open)
			q, err = k.queue(port)
			return err == nil && half == n+1 && q.Depth == waiting
		}
	}
	until(look(0))
	r.step("listen(%d) with TCP_DEFER_ACCEPT, which keeps silent clients half-open: %d of them.", n, n+1)
	equal(r, "half", fmt.Sprintf("listen(%d): half-open connections, of %d", n, n+1), half, n+1)
	equal(r, "neither", "meanwhile in the accept queue", q.Depth, 0)
	if err := clients.add(port, 2); err != nil {
		return err
	}
	until(look(2))
	r.step("Two clients more than that.")
	r.value("syncookies", "net.ipv4.tcp_syncookies", sys.SynCookies, "")
	equal(r, "still", "half-open ones now", half, n+1)
	r.holds("cookies", "in the accept queue now, by SYN cookie", q.Depth, "", "2, where tcp_syncookies is 1", q.Depth == 2)
	return nil
}
