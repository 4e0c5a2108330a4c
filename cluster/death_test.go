package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/testleak"
	"onconn/sock"
)

// envPrimary makes the test binary a primary of its own, with the mode it names.
const envPrimary = "CLUSTER_TEST_PRIMARY"

// lonelyPrimary is what the test kills: a primary with two workers, which prints
// its address and their numbers.
func lonelyPrimary() {
	name, upgrades := strings.CutSuffix(os.Getenv(envPrimary), "+")
	mode, err := cluster.ParseMode(name)
	if err != nil {
		panic(err)
	}
	if upgrades {
		upgradable(mode)
	}
	p, err := cluster.New(cluster.Config{
		Workers: 2, Mode: mode, DrainTimeout: 5 * time.Second,
		Env: []string{envRole + "=finisher", envPrimary + "=", "CLUSTER_TEST_LISTEN=tcp 127.0.0.1:0"},
		OnEvent: func(e cluster.Event) {
			if e.Kind == cluster.Listening {
				fmt.Println(e.Addr, e.Worker.PID)
			}
		},
	})
	if err != nil {
		panic(err)
	}
	panic(p.Run(context.Background()))
}

// When the primary dies the workers finish what they have, and go.
func TestDeathOfThePrimary(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			testleak.FDs(t)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), envPrimary+"="+mode.String(), fastExit)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var addr string
			var pids []int
			lines := bufio.NewScanner(out)
			for len(pids) < 2 && lines.Scan() {
				a, pid, _ := strings.Cut(lines.Text(), " ")
				n, _ := strconv.Atoi(pid)
				addr, pids = a, append(pids, n)
			}
			var conns []net.Conn
			for range 6 {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				readID(t, c)
				conns = append(conns, c)
			}
			cmd.Process.Kill()
			cmd.Wait()
			for _, c := range conns {
				fmt.Fprintln(c, "question")
				c.SetReadDeadline(time.Now().Add(5 * time.Second))
				if line, err := bufio.NewReader(c).ReadString('\n'); line != "late question\n" {
					t.Errorf("after the primary's death: %q, %v", line, err)
				}
				c.Close()
			}
			for _, pid := range pids {
				eventually(t, fmt.Sprintf("worker %d goes", pid), func() bool {
					return !alive(pid)
				})
			}
		})
	}
}

// alive reports whether the process runs; an orphan that nobody reaps doesn't.
func alive(pid int) bool {
	state := processState(pid)
	return state != 0 && state != 'Z'
}

// processState is the letter of proc_pid_stat(5), or 0 without such a process.
func processState(pid int) byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return state[0]
}

// A hundred lives leave nothing behind.
func TestStartAndStop(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	for i := range 100 {
		mode := modes[i%len(modes)]
		ready := make(chan net.Addr, 2)
		p, err := cluster.New(cluster.Config{
			Workers: 2, Mode: mode, Env: append(on("tcp", "127.0.0.1:0"), envRole+"=name", fastExit),
			OnEvent: func(e cluster.Event) {
				if e.Kind == cluster.Listening {
					ready <- e.Addr
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		workers := p.Workers()
		ask(t, <-ready)
		p.Shutdown(t.Context())
		for _, w := range workers {
			if w.State() != cluster.StateDead || alive(w.PID) {
				t.Fatalf("cycle %d: worker %d is left", i, w.ID)
			}
		}
	}
}

// listeningFDs are the listening sockets of this process.
func listeningFDs() (fds []sock.FD) {
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, l := range links {
		n, _ := strconv.Atoi(filepath.Base(l))
		if on, err := sock.AcceptConn.Get(sock.FD(n)); err == nil && on {
			fds = append(fds, sock.FD(n))
		}
	}
	return fds
}
