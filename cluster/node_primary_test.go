package cluster_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
	"onconn/internal/testleak"
)

func init() { roles["go"] = goRole }

// goRole is a worker that knows nothing of Node: it says "go" and its number, and
// echoes messages. A connection that says something is held until it says more.
func goRole() error {
	err := cluster.OnMessage(func(m json.RawMessage) {
		switch string(m) {
		case `"leave"`:
			cluster.Disconnect()
		case `"starve"`:
			unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4, Max: 4096})
		case `"feed"`:
			unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4096, Max: 4096})
		}
		cluster.Send(map[string]json.RawMessage{"got": m})
	})
	if err != nil {
		return err
	}
	done := make(chan error)
	list := strings.Split(os.Getenv("CLUSTER_TEST_LISTEN"), ",")
	for _, l := range list {
		network, addr, _ := strings.Cut(l, " ")
		ln, err := cluster.Listen(network, addr)
		if err != nil {
			cluster.Send(err.Error())
			return err
		}
		cluster.Send(ln.Addr().Network() + " " + ln.Addr().String())
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					done <- nil
					return
				}
				go func() {
					defer c.Close()
					fmt.Fprintf(c, "go %d\n", cluster.ID())
					if os.Getenv("HOLD") != "" {
						bufio.NewReader(c).ReadString('\n')
						fmt.Fprintf(c, "bye\n")
					}
				}()
			}
		}()
	}
	for range list {
		<-done
	}
	return nil
}

// A nodeProcess is testdata/node/primary.js: a real Node primary.
type nodeProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startNodePrimary(t *testing.T, env ...string) *nodeProcess {
	t.Helper()
	return startNodePrimaryWith(t, nil, env...)
}

// startNodePrimaryWith gives it files, the first one as descriptor 3.
func startNodePrimaryWith(t *testing.T, files []*os.File, env ...string) *nodeProcess {
	t.Helper()
	testleak.FDs(t)
	testleak.Zombies(t)
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs node: ", err)
	}
	cmd := exec.Command(node, "testdata/node/primary.js")
	cmd.Env = append(os.Environ(), append([]string{"PROGRAM=" + self(t), envRole + "=go", fastExit}, env...)...)
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := &nodeProcess{t, cmd, in, bufio.NewReader(out)}
	t.Cleanup(func() {
		in.Close()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Error("the Node primary: ", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the Node primary doesn't end")
			cmd.Process.Kill()
			<-ended
		}
		// Workers end by themselves when it has gone; what doesn't is a failure.
		for end := time.Now().Add(20 * time.Second); syscall.Kill(-cmd.Process.Pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Error("a worker outlives its primary")
				syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
				return
			}
		}
	})
	return n
}

// do runs a line of JavaScript there, which may await and return something.
func (n *nodeProcess) do(js string) (value json.RawMessage) {
	n.t.Helper()
	line := strings.Join(strings.Fields(js), " ")
	if _, err := io.WriteString(n.in, line+"\n"); err != nil {
		n.t.Fatal(err)
	}
	type answer struct {
		Value json.RawMessage
		Error string
	}
	got := make(chan answer, 1)
	go func() {
		var a answer
		text, err := n.out.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(text, &a)
		}
		if err != nil {
			a.Error = err.Error()
		}
		got <- a
	}()
	select {
	case a := <-got:
		if a.Error != "" {
			n.t.Fatalf("%s: %s", line, a.Error)
		}
		return a.Value
	case <-time.After(60 * time.Second):
		n.cmd.Process.Kill()
		n.t.Fatalf("%s: no answer", line)
	}
	return nil
}

// addr is where the worker says that it listens, the i-th of all that were said.
func (n *nodeProcess) addr(i int) net.Addr {
	n.t.Helper()
	var s string
	text := n.do(fmt.Sprintf(`const said = () => events.filter((e) => e[0] === 'message' && typeof e[2] === 'string').map((e) => e[2]);
		await until(() => said().length > %d); return said()[%d]`, i, i))
	if err := json.Unmarshal(text, &s); err != nil {
		n.t.Fatal(err)
	}
	network, a, _ := strings.Cut(s, " ")
	if network == "unix" {
		return &net.UnixAddr{Net: network, Name: a}
	}
	tcp, err := net.ResolveTCPAddr("tcp", a)
	if err != nil {
		n.t.Fatalf("worker says %q", s)
	}
	if tcp.IP.IsUnspecified() {
		tcp.IP = net.IPv4(127, 0, 0, 1)
	}
	return tcp
}

// whoAnswers is the line that a worker sends to who connects.
func whoAnswers(t testing.TB, a net.Addr) string {
	t.Helper()
	c := dial(t, a)
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal("no answer: ", err)
	}
	return strings.TrimSpace(line)
}

// inTurn connects until each of them has answered n times. Not strictly in turn: on a
// busy machine one is late, and others get what was its.
func inTurn(t *testing.T, a net.Addr, n int, all ...string) {
	t.Helper()
	seen := map[string]int{}
	eventually(t, fmt.Sprint(all, " answer in turn"), func() bool {
		seen[whoAnswers(t, a)]++
		least := n
		for _, who := range all {
			least = min(least, seen[who])
		}
		return least == n
	})
	if len(seen) != len(all) {
		t.Error(seen)
	}
}

func asText(v json.RawMessage) string { return string(v) }

// A Go program is a worker of a Node primary: online, listening, connections in
// turn, messages both ways, and its end.
func TestGoUnderNode(t *testing.T) {
	path := socketPath(t)
	for _, policy := range []string{"rr", "none"} {
		for _, writing := range []string{"json", "advanced"} {
			for _, listen := range []string{"tcp 127.0.0.1:0", "tcp :0", "tcp [::1]:0", "tcp4 :0", "unix " + path} {
				t.Run(policy+","+writing+","+listen[:min(len(listen), 12)], func(t *testing.T) {
					n := startNodePrimary(t, "NODE_CLUSTER_SCHED_POLICY="+policy, "SERIALIZATION="+writing, "CLUSTER_TEST_LISTEN="+listen)
					n.do(`await go(); await go();`)
					addr := n.addr(0)
					if second := n.addr(1); second.String() != addr.String() {
						t.Errorf("two addresses: %v and %v", addr, second)
					}
					if policy == "rr" {
						inTurn(t, addr, 10, "go 1", "go 2")
					} else if who := whoAnswers(t, addr); who != "go 1" && who != "go 2" {
						t.Error(who)
					}
					n.do(`workers[1].send({ a: ['ж', 1.5, null] }); await until(() => events.some((e) => e[0] === 'message' && JSON.stringify(e[2]) === '{"got":{"a":["ж",1.5,null]}}'))`)
					n.do(`workers[1].disconnect(); await until(() => count('exit', 1) === 1 && count('disconnect', 1) === 1);`)
					if got := asText(n.do(`return events.filter((e) => e[0] === 'exit')`)); got != `[["exit",1,0,null,true]]` {
						t.Error(got)
					}
					if who := whoAnswers(t, addr); who != "go 2" {
						t.Error(who)
					}
					// One that leaves by itself is no crash, and neither is one that gets SIGTERM.
					n.do(`workers[2].send('leave'); await until(() => count('exit', 2) === 1);`)
					n.do(`const w = await go(); w.process.kill(); await until(() => count('exit', 3) === 1);`)
					if got := asText(n.do(`return events.filter((e) => e[0] === 'exit').map((e) => e.slice(2))`)); got != `[[0,null,true],[0,null,true],[0,null,true]]` {
						t.Error(got)
					}
				})
			}
		}
	}
}

// Go and Node workers are behind one port; several listeners, of which each listen
// on port 0 has a port of its own, the same one in every worker.
func TestGoBesideNode(t *testing.T) {
	for _, policy := range []string{"rr", "none"} {
		t.Run(policy, func(t *testing.T) {
			path := socketPath(t)
			n := startNodePrimary(t, "NODE_CLUSTER_SCHED_POLICY="+policy, "CLUSTER_TEST_LISTEN=tcp 127.0.0.1:0,tcp 127.0.0.1:0,unix "+path,
				`LISTEN={"host":"127.0.0.1","port":0}`)
			n.do(`await js('server.js'); await go({}, 3); await go({}, 3); await js('server.js')`)
			ports := map[string]bool{}
			for i := range 6 {
				ports[n.addr(i).String()] = true
			}
			if len(ports) != 3 {
				t.Error(ports)
			}
			if policy == "rr" {
				inTurn(t, n.addr(0), 4, "js 1", "go 2", "go 3", "js 4")
			}
			for i := 1; i < 3; i++ {
				if who := whoAnswers(t, n.addr(i)); !strings.HasPrefix(who, "go ") {
					t.Error(who)
				}
			}
		})
	}
}

// A Go worker listens on a descriptor of the Node primary.
func TestGoUnderNodeFD(t *testing.T) {
	for _, policy := range []string{"rr", "none"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr()
		n := startNodePrimaryWith(t, []*os.File{f}, "NODE_CLUSTER_SCHED_POLICY="+policy, "CLUSTER_TEST_LISTEN=fd 3")
		ln.Close()
		f.Close()
		n.do(`await go(); await go();`)
		if got := n.addr(0); got.String() != addr.String() {
			t.Errorf("%s: it listens on %v, not %v", policy, got, addr)
		}
		if policy == "rr" {
			inTurn(t, addr, 4, "go 1", "go 2")
		} else if who := whoAnswers(t, addr); who != "go 1" && who != "go 2" {
			t.Error(who)
		}
	}
}

// TLS servers of Node have the same ticket keys beside a Go worker, which came first.
func TestGoBesideNodeTLS(t *testing.T) {
	for _, policy := range []string{"rr", "none"} {
		n := startNodePrimary(t, "NODE_CLUSTER_SCHED_POLICY="+policy, "CLUSTER_TEST_LISTEN=tcp 127.0.0.1:0", `LISTEN={"host":"127.0.0.1","port":0}`)
		n.do(`await go(); await js('tls.js'); await js('tls.js')`)
		got := n.do(`const keys = () => events.filter((e) => e[0] === 'message' && e[2].keys).map((e) => e[2].keys);
			await until(() => keys().length === 2); return keys()`)
		var keys []string
		if err := json.Unmarshal(got, &keys); err != nil || len(keys[0]) != 96 || keys[0] != keys[1] {
			t.Errorf("%s: %s, %v", policy, got, err)
		}
	}
}

// An address that is taken is the error of Listen, in both policies: in none the
// primary itself doesn't know.
func TestGoUnderNodeInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, policy := range []string{"rr", "none"} {
		n := startNodePrimary(t, "NODE_CLUSTER_SCHED_POLICY="+policy, "CLUSTER_TEST_LISTEN=tcp "+taken.Addr().String())
		n.do(`fork(program); await until(() => count('exit') === 1)`)
		if got := asText(n.do(`return events.filter((e) => e[0] === 'message')[0][2]`)); !strings.Contains(got, "bind: address already in use") {
			t.Errorf("%s: %s", policy, got)
		}
	}
}

// A worker without descriptors has others take its connections, and gets some again
// when it has: Node would never give it any.
func TestGoUnderNodeStarves(t *testing.T) {
	n := startNodePrimary(t, "CLUSTER_TEST_LISTEN=tcp 127.0.0.1:0")
	n.do(`await go(); await go();`)
	addr := n.addr(0)
	n.do(`workers[1].send('starve'); await until(() => count('message', 1) === 2)`)
	before := asText(n.do(`return fds()`))
	for range 50 {
		if who := whoAnswers(t, addr); who != "go 2" {
			t.Fatal(who)
		}
	}
	n.do(`workers[1].send('feed'); await until(() => count('message', 1) === 3)`)
	inTurn(t, addr, 10, "go 1", "go 2")
	n.do(`await until(() => fds() === ` + before + `)`) // it keeps none
}

// A worker that is asked to go finishes its connections first.
func TestGoUnderNodeDrains(t *testing.T) {
	for _, how := range []string{"workers[1].disconnect()", "workers[1].process.kill()", "workers[1].process.kill('SIGINT')", "workers[1].send('leave')"} {
		n := startNodePrimary(t, "CLUSTER_TEST_LISTEN=tcp 127.0.0.1:0", "HOLD=1")
		n.do(`await go();`)
		c := dial(t, n.addr(0))
		defer c.Close()
		in := bufio.NewReader(c)
		if line, err := in.ReadString('\n'); line != "go 1\n" {
			t.Fatal(line, err)
		}
		n.do(`await go(); ` + how)
		for range 3 {
			if who := whoAnswers(t, n.addr(0)); how == "workers[1].disconnect()" && who != "go 2" {
				t.Error(who)
			}
		}
		fmt.Fprintln(c, "go on")
		if line, err := in.ReadString('\n'); line != "bye\n" {
			t.Error(how, line, err)
		}
		n.do(`await until(() => count('exit', 1) === 1)`)
		if got := asText(n.do(`return events.filter((e) => e[0] === 'exit')`)); got != `[["exit",1,0,null,true]]` {
			t.Error(how, got)
		}
	}
}

// The shim starts a program where only settings can be given.
func TestGoInShim(t *testing.T) {
	for _, policy := range []string{"rr", "none"} {
		n := startNodePrimary(t, "NODE_CLUSTER_SCHED_POLICY="+policy, "CLUSTER_TEST_LISTEN=tcp 127.0.0.1:0")
		n.do(`await shimmed(); await shimmed();`)
		if who := whoAnswers(t, n.addr(0)); !strings.HasPrefix(who, "go ") {
			t.Error(who)
		}
		n.do(`workers[1].disconnect(); await until(() => count('exit', 1) === 1);
			workers[2].process.kill('SIGTERM'); await until(() => count('exit', 2) === 1);`)
		if got := asText(n.do(`return events.filter((e) => e[0] === 'exit')`)); got != `[["exit",1,0,null,true],["exit",2,0,null,true]]` {
			t.Error(got)
		}
	}
}

// When the primary dies the worker finishes what it has, and ends.
func TestGoSurvivesNodesDeath(t *testing.T) {
	n := startNodePrimary(t, "CLUSTER_TEST_LISTEN=tcp 127.0.0.1:0", "HOLD=1")
	n.do(`await go();`)
	c := dial(t, n.addr(0))
	defer c.Close()
	in := bufio.NewReader(c)
	if line, err := in.ReadString('\n'); line != "go 1\n" {
		t.Fatal(line, err)
	}
	n.do(`setTimeout(() => process.exit(0), 1)`)
	fmt.Fprintln(c, "go on")
	if line, err := in.ReadString('\n'); line != "bye\n" {
		t.Error(line, err)
	}
}
