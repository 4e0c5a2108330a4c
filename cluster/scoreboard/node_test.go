package scoreboard

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"onconn/internal/clients"
	"onconn/internal/testleak"
)

// The same clients as in the other tests ask Node's cluster, and a program under
// PM2, which is installed from npm for that. What is lost is logged.
var withNode = flag.Bool("node", false, "compare with Node's cluster and PM2, which needs node and npm")

// nodeTimeout is when a request of theirs counts as hanging.
const nodeTimeout = 5 * time.Second

func needNode(t *testing.T) {
	t.Helper()
	if !*withNode {
		t.Skip("compares with Node and PM2 only when asked by -node")
	}
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs node and npm: ", err)
		}
	}
	testleak.FDs(t)
	testleak.Zombies(t)
}

// peers is where the programs for Node are.
func peers(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../testdata/peers", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// freePort is a port that nobody has now.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
}

// A nodeCluster is testdata/peers/cluster.js.
type nodeCluster struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Scanner
	addr string
}

func startNode(t *testing.T, policy string) *nodeCluster {
	t.Helper()
	port := freePort(t)
	cmd := exec.Command("node", peers(t, "cluster.js"))
	cmd.Env = append(os.Environ(), "PORT="+port, "NODE_CLUSTER_SCHED_POLICY="+policy)
	cmd.Stderr = os.Stderr
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
	hung := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
		hung.Stop()
	})
	n := &nodeCluster{t, in, bufio.NewScanner(out), "127.0.0.1:" + port}
	n.line()
	return n
}

func (n *nodeCluster) line() string {
	n.t.Helper()
	if !n.out.Scan() {
		n.t.Fatal("node has ended")
	}
	return n.out.Text()
}

// do has it do something.
func (n *nodeCluster) do(what string) string {
	n.t.Helper()
	fmt.Fprintln(n.in, what)
	return n.line()
}

func (n *nodeCluster) count() (workers, fds int) {
	n.t.Helper()
	fmt.Sscan(n.do("count"), &workers, &fds)
	return workers, fds
}

// TestNodeComparison is Node's cluster in S1, S5 to S5d and S8.
func TestNodeComparison(t *testing.T) {
	needNode(t)
	version, err := exec.Command("node", "--version").Output()
	t.Logf("node %s, %v", strings.TrimSpace(string(version)), err)
	for _, policy := range []string{"rr", "none"} {
		t.Run(policy, func(t *testing.T) {
			for _, tt := range []struct {
				name, what string
				times      int
			}{{"S1b", "kill", 20}, {"S8", "killall", 3}} {
				t.Run(tt.name, func(t *testing.T) {
					n := startNode(t, policy)
					_, before := n.count()
					run := ask(n.addr, clients.Config{Clients: 32, Timeout: nodeTimeout})
					for range tt.times {
						busy(t, run, 64)
						n.do(tt.what)
					}
					got := run.Stop()
					_, after := n.count()
					t.Logf("%s: %v; %d descriptors left", tt.what, got, after-before)
				})
			}
			for name, load := range loads {
				for _, how := range []string{"roll", "signal"} {
					t.Run("S5 "+how+" "+name, func(t *testing.T) {
						n := startNode(t, policy)
						load.Timeout = nodeTimeout
						run := ask(n.addr, load)
						for range 3 {
							busy(t, run, 64)
							n.do(how)
						}
						time.Sleep(2 * time.Second) // a worker that is asked to go has time for it
						left, _ := n.count()
						got := run.Stop()
						t.Logf("%s, %s: %v; %d old workers live 2 s later", how, name, got, left-2)
					})
				}
			}
		})
	}
}

// TestNodePM2 is PM2's reload in S6 to S6c.
func TestNodePM2(t *testing.T) {
	needNode(t)
	dir := t.TempDir()
	npm := exec.Command("npm", "install", "--no-audit", "--no-fund", "--prefix", dir, "pm2@7.0.4")
	if out, err := npm.CombinedOutput(); err != nil {
		t.Skipf("needs pm2 from npm: %v\n%s", err, out)
	}
	for _, handler := range []string{"", "1"} {
		for name, load := range loads {
			t.Run(fmt.Sprintf("handler=%s %s", handler, name), func(t *testing.T) {
				port, home := freePort(t), t.TempDir()
				pm2 := func(args ...string) {
					cmd := exec.Command(filepath.Join(dir, "node_modules/.bin/pm2"), args...)
					cmd.Env = append(os.Environ(), "PM2_HOME="+home, "PORT="+port, "HANDLER="+handler)
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("pm2 %v: %v\n%s", args, err, out)
					}
				}
				defer pm2("kill")
				pm2("start", peers(t, "server.js"), "-i", "2")
				load.Timeout = nodeTimeout
				addr := "127.0.0.1:" + port
				eventually(t, "it listens", func() bool {
					c, err := net.Dial("tcp", addr)
					if err == nil {
						c.Close()
					}
					return err == nil
				})
				run := ask(addr, load)
				for range 3 {
					busy(t, run, 64)
					pm2("reload", "all")
				}
				t.Logf("reload, %s: %v", name, run.Stop())
			})
		}
	}
}
