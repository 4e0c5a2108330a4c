package lesson

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"onconn/backlog"
)

var reuseports = Lesson{
	Title:    "SO_REUSEPORT: a queue for each process",
	Question: "Two processes bind and listen on the same port, and neither fails. Who gets which client?",
	Try: []string{
		"ss -ltnp 'sport = :8000'      # as many rows as sockets, each with its queue",
		"strace -f -e trace=%network nginx -g 'daemon off;'  # with listen 80 reuseport",
		"onconn --mode reuseport       # and --policy, which replaces the hash",
	},
	Think: "One of four workers hangs for a minute. What happens to its clients with a shared socket, and what with " +
		"SO_REUSEPORT?",
	Answer: "From a shared socket the other three take everything. In a SO_REUSEPORT group the kernel goes on giving " +
		"a quarter of the clients to the queue of the worker that hangs: first they wait there, then their SYNs are " +
		"dropped, while the others idle. Someone has to take its socket out of the group, or steer around it.",
	run: runReusePort,
}

func runReusePort(ctx context.Context, r *Run) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.Close()
	r.Program = "a server with two workers, each with a socket of its own"
	s, err := start(ctx, true, "server")
	if err != nil {
		return err
	}
	err = r.group(ctx, s, k)
	rec, ended := s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}
	r.Recording = rec
	_, workers := family(rec)
	equal(r, "own", "each worker called bind and listen itself", count(rec, workers, "bind") == 2 && count(rec, workers, "listen") == 2, true)

	s, err = start(ctx, false, "server")
	if err != nil {
		return err
	}
	err = firstOf(r.spread(ctx, s), r.noSpill(s, k))
	_, ended = s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}
	r.say("With SO_REUSEPORT on all of them, several sockets may listen on one port. The processes have nothing in "+
		"common but their user: the effective uid must be the same, else anybody could take a share of your port. socket(7)",
		"own", "without")
	r.say("Each has a queue of its own. For each SYN the kernel computes a hash of the four numbers of the connection "+
		"(both addresses and ports), which chooses the socket. Nobody is woken in vain, and with many clients the shares "+
		"are even. socket(7)", "sockets", "spread")
	r.say("But it is only a hash: it doesn't look whether the process is busy, or whether its queue is full. "+
		"When one was full, its clients were refused while there was room beside it. listen(2)", "full", "room", "refused")
	r.myth("\"SO_REUSEPORT balances the load.\"", "It balances the number of clients. A full queue doesn't spill over to its neighbour.", "full", "room", "refused")
	r.myth("\"SO_REUSEADDR and SO_REUSEPORT are the same.\"",
		"On Linux they aren't: two sockets that listen on one port need SO_REUSEPORT, on both. Lesson 9 has the other.", "without")
	return nil
}

// group is what is drawn: two workers and some requests.
func (r *Run) group(ctx context.Context, s *stage, k kernel) error {
	port := 0
	for i := range 2 {
		s.must("spawn")
		fd := s.mustNumber("child %d socket", i)
		s.must("child %d reuseport %d", i, fd)
		port = s.mustNumber("child %d bind %d %d", i, fd, port)
		s.must("child %d listen %d 16", i, fd)
		s.must("child %d serve %d blocking", i, fd)
	}
	if s.failed != nil {
		return s.failed
	}
	found, err := k.listeners(port)
	if err != nil {
		return err
	}
	r.step("Two workers: each calls socket, setsockopt(SO_REUSEPORT), bind and listen, on one port.")
	equal(r, "sockets", "sockets that listen on the port", len(found), 2)
	for range 4 {
		if _, err := s.once(ctx, port); err != nil {
			return err
		}
	}
	r.step("4 requests.")
	fd := s.mustNumber("socket")
	_, err = s.tell("bind %d %d", fd, port)
	r.step("A third socket, without the option, is bound to the port: %s.", outcome(err))
	equal(r, "without", "bind without SO_REUSEPORT", outcome(err), "EADDRINUSE")
	return nil
}

// spread counts what each of four sockets gets of many clients.
func (r *Run) spread(ctx context.Context, s *stage) error {
	const processes, clients = 4, 400
	var pids []string
	port := 0
	for i := range processes {
		pids = append(pids, s.must("spawn"))
		fd := s.mustNumber("child %d socket", i)
		s.must("child %d reuseport %d", i, fd)
		port = s.mustNumber("child %d bind %d %d", i, fd, port)
		s.must("child %d listen %d 128", i, fd)
		s.must("child %d serve %d blocking", i, fd)
	}
	if s.failed != nil {
		return s.failed
	}
	counts, err := s.tally(ctx, port, pids, clients)
	if err != nil {
		return err
	}
	r.step("Not traced: %d workers, and %d clients one after the other.", processes, clients)
	// A hash is chance: a share is 100 on average, give or take 9.
	r.holds("spread", "connections of each worker", sharesOf(counts), "", "about a quarter for each", slices.Min(counts) > clients/10)
	return nil
}

// noSpill fills one queue of two.
func (r *Run) noSpill(s *stage, k kernel) error {
	const clients = 24
	_, port := s.listener(0, "reuseport")
	large := s.mustNumber("socket")
	s.must("reuseport %d", large)
	s.must("bind %d %d", large, port)
	s.must("listen %d 64", large)
	if s.failed != nil {
		return s.failed
	}
	c, err := s.crowd(port, clients)
	defer c.close()
	if err != nil {
		return err
	}
	in := c.settled(clients / 4)
	found, err := k.listeners(port)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(found, func(l backlog.Listener) bool { return l.Limit == 0 })
	j := slices.IndexFunc(found, func(l backlog.Listener) bool { return l.Limit == 64 })
	if i < 0 || j < 0 {
		return fmt.Errorf("the two sockets of port %d weren't found: %w", port, unix.ENOENT)
	}
	r.step("Two sockets of which one has a queue for 1 connection, the other for 65. %d clients; nobody accepts.", clients)
	equal(r, "full", "in the small queue", found[i].Depth, 1)
	r.holds("room", "in the large queue", found[j].Depth, "", "less than 65", found[j].Depth < 65)
	r.holds("refused", "clients that are not connected", clients-in, "", "some", in < clients)
	return nil
}
