package lesson

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

var timeWait = Lesson{
	Title:    "TIME_WAIT and SO_REUSEADDR",
	Question: "A server is restarted, and bind says EADDRINUSE although nobody listens. Who has the port?",
	Try: []string{
		"ss -tano state time-wait            # and how long each still lives",
		"strace -e trace=bind,setsockopt python3 -m http.server 8000   # sets it itself",
		"nstat -az TcpExtTW                  # how many have come to their end",
	},
	Think:  "Why does the kernel keep a connection that is over, and for so long?",
	Answer: "Its last ACK may be lost: then the other side sends its FIN again, and somebody has to answer that. And segments that were on a long way may arrive late; while the connection is remembered they can't be taken for those of a new one with the same addresses and ports. RFC 9293, 3.6.1",
	run:    runTimeWait,
}

func runTimeWait(ctx context.Context, r *Run) error {
	r.Program = "a server that is started again and again"
	s, err := start(ctx, true, "server")
	if err != nil {
		return err
	}
	err = firstOf(r.restartWithout(ctx, s), r.restartWith(ctx, s))
	rec, ended := s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}
	r.Recording = rec
	if s, err = start(ctx, false, "server"); err != nil {
		return err
	}
	err = firstOf(r.clientFirst(ctx, s), r.twice(s))
	_, ended = s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}

	r.say("Nobody has it, but a connection that is over. Whoever closes first, which was the server, keeps it in "+
		"TIME_WAIT, and as long as the kernel remembers it the address counts as used. tcp(7), bind(2)", "rows", "plain")
	r.say("SO_REUSEADDR lets bind look past that. Both sockets must have it: the new one, and the old one of which the "+
		"connections were accepted. So a server sets it always, before the first bind. socket(7)", "late", "both")
	r.say("It doesn't let two servers listen on one port: who listens keeps others away. socket(7)", "listens")
	r.say("When the client closed first, the TIME_WAIT was the client's, at its own port, and the server's port was free.", "clients", "none", "free")
	r.myth("\"SO_REUSEADDR on the new server beats TIME_WAIT.\"", "Only if the old one had it too.", "late", "both")
	r.myth("\"SO_REUSEADDR lets a second server steal the port.\"", "Not on Linux, while the first one listens.", "listens")
	return nil
}

// serveOne makes a listener, serves one client, and closes the listener. Who closes
// the connection first is said.
func (s *stage) serveOne(ctx context.Context, serverFirst bool, options ...string) (port, peer int, err error) {
	fd, port := s.listener(5, options...)
	if s.failed != nil {
		return 0, 0, s.failed
	}
	c, err := s.dial(ctx, port)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	conn := s.mustNumber("accept %d", fd)
	if err := c.send("hello"); err != nil {
		return 0, 0, err
	}
	s.must("read %d", conn)
	s.must("write %d bye", conn)
	if _, err := c.answer(); err != nil {
		return 0, 0, firstOf(s.failed, err)
	}
	if serverFirst {
		s.must("close %d", conn)
		c.SetReadDeadline(time.Now().Add(patience))
		if n, _ := c.Read(make([]byte, 1)); n != 0 { // until FIN
			return 0, 0, fmt.Errorf("the server sent more than its answer")
		}
		c.Close()
	} else {
		c.Close()
		s.must("read %d", conn) // until FIN
		s.must("close %d", conn)
	}
	s.must("close %d", fd)
	return port, c.LocalAddr().(*net.TCPAddr).Port, s.failed
}

// again binds a new socket to a port, and lets it listen if that succeeds.
func (s *stage) again(port int, options ...string) string {
	fd := s.mustNumber("socket")
	for _, o := range options {
		s.must("%s %d", o, fd)
	}
	_, err := s.tell("bind %d %d", fd, port)
	if err == nil {
		_, err = s.tell("listen %d 5", fd)
	}
	s.must("close %d", fd)
	return outcome(err)
}

func (r *Run) restartWithout(ctx context.Context, s *stage) error {
	port, peer, err := s.serveOne(ctx, true)
	if err != nil {
		return err
	}
	var rows []time.Duration
	until(func() bool { rows = timeWaits(port, peer); return len(rows) == 1 })
	equal(r, "rows", "the server's end of the connection in TIME_WAIT", len(rows) == 1, true)
	if len(rows) > 0 {
		r.value("left", "it will be remembered for", float64(rows[0].Milliseconds())/1000, "s")
	}
	plain, late := s.again(port), s.again(port, "reuseaddr")
	r.step("A server without SO_REUSEADDR serves one client, closes the connection first, and ends. "+
		"Then bind to its port again, without and with the option: %s, %s.", plain, late)
	equal(r, "plain", "bind again, without SO_REUSEADDR", plain, "EADDRINUSE")
	equal(r, "late", "bind again, only the new socket with SO_REUSEADDR", late, "EADDRINUSE")
	return nil
}

func (r *Run) restartWith(ctx context.Context, s *stage) error {
	port, peer, err := s.serveOne(ctx, true, "reuseaddr")
	if err != nil {
		return err
	}
	until(func() bool { return len(timeWaits(port, peer)) == 1 })
	both := s.again(port, "reuseaddr")
	r.step("The same with SO_REUSEADDR from the beginning: %s.", both)
	equal(r, "both", "bind and listen again, both with SO_REUSEADDR", both, "ok")
	return nil
}

// twice tries to have two listeners on one port.
func (r *Run) twice(s *stage) error {
	fd, port := s.listener(5, "reuseaddr")
	if s.failed != nil {
		return s.failed
	}
	listens := s.again(port, "reuseaddr")
	s.must("close %d", fd)
	r.step("Bind to a port where another socket listens, both with SO_REUSEADDR: %s.", listens)
	equal(r, "listens", "bind where another one listens, both with SO_REUSEADDR", listens, "EADDRINUSE")
	return nil
}

func (r *Run) clientFirst(ctx context.Context, s *stage) error {
	port, peer, err := s.serveOne(ctx, false)
	if err != nil {
		return err
	}
	until(func() bool { return len(timeWaits(peer, port)) == 1 })
	free := s.again(port)
	r.step("Not traced: a server without SO_REUSEADDR whose client closes first. Bind again: %s.", free)
	equal(r, "clients", "the client's end in TIME_WAIT", len(timeWaits(peer, port)) == 1, true)
	equal(r, "none", "the server's end in TIME_WAIT", len(timeWaits(port, peer)) == 1, false)
	equal(r, "free", "bind again, without SO_REUSEADDR", free, "ok")
	return nil
}

// timeWaits are the ends in TIME_WAIT of a connection, that with the local port first,
// by the time that they will still be kept. See proc_pid_net(5), tcp: sl, local, remote,
// st, queues, tr:when.
func timeWaits(port, peer int) (left []time.Duration) {
	// In one piece: with many connections on the host each read walks a part of a
	// large table.
	text, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return nil
	}
	const timeWait = "06"
	const tick = 10 * time.Millisecond // USER_HZ is 100
	pair := fmt.Appendf(nil, ":%04X 0100007F:%04X %s ", port, peer, timeWait)
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, pair) {
			continue
		}
		f := strings.Fields(string(line))
		if len(f) < 6 {
			continue
		}
		_, when, _ := strings.Cut(f[5], ":")
		ticks, _ := strconv.ParseInt(when, 16, 64)
		left = append(left, time.Duration(ticks)*tick)
	}
	return left
}
