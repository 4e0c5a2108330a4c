package cluster_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
)

// startNode runs a cluster of testdata/node/server.js, n times.
func startNode(t *testing.T, cfg cluster.Config, listen string, env ...string) *running {
	t.Helper()
	node := nodeProgram(t)
	if cfg.Exec == "" {
		cfg.Exec, cfg.Args = node, []string{"testdata/node/server.js"}
	}
	cfg.Node = true
	cfg.Env = append(cfg.Env, append(env, "LISTEN="+listen)...)
	return start(t, "go", cfg)
}

// nodeProgram is node, without which the test is skipped.
func nodeProgram(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs node: ", err)
	}
	return node
}

// serving waits until n more workers listen, and gives the address.
func (r *running) serving(n int) net.Addr {
	r.t.Helper()
	addr := r.listening(n)
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}
	}
	return addr
}

// A script for Node runs as it is, on any address and in both modes.
func TestNodeUnderGo(t *testing.T) {
	path := socketPath(t)
	for _, mode := range []cluster.Mode{cluster.RoundRobin, cluster.Shared} {
		for _, listen := range []string{`{"port":0}`, `{"port":0,"host":"127.0.0.1"}`, `{"port":0,"host":"::1"}`, `{"port":0,"host":"0.0.0.0","backlog":7}`, `{"path":"` + path + `"}`} {
			t.Run(mode.String()+","+listen[:min(len(listen), 25)], func(t *testing.T) {
				r := startNode(t, cluster.Config{Workers: 2, Mode: mode}, listen)
				addr := r.serving(2)
				if mode == cluster.RoundRobin {
					inTurn(t, addr, 10, "js 1", "js 2")
				} else if who := whoAnswers(t, addr); who != "js 1" && who != "js 2" {
					t.Error(who)
				}
				w := r.Workers()[0]
				if err := w.Send(map[string]string{"ж": "1"}); err != nil {
					t.Error(err)
				}
				if e := r.await(cluster.Messaged); string(e.Data) != `{"got":{"ж":"1"}}` || e.Worker != w {
					t.Errorf("%s", e.Data)
				}
				w.Disconnect()
				e := r.await(cluster.Exited)
				if e.Worker != w || !e.Worker.ExitedAfterDisconnect() || e.Status.ExitStatus() != 0 {
					t.Errorf("%+v", e)
				}
				if who := whoAnswers(t, addr); who != "js 2" {
					t.Error(who)
				}
			})
		}
	}
}

// Node's TLS servers have the same ticket keys: what the first one says is told to all.
func TestNodeTLS(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs node: ", err)
	}
	for _, mode := range []cluster.Mode{cluster.RoundRobin, cluster.Shared} {
		r := startNode(t, cluster.Config{Workers: 2, Mode: mode, Exec: node, Args: []string{"testdata/node/tls.js"}}, `{"port":0,"host":"127.0.0.1"}`)
		first := string(r.await(cluster.Messaged).Data)
		if second := string(r.await(cluster.Messaged).Data); second != first || len(first) < 96 {
			t.Errorf("%v: %s and %s", mode, first, second)
		}
	}
}

// tally counts what becomes of short connections until it is stopped.
type tally struct {
	stop  chan struct{}
	group sync.WaitGroup
	mu    sync.Mutex
	by    map[string]int
	lost  []error
}

func load(addr net.Addr, clients int) *tally {
	l := &tally{stop: make(chan struct{}), by: map[string]int{}}
	for range clients {
		l.group.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				who, err := tryAsk(addr)
				l.mu.Lock()
				if err != nil {
					l.lost = append(l.lost, err)
				} else {
					l.by[who]++
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

func tryAsk(addr net.Addr) (string, error) {
	c, err := net.DialTimeout(addr.Network(), addr.String(), 20*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := io.ReadAll(c)
	if err == nil && len(line) == 0 {
		err = io.ErrUnexpectedEOF
	}
	return strings.TrimSpace(string(line)), err
}

// served waits until that worker has answered n more.
func (l *tally) served(t *testing.T, who string, n int) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.by[who]
	}
	before := count()
	eventually(t, who+" answers", func() bool { return count() >= before+n })
}

func (l *tally) end() (by map[string]int, lost []error) {
	close(l.stop)
	l.group.Wait()
	return l.by, l.lost
}

// A reload of Node workers under load loses nothing.
func TestNodeReload(t *testing.T) {
	for _, mode := range []cluster.Mode{cluster.RoundRobin, cluster.Shared} {
		r := startNode(t, cluster.Config{Workers: 2, Mode: mode}, `{"port":0,"host":"127.0.0.1"}`)
		l := load(r.serving(2), 4)
		for range 2 {
			if err := r.Reload(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if mode == cluster.RoundRobin {
			l.served(t, "js 6", 3)
		}
		by, lost := l.end()
		if len(lost) > 0 {
			t.Errorf("%v: lost %v, served %v", mode, lost, by)
		}
	}
}

// A Node worker that is killed loses only what it had taken: here nothing hangs, and
// what it had not answered others serve. Node's own primary has one hang each time.
func TestNodeKilled(t *testing.T) {
	r := startNode(t, cluster.Config{Workers: 2, StableAfter: time.Millisecond}, `{"port":0,"host":"127.0.0.1"}`)
	l := load(r.serving(2), 8)
	for range 5 {
		w := r.Workers()[0]
		l.served(t, fmt.Sprint("js ", w.ID), 3)
		w.Kill(syscall.SIGKILL)
		r.serving(1)
	}
	by, lost := l.end()
	for _, err := range lost {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Error(err, by)
		}
	}
	t.Logf("%v, lost %v", by, lost)
}

// A connection that a stopped worker has not answered is given to another one when
// it is killed for that.
func TestNodeStopped(t *testing.T) {
	r := startNode(t, cluster.Config{Workers: 2, HangAfter: 2 * time.Second, KillHung: 4 * time.Second, StableAfter: time.Millisecond}, `{"port":0,"host":"127.0.0.1"}`)
	addr := r.serving(2)
	r.Workers()[0].Kill(syscall.SIGSTOP)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := tryAsk(addr); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if e := r.await(cluster.Hung); e.Worker.ID != 1 {
		t.Errorf("%+v", e)
	}
	if e := r.await(cluster.Exited); e.Worker.ID != 1 || e.Status.Signal() != syscall.SIGKILL {
		t.Errorf("%+v", e)
	}
}

// What waits for the only worker is served although it is asked to go: it gets all
// before it is told.
func TestNodeLeavesLast(t *testing.T) {
	r := startNode(t, cluster.Config{Workers: 1}, `{"port":0,"host":"127.0.0.1"}`)
	addr := r.serving(1)
	w := r.Workers()[0]
	stop(t, w)
	var conns []net.Conn
	for range 20 {
		c := dial(t, addr)
		defer c.Close()
		conns = append(conns, c)
	}
	eventually(t, "all are accepted", func() bool { return depth(t, addr) == 0 })
	w.Disconnect()
	w.Kill(syscall.SIGCONT)
	for i, c := range conns {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if line, err := io.ReadAll(c); string(line) != "js 1\n" {
			t.Fatalf("connection %d: %q, %v", i, line, err)
		}
		c.Close()
	}
	if e := r.await(cluster.Exited); e.Status.ExitStatus() != 0 || !e.Worker.ExitedAfterDisconnect() {
		t.Errorf("%+v", e)
	}
}

// A worker that is busy gets nothing more, and is in turn again when it is not.
func TestNodeBusy(t *testing.T) {
	r := startNode(t, cluster.Config{Workers: 2}, `{"port":0,"host":"127.0.0.1"}`)
	addr := r.serving(2)
	if err := r.Workers()[0].Send("block"); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		if _, err := tryAsk(addr); err != nil {
			t.Error(err)
		}
	}
	l := load(addr, 2)
	l.served(t, "js 1", 20)
	if _, lost := l.end(); len(lost) > 0 {
		t.Error(lost)
	}
}

// A Node worker without descriptors says so, others get what it could not take, and
// it is in turn again later.
func TestNodeStarves(t *testing.T) {
	r := startNode(t, cluster.Config{Workers: 2}, `{"port":0,"host":"127.0.0.1"}`)
	addr := r.serving(2)
	w := r.Workers()[0]
	limit(t, w.PID, 1)
	for range 30 {
		if who := whoAnswers(t, addr); who != "js 2" {
			t.Fatal(who)
		}
	}
	limit(t, w.PID, 1024)
	l := load(addr, 2)
	l.served(t, "js 1", 20)
	if _, lost := l.end(); len(lost) > 0 {
		t.Error(lost)
	}
}

// Go and Node workers of one primary share a listener, by whatever name.
func TestNodeBesideGo(t *testing.T) {
	r := startNode(t, cluster.Config{
		Workers: 4, Exec: "/bin/sh",
		Args: []string{"-c", `case $NODE_UNIQUE_ID in [12]) exec node testdata/node/server.js;; *) exec "$PROGRAM";; esac`},
	}, `{"port":0,"host":"127.0.0.1"}`, append(on("tcp", "127.0.0.1:0"), "PROGRAM="+self(t))...)
	addr := r.serving(4)
	inTurn(t, addr, 4, "js 1", "js 2", "go 3", "go 4")
	for _, w := range r.Workers() {
		w.Send("leave")
	}
	l := load(addr, 2)
	l.served(t, "js 1", 3) // which doesn't know what that means
	if by, lost := l.end(); len(lost) > 0 {
		t.Error(by, lost)
	}
}

// What breaks the protocol costs that worker its life, and no other one: also what
// would have the primary keep more and more for it.
func TestNodeBadWorker(t *testing.T) {
	const query = `{"cmd":"NODE_CLUSTER","act":"queryServer","index":%d,"address":"127.0.0.1","port":0,"addressType":4,"seq":%d`
	for name, c := range map[string]struct {
		line  string // a format, for its number
		times string
	}{
		"no JSON":           {`no JSON`, "1"},
		"an ACK":            {`{"cmd":"NODE_HANDLE_ACK"}`, "1"},
		"an ack":            {`{"cmd":"NODE_CLUSTER","ack":77,"accepted":true,"seq":5}`, "1"},
		"no query":          {`{"cmd":"NODE_CLUSTER","act":"queryServer","addressType":9,"seq":5}`, "1"},
		"much data":         {query + `,"data":"` + strings.Repeat("x", 70_000) + `"}`, "1"},
		"unread answers":    {`{"cmd":"NODE_HANDLE","type":"net.Native","msg":{}}`, "1000000"},
		"sockets, unwanted": {query + `}\n{"cmd":"NODE_CLUSTER","act":"close","key":"%d","seq":0}`, "1000000"},
	} {
		t.Run(name, func(t *testing.T) {
			r := startNode(t, cluster.Config{
				Workers: 2, Mode: cluster.Shared, Exec: "/bin/sh",
				Args: []string{"-c", `
					case $NODE_UNIQUE_ID in
					1) exec node testdata/node/server.js;;
					2)	trap '' PIPE; i=0
						while [ $i -lt $TIMES ]; do i=$((i+1)); printf "$LINE\n" $i $i $i; done >&$NODE_CHANNEL_FD 2>/dev/null;;
					esac
					exec sleep 100`},
			}, `{"port":0,"host":"127.0.0.1"}`, "LINE="+c.line, "TIMES="+c.times)
			e := r.await(cluster.Exited)
			if e.Worker.ID != 2 || e.Status.Signal() != syscall.SIGKILL {
				t.Errorf("%+v", e)
			}
			eventually(t, "the other one listens", func() bool { return len(r.Status().Listeners) == 1 })
		})
	}
}

// self is the test's own program.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// limit is how many descriptors a process may have.
func limit(t *testing.T, pid int, n uint64) {
	t.Helper()
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: 4096}, nil); err != nil {
		t.Fatal(err)
	}
}
