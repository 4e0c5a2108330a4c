package lesson

import (
	"context"
	"strconv"
	"strings"
	"time"
)

var accepting = Lesson{
	Title:    "socket, bind, listen, accept",
	Question: "Four calls make a server. At which of them can a client connect, and who answers it?",
	Try: []string{
		"strace -f -e trace=network python3 -m http.server 8000  # the four calls",
		"ss -ltn 'sport = :8000'    # Recv-Q: waiting for accept; Send-Q: the limit",
		"syscallflow -- python3 -m http.server 8000    # drawn; Ctrl-C ends it",
	},
	Think: "A server stops in a debugger just before accept. A client connects, sends its request " +
		"and waits for the answer. What does the client notice of the debugger?",
	Answer: "Only that the answer is late. connect() returns at once and the request is taken too: the kernel " +
		"does both for a listening socket. \"The port is open\" says nothing about whether the program serves; " +
		"a health check has to wait for an answer.",
	run: runAccepting,
}

func runAccepting(ctx context.Context, r *Run) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.Close()
	r.Program = "a server of one process, which makes one call at a time"
	s, err := start(ctx, true, "server")
	if err != nil {
		return err
	}
	err = r.accepting(ctx, s, k)
	recorded, ended := s.end()
	if err = firstOf(s.failed, err, ended); err != nil {
		return err
	}
	r.Recording = recorded
	return nil
}

func (r *Run) accepting(ctx context.Context, s *stage, k kernel) error {
	fd := s.mustNumber("socket")
	port := s.mustNumber("bind %d 0", fd)
	if s.failed != nil {
		return s.failed
	}
	_, err := s.dial(ctx, port)
	early := outcome(err)
	r.step("socket, and bind to a port of 127.0.0.1. A client tries to connect: %s.", early)
	equal(r, "early", "connect after bind, before listen", early, "ECONNREFUSED")

	s.must("listen %d 5", fd)
	c, err := s.dial(ctx, port)
	equal(r, "connected", "connect after listen, without accept", outcome(err), "ok")
	if err != nil {
		return firstOf(s.failed, err)
	}
	defer c.Close()
	r.value("took", "that connect took", c.took, "ms")
	began := time.Now()
	if err := c.send("hello"); err != nil {
		return err
	}
	var bytes, depth int
	until(func() bool { // what is sent may be on its way
		if q, err := k.queue(port); err == nil {
			depth = q.Depth
		}
		if w, err := k.Waiting(uint16(port)); err == nil && len(w) > 0 {
			bytes = w[0].Bytes
		}
		return depth == 1 && bytes > 0
	})
	r.step("listen(%d, 5). A client connects and sends \"hello\". The server calls nothing.", fd)
	equal(r, "waits", "connections in the accept queue meanwhile", depth, 1)
	equal(r, "bytes", "bytes of the request that the kernel keeps meanwhile", bytes, len("hello\n"))

	got := strings.Fields(s.must("accept %d", fd))
	waited := time.Since(began)
	if len(got) != 3 {
		return firstOf(s.failed, errno("accept"))
	}
	conn, _ := strconv.Atoi(got[0])
	r.value("waited", "it waited for accept", waited, "ms")
	equal(r, "descriptor", "accept made a new descriptor", conn != fd, true)
	equal(r, "port", "the connection's port at the server is the listener's", got[2] == strconv.Itoa(port), true)
	q, err := k.queue(port)
	if err != nil {
		return err
	}
	equal(r, "empty", "connections in the queue after accept", q.Depth, 0)

	text := s.must("read %d", conn)
	s.must("write %d %s", conn, strings.ToUpper(text))
	reply, err := c.answer()
	if err != nil {
		return firstOf(s.failed, err)
	}
	r.step("accept, read, write. The client has its answer: %s.", reply)
	equal(r, "answered", "the answer", reply, "HELLO")
	s.must("close %d", conn)
	s.must("close %d", fd)

	r.say("socket makes a socket without an address. bind gives it one, but nobody can connect yet: "+
		"the kernel answered with RST, which connect reports as ECONNREFUSED. bind(2)", "early")
	r.say("From listen on it is the kernel that answers. It shook hands with the client while the program "+
		"did nothing, put the connection into the accept queue, and even took the request. "+
		"That is why connect returned before accept was called. listen(2)", "connected", "waits", "bytes")
	r.say("accept doesn't connect anybody. It takes the oldest connection out of the queue and makes a descriptor "+
		"for it; the listening socket stays as it was, for the next one. accept(2)", "descriptor", "empty")
	r.say("Node hides all of this behind server.listen(8000): that is socket, bind and listen, and accept whenever " +
		"epoll says that the queue isn't empty.")
	r.myth("\"Each connection gets a port of its own at the server.\"",
		"It has the listener's. The client's address and port tell connections apart. tcp(7)", "port")
	return nil
}

// firstOf is the first error there is.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
