package lesson

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/internal/clients"
)

var reload = Lesson{
	Title:    "reload without loss",
	Question: "A new version of a server takes over. What becomes of the clients that wait in the queue?",
	Try: []string{
		"nstat -az TcpExtTCPAbortOnClose TcpOutRsts      # before and after a restart",
		"onconn -- ./server            # and in another terminal:  onconn reload",
		"sysctl net.ipv4.tcp_migrate_req",
	},
	Think: "A server stops accepting, answers everyone that it has, and then closes its listening socket. " +
		"Whom does it lose?",
	Answer: "Those in the accept queue, and those in the middle of the handshake: it never had them, and the kernel resets " +
		"both when the last descriptor is closed. Nothing is lost if the socket isn't closed: if another process has it, " +
		"by inheritance, by SCM_RIGHTS or kept by systemd.",
	run: runReload,
}

func runReload(ctx context.Context, r *Run) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.Close()
	r.Program = "an old server (the primary) and its successor (the worker)"
	s, err := start(ctx, true, "server")
	if err != nil {
		return err
	}
	err = r.handOver(ctx, s, k)
	rec, ended := s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}
	r.Recording = rec

	if s, err = start(ctx, false, "server"); err != nil {
		return err
	}
	err = firstOf(r.closeOne(s, k), r.closeHalfOpen(s, k))
	_, ended = s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}
	if err := r.reloadCluster(ctx); err != nil {
		return err
	}

	r.say("The queue belongs to the socket, and the socket lives until its last descriptor is closed. The old server "+
		"closed its own while clients waited, and nothing happened to them: the new one had a descriptor too, and took "+
		"them over. close(2), fork(2)", "waiting", "after", "answered")
	r.say("A socket of one's own is different. With its last close the kernel resets what waits in its queue, also in a "+
		"SO_REUSEPORT group where others could take it, unless net.ipv4.tcp_migrate_req is 1. "+
		"The clients were connected, had perhaps sent a request, and get ECONNRESET. socket(7)", "reset")
	r.say("To accept until EAGAIN before the close isn't enough: connections whose handshake isn't finished are in the "+
		"other queue (lesson 2). They were lost though the accept queue was empty. On a real network there are always "+
		"some: all that began within the last round trip.", "drained", "half-lost")
	r.say("onconn keeps the sockets in the primary, in every mode. Workers come and go; no queue is closed. That is why a "+
		"reload under load lost nothing.", "replaced", "lost")
	r.myth("\"Stop accepting, drain, close: so a restart with SO_REUSEPORT loses nobody.\"",
		"It lost every connection that was half-open.", "half-lost")
	r.myth("\"A listening socket is a process's own.\"", "It is whose descriptor it is: of several processes, one after the other, too.", "answered")
	return nil
}

// handOver is what is drawn: clients wait while the server changes.
func (r *Run) handOver(ctx context.Context, s *stage, k kernel) error {
	const n = 3
	fd, port := s.listener(16)
	if s.failed != nil {
		return s.failed
	}
	var waiting []*client
	defer func() {
		for _, c := range waiting {
			c.Close()
		}
	}()
	for range n {
		c, err := s.dial(ctx, port)
		if err != nil {
			return err
		}
		waiting = append(waiting, c)
		if err := c.send("hello"); err != nil {
			return err
		}
	}
	q, err := k.queue(port)
	if err != nil {
		return err
	}
	r.step("The old server listens. %d clients connect and send a request; nobody accepts.", n)
	equal(r, "waiting", "connections in the queue", q.Depth, n)
	successor := s.must("spawn %d", fd)
	s.must("close %d", fd)
	if q, err = k.queue(port); err != nil {
		return firstOf(s.failed, err)
	}
	r.step("It starts its successor, which inherits the descriptor, and closes its own.")
	equal(r, "after", "connections in the queue then", q.Depth, n)
	s.must("child 0 serve 3 blocking")
	answered := 0
	for _, c := range waiting {
		if pid, err := c.answer(); err == nil && pid == successor {
			answered++
		}
	}
	r.step("The successor accepts.")
	equal(r, "answered", "clients that it answered", answered, n)
	return s.failed
}

// closeOne closes one socket of a group while clients wait.
func (r *Run) closeOne(s *stage, k kernel) error {
	const n = 12
	sys, err := k.Sysctls()
	if err != nil {
		return err
	}
	leaving, port := s.listener(32, "reuseport")
	staying := s.mustNumber("socket")
	s.must("reuseport %d", staying)
	s.must("bind %d %d", staying, port)
	s.must("listen %d 64", staying)
	if s.failed != nil {
		return s.failed
	}
	c, err := s.crowd(port, n)
	defer c.close()
	if err != nil {
		return err
	}
	c.settled(n)
	found, err := k.listeners(port)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(found, func(l backlog.Listener) bool { return l.Limit == 32 })
	if i < 0 {
		return fmt.Errorf("the socket of port %d wasn't found: %w", port, unix.ENOENT)
	}
	had := found[i].Depth
	s.must("close %d", leaving)
	until(func() bool { return c.reset() == had })
	r.step("Not traced: two sockets with SO_REUSEPORT, and %d clients. One of them, with %d in its queue, is closed.", n, had)
	r.value("migrate", "net.ipv4.tcp_migrate_req", sys.MigrateReq, "")
	r.holds("reset", fmt.Sprintf("clients that were reset, of %d in the closed queue", had), c.reset(), "",
		"all, where tcp_migrate_req is 0", had > 0 && c.reset() == had)
	s.must("close %d", staying)
	return s.failed
}

// closeHalfOpen is a restart with SO_REUSEPORT while handshakes are not finished: those
// of silent clients with TCP_DEFER_ACCEPT.
func (r *Run) closeHalfOpen(s *stage, k kernel) error {
	const n = 3
	var fds [2]int
	port := 0
	join := func(i int) {
		fds[i] = s.mustNumber("socket")
		s.must("reuseport %d", fds[i])
		s.must("defer %d 10", fds[i])
		port = s.mustNumber("bind %d %d", fds[i], port)
		s.must("listen %d 16", fds[i])
	}
	join(0)
	s.must("nonblock %d", fds[0])
	if s.failed != nil {
		return s.failed
	}
	c, err := s.crowd(port, n)
	defer c.close()
	if err != nil {
		return err
	}
	half := 0
	until(func() bool {
		open, err := k.HalfOpen(uint16(port))
		half = len(open)
		return err == nil && half == n && c.connected() == n
	})
	join(1)
	_, err = s.tell("accept %d", fds[0])
	s.must("close %d", fds[0])
	c.say("hello")
	until(func() bool { return c.reset() == n })
	r.step("%d clients are half-open at the server, and connected as they believe (TCP_DEFER_ACCEPT stands for a long "+
		"way). A new server joins by SO_REUSEPORT; the old one accepts until EAGAIN, and closes. Then they send a request.", half)
	equal(r, "drained", "accept of the old server, before its close", outcome(err), "EAGAIN")
	r.holds("half-lost", fmt.Sprintf("clients that were reset, of %d half-open ones", half), c.reset(), "",
		"all, where tcp_migrate_req is 0", half == n && c.reset() == n)
	return s.failed
}

// reloadCluster reloads a real cluster under load.
func (r *Run) reloadCluster(ctx context.Context) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s, err := start(ctx, false, "cluster", "rr", fmt.Sprint(port))
	if err != nil {
		return err
	}
	err = r.reloading(s, port)
	_, ended := s.end()
	return firstOf(s.failed, err, ended)
}

func (r *Run) reloading(s *stage, port int) error {
	workers := func() []string { return strings.Fields(s.must("workers")) }
	var before, after []string
	if !within(patience, func() bool { before = workers(); return len(before) == 2 || s.failed != nil }) || s.failed != nil {
		return firstOf(s.failed, fmt.Errorf("the cluster has workers %q, not 2", before))
	}
	run := clients.Start(clients.Config{Address: loopback(port).String(), Clients: 4, Timeout: patience})
	within(patience, func() bool { return run.Counts().OK > 50 })
	s.must("reload")
	during := run.Counts().OK
	within(patience, func() bool { return run.Counts().OK > during+50 })
	within(patience, func() bool { after = workers(); return len(after) == 2 || s.failed != nil })
	counts := run.Stop()
	old := 0
	for _, pid := range after {
		if slices.Contains(before, pid) {
			old++
		}
	}
	r.step("onconn, two workers, 4 clients that ask all the time: reload.")
	equal(r, "replaced", "workers from before that still serve", old, 0)
	r.value("requests", "requests meanwhile", counts.All(), "")
	equal(r, "lost", "of these, lost", counts.Lost(), 0)
	return s.failed
}
