package cluster_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
	"onconn/sock"
)

// handlesRole sends back what it gets, with the descriptor that came with it.
func handlesRole() error {
	err := cluster.OnMessageFD(func(m json.RawMessage, fd sock.FD) {
		var err error
		if fd == sock.None {
			err = cluster.Send(map[string]json.RawMessage{"got": m})
		} else {
			err = cluster.SendFD(map[string]json.RawMessage{"back": m}, fd)
			fd.Close()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	if err != nil {
		return err
	}
	cluster.Send("here")
	<-cluster.Draining()
	return nil
}

// A passed is what OnMessageFD was called with.
type passed struct {
	data string
	fd   sock.FD
}

// handles gives a Config that takes descriptors. What nobody reads is closed.
func handles(t *testing.T, cfg cluster.Config) (cluster.Config, chan passed) {
	came := make(chan passed, 1000)
	cfg.OnMessageFD = func(_ *cluster.Worker, data json.RawMessage, fd sock.FD) { came <- passed{string(data), fd} }
	return cfg, came
}

func next(t *testing.T, came chan passed) passed {
	t.Helper()
	select {
	case p := <-came:
		return p
	case <-time.After(20 * time.Second):
		t.Fatal("no descriptor comes")
		return passed{}
	}
}

// own is a descriptor of the test's own for a socket of package net.
func own(t *testing.T, c syscall.Conn) (fd sock.FD) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(n uintptr) { fd, err = sock.FD(n).Dup() })
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// aPair is a TCP connection: the server's end of it as a descriptor.
func aPair(t *testing.T) (client net.Conn, server sock.FD) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client = dial(t, ln.Addr())
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return client, own(t, c.(*net.TCPConn))
}

// check finds whether what came is the server's end of a connection.
func check(t *testing.T, p passed, client net.Conn) {
	t.Helper()
	if p.fd == sock.None {
		t.Fatalf("%s came without its descriptor", p.data)
	}
	defer p.fd.Close()
	if _, err := p.fd.Write([]byte("it's me")); err != nil {
		t.Error(p.data, err)
	}
	var b [7]byte
	client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(client, b[:]); err != nil || string(b[:]) != "it's me" {
		t.Errorf("%s: %q, %v", p.data, b, err)
	}
	client.Close()
}

// Programs send each other sockets of every kind, to a Node worker and back.
func TestNodeHandles(t *testing.T) {
	for _, dir := range []string{"node", "native"} {
		t.Run(dir, func(t *testing.T) {
			cfg, came := handles(t, cluster.Config{Workers: 1})
			var r *running
			if dir == "node" {
				cfg.Exec, cfg.Args = nodeProgram(t), []string{"testdata/node/handles.js"}
				r = startNode(t, cfg, `{"port":0,"host":"127.0.0.1"}`)
				r.serving(1)
			} else {
				r = start(t, "handles", cfg)
				r.await(cluster.Messaged)
			}
			w := r.Workers()[0]
			for i := range 20 {
				client, server := aPair(t)
				if err := w.SendFD(i, server); err != nil {
					t.Fatal(err)
				}
				server.Close()
				if err := w.Send(i); err != nil {
					t.Fatal(err)
				}
				p := next(t, came)
				if !strings.HasPrefix(p.data, fmt.Sprintf(`{"back":%d`, i)) {
					t.Error(p.data)
				}
				check(t, p, client)
				if e := r.await(cluster.Messaged); string(e.Data) != fmt.Sprintf(`{"got":%d}`, i) {
					t.Errorf("%s", e.Data)
				}
			}

			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			pc, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			path := socketPath(t)
			unixLn, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer unixLn.Close()
			sockets := map[string]any{"Server": ln, "Socket": pc}
			if dir == "native" {
				sockets["Server unix"] = unixLn // a Node worker can't take it
			}
			for kind, c := range sockets {
				fd := own(t, c.(syscall.Conn))
				if err := w.SendFD(kind, fd); err != nil {
					t.Fatal(err)
				}
				want := inode(t, fd)
				fd.Close()
				p := next(t, came)
				if got := inode(t, p.fd); got != want {
					t.Errorf("%s: another socket came", p.data)
				}
				p.fd.Close()
				kind, _, _ = strings.Cut(kind, " ")
				if dir == "node" && !strings.Contains(p.data, `"kind":"`+kind+`"`) {
					t.Errorf("Node has a %s: %s", kind, p.data)
				}
			}
		})
	}
}

func inode(t *testing.T, fd sock.FD) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(fd), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// Messages with and without descriptors come in the order in which they were sent,
// long ones too, while connections go the same way.
func TestNodeHandlesInOrder(t *testing.T) {
	var r *running
	var order []string
	var mu sync.Mutex
	said := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s[:min(len(s), 14)])
	}
	cfg := cluster.Config{Workers: 2, Exec: nodeProgram(t), Args: []string{"testdata/node/handles.js"}}
	cfg.OnMessageFD = func(_ *cluster.Worker, data json.RawMessage, fd sock.FD) {
		fd.Close()
		said(string(data))
	}
	r = startNode(t, cfg, `{"port":0,"host":"127.0.0.1"}`)
	l := load(r.serving(2), 4)
	w := r.Workers()[0]
	client, server := aPair(t)
	defer client.Close()
	defer server.Close()
	const n = 40
	for i := range n {
		long := strings.Repeat("x", 100_000*(i%2))
		if err := w.SendFD([]any{i, long}, server); err != nil {
			t.Fatal(err)
		}
		if err := w.Send([]any{i, long}); err != nil {
			t.Fatal(err)
		}
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(order)
	}
	// OnEvent, which is start's, tells its channel.
	go func() {
		for range n {
			for e := range r.events {
				if e.Kind == cluster.Messaged {
					said(string(e.Data))
					break
				}
			}
		}
	}()
	eventually(t, "all come back", func() bool { return count() == 2*n })
	l.served(t, "js 1", 10)
	if by, lost := l.end(); len(lost) > 0 {
		t.Error(by, lost)
	}
	back, got := 0, 0
	for _, s := range order {
		switch {
		case strings.HasPrefix(s, fmt.Sprintf(`{"back":[%d,`, back)):
			back++
		case strings.HasPrefix(s, fmt.Sprintf(`{"got":[%d,`, got)):
			got++
		default:
			t.Errorf("%s after %d with and %d without descriptors", s, back, got)
		}
	}
}

// A descriptor that a Node worker has no number for is lost, which is logged, and what
// was sent behind it isn't.
func TestNodeHandlesStarve(t *testing.T) {
	var log safeBuffer
	cfg, came := handles(t, cluster.Config{
		Workers: 1, Exec: nodeProgram(t), Args: []string{"testdata/node/handles.js"}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	r := startNode(t, cfg, `{"port":0,"host":"127.0.0.1"}`)
	r.serving(1)
	w := r.Workers()[0]
	client, server := aPair(t)
	defer server.Close()
	limit(t, w.PID, 1)
	if err := w.SendFD("lost", server); err != nil {
		t.Fatal(err)
	}
	w.Send("behind it")
	if e := r.await(cluster.Messaged); string(e.Data) != `{"got":"behind it"}` {
		t.Errorf("%s", e.Data)
	}
	if !strings.Contains(log.String(), "refused a descriptor") {
		t.Errorf("nothing is logged: %s", log.String())
	}
	limit(t, w.PID, 1024)
	if err := w.SendFD("again", server); err != nil {
		t.Fatal(err)
	}
	if p := next(t, came); strings.Contains(p.data, "again") {
		check(t, p, client)
	} else {
		t.Error(p.data)
	}
}

// A descriptor that nobody takes is closed, and its message comes all the same.
func TestNodeHandlesUnwanted(t *testing.T) {
	r := startNode(t, cluster.Config{Workers: 1, Exec: nodeProgram(t), Args: []string{"testdata/node/handles.js"}}, `{"port":0,"host":"127.0.0.1"}`)
	r.serving(1)
	client, server := aPair(t)
	defer client.Close()
	if err := r.Workers()[0].SendFD("take it", server); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if e := r.await(cluster.Messaged); !strings.HasPrefix(string(e.Data), `{"back":"take it"`) {
		t.Errorf("%s", e.Data)
	}
	client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Error("the connection is still somebody's: ", err)
	}
}

// A worker that dies with descriptors on their way, or never acknowledges, takes none of
// the primary's with it.
func TestNodeHandlesUnanswered(t *testing.T) {
	r := startNode(t, cluster.Config{
		Workers: 1, Exec: "/bin/sh",
		Args: []string{"-c", `printf '{"cmd":"NODE_CLUSTER","act":"online","seq":0}\n' >&$NODE_CHANNEL_FD; exec sleep 100`},
	}, `{}`)
	w := r.await(cluster.Online).Worker
	client, server := aPair(t)
	for i := range 10 {
		if err := w.SendFD(i, server); err != nil {
			t.Fatal(err)
		}
	}
	server.Close()
	w.Kill(syscall.SIGKILL)
	client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := client.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Error("the connection is still somebody's: ", err)
	}
	client.Close()
}

// A message whose descriptor didn't come isn't delivered, and is answered by a NACK: its
// sender may send it again.
func TestNodeHandlesMissing(t *testing.T) {
	cfg, came := handles(t, cluster.Config{
		Workers: 1, Exec: nodeProgram(t), Args: []string{"testdata/node/missing.js"},
	})
	r := startNode(t, cfg, `{}`)
	if e := r.await(cluster.Messaged); string(e.Data) != `"NODE_HANDLE_NACK"` {
		t.Errorf("%s", e.Data)
	}
	if len(came) > 0 {
		t.Error("it is delivered")
	}
}

// What Node can't take is refused before it is sent.
func TestNodeHandlesOfOtherKinds(t *testing.T) {
	r := startNode(t, cluster.Config{Workers: 1}, `{"port":0,"host":"127.0.0.1"}`)
	r.serving(1)
	f, err := os.Open("main_test.go")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, b, err := sock.Pair(sock.SeqPacket)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	ln, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, unixServer := own(t, f), own(t, ln.(*net.UnixListener))
	defer file.Close()
	defer unixServer.Close()
	w := r.Workers()[0]
	for _, fd := range []sock.FD{file, unixServer, a, sock.None} {
		if err := w.SendFD("x", fd); err == nil {
			t.Errorf("descriptor %d is sent", fd)
		}
	}
	if err := w.Send("alive"); err != nil {
		t.Fatal(err)
	}
	if e := r.await(cluster.Messaged); string(e.Data) != `{"got":"alive"}` {
		t.Errorf("%s", e.Data)
	}
}

// Sockets go from a Node primary's program to a Go worker's, and back, in order.
func TestGoUnderNodeHandles(t *testing.T) {
	for _, writing := range []string{"json", "advanced"} {
		t.Run(writing, func(t *testing.T) {
			n := startNodePrimary(t, "SERIALIZATION="+writing, envRole+"=handles")
			n.do(`fork(program); await until(() => count('message') === 1);`)
			var port int
			if err := json.Unmarshal(n.do(`globalThis.server = require('net').createServer();
				await new Promise((ok) => server.listen(0, '127.0.0.1', ok)); return server.address().port`), &port); err != nil {
				t.Fatal(err)
			}
			addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
			n.do(`globalThis.i = 0; server.on('connection', (c) => { i++; workers[1].send({ i }, c); workers[1].send(i); })`)
			for i := range 20 {
				c := dial(t, addr)
				n.do(fmt.Sprintf(`await until(() => count('message') === %d && handles.length === %d); handles[%d].end('back %d')`, 3+2*i, i+1, i, i))
				c.SetReadDeadline(time.Now().Add(20 * time.Second))
				if got, err := io.ReadAll(c); string(got) != fmt.Sprint("back ", i) {
					t.Errorf("%q, %v", got, err)
				}
				c.Close()
			}
			n.do(`const bad = events.filter((e) => e[0] === 'message').slice(1).findIndex((e, at) =>
				JSON.stringify(e[2]) !== JSON.stringify(at % 2 ? { got: (at + 1) / 2 } : { back: { i: at / 2 + 1 } }));
				if (bad >= 0) throw new Error('not in order: ' + JSON.stringify(events))`)
			before := asText(n.do(`return fds()`))

			// A server and a UDP socket are what they were.
			n.do(`handles.length = 0; server.removeAllListeners('connection'); workers[1].send('server', server);
				await until(() => handles.length === 1);
				server.close(); if (handles[0].constructor.name !== 'Server') throw handles[0];
				handles[0].on('connection', (c) => c.end('from the same socket'))`)
			c := dial(t, addr)
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if got, err := io.ReadAll(c); string(got) != "from the same socket" {
				t.Errorf("%q, %v", got, err)
			}
			c.Close()
			n.do(`handles[0].close()`)
			var udp int
			if err := json.Unmarshal(n.do(`globalThis.u = require('dgram').createSocket('udp4'); await new Promise((ok) => u.bind(0, '127.0.0.1', ok));
				workers[1].send('udp', u); await until(() => handles.length === 2); const { port } = u.address(); u.close();
				handles[1].on('message', (m, from) => handles[1].send('answer', from.port, from.address)); return port`), &udp); err != nil {
				t.Fatal(err)
			}
			if got := askUDP(t, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: udp}, "question"); got != "answer" {
				t.Error(got)
			}
			n.do(`handles[1].close()`)
			n.do(`await until(() => fds() <= ` + before + `)`)
			n.do(`workers[1].disconnect(); await until(() => count('exit', 1) === 1)`)
		})
	}
}

// A socket for a Go program that only knows OnMessage is closed there, and its message
// comes.
func TestGoUnderNodeHandlesUnwanted(t *testing.T) {
	n := startNodePrimary(t, "CLUSTER_TEST_LISTEN=tcp 127.0.0.1:0")
	n.do(`await go()`)
	var port int
	if err := json.Unmarshal(n.do(`globalThis.server = require('net').createServer((c) => workers[1].send('take it', c));
		await new Promise((ok) => server.listen(0, '127.0.0.1', ok)); return server.address().port`), &port); err != nil {
		t.Fatal(err)
	}
	c := dial(t, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Error("the connection is still somebody's: ", err)
	}
	n.do(`await until(() => events.some((e) => e[0] === 'message' && JSON.stringify(e[2]) === '{"got":"take it"}')); server.close()`)
}

// askUDP sends a datagram until it is answered.
func askUDP(t *testing.T, to net.Addr, question string) string {
	t.Helper()
	c, err := net.Dial(to.Network(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, n := make([]byte, 1000), 0
	eventually(t, "somebody answers at "+to.String(), func() bool {
		c.Write([]byte(question))
		c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, err = c.Read(p)
		return err == nil // else it is refused, or lost
	})
	return string(p[:n])
}

// safeBuffer is one for a logger.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
