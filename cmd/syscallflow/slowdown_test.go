package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/decode"
	"onconn/cmd/syscallflow/internal/follow"
	"onconn/internal/testleak"
)

// serve answers one request per connection, with the fewest calls: accept4, recvfrom,
// sendto, close. It prints its address, and ends with its standard input.
func serve() {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(err)
	check(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(unix.Listen(l, 128))
	name, err := unix.Getsockname(l)
	check(err)
	fmt.Printf("127.0.0.1:%d\n", name.(*unix.SockaddrInet4).Port)
	buf := make([]byte, 512)
	for {
		c, _, _ := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(l), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		if _, _, err := unix.Recvfrom(int(c), buf, 0); err == nil {
			unix.Sendto(int(c), []byte("hello\n"), unix.MSG_NOSIGNAL, nil)
		}
		unix.Close(int(c))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestSlowdown measures how much slower a server becomes that makes nothing but the
// calls that are traced, beside strace with the same calls, in turns. Times of a busy
// machine prove nothing, so it only fails when we are far off; -v has the figures.
func TestSlowdown(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("it takes seconds, and the race detector slows only us")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	testleak.FDs(t)
	testleak.Zombies(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ways := []struct {
		name string
		args []string
	}{
		{"untraced", []string{self}},
		{"strace", []string{strace, "-f", "--seccomp-bpf", "-e", "trace=" + strings.Join(traced(), ","), "-o", "/dev/null", self}},
		{"syscallflow", []string{self, "record", "--packets=false", "--waits=false", "-o", "/dev/null", "--", self}},
		{"syscallflow with packets", []string{self, "record", "--waits=false", "-o", "/dev/null", "--", self}},
	}
	const rounds, connections = 2, 1000
	type cost struct{ took, cpu time.Duration }
	best := make([]cost, len(ways))
	for range rounds {
		for i, w := range ways {
			took, cpu := load(t, w.args, connections)
			if b := &best[i]; b.took == 0 {
				*b = cost{took, cpu}
			} else {
				b.took, b.cpu = min(b.took, took), min(b.cpu, cpu)
			}
		}
	}
	micro := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	for i, w := range ways {
		t.Logf("%-24s %6.1f µs per connection: %.2f x untraced, %.2f x strace; %5.1f µs of CPU: %.2f x strace", w.name,
			micro(best[i].took), float64(best[i].took)/float64(best[0].took), float64(best[i].took)/float64(best[1].took),
			micro(best[i].cpu), float64(best[i].cpu)/float64(best[1].cpu))
	}
	if ratio := float64(best[2].cpu) / float64(best[1].cpu); ratio > 3 {
		t.Errorf("a connection takes %.1f times the CPU that it takes under strace", ratio)
	}
}

// traced are the calls that are traced without waits.
func traced() (names []string) {
	for _, f := range (follow.Config{}).Filters() {
		names = append(names, decode.Calls[f.Number].Name)
	}
	slices.Sort(names)
	return names
}

// load starts a server and connects to it from two sides, so many times in all. It
// returns the time that a connection took, and the CPU time of the server and of who
// traces it, their beginning and end included.
func load(t *testing.T, args []string, connections int) (took, cpu time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), envServer+"=1")
	if len(args) > 1 && args[1] == "record" {
		cmd.Env = append(cmd.Env, envMain+"=1")
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	// syscallflow has the program's output on its standard error.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	defer r.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()) / time.Duration(connections)
	}()
	address, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	begin := time.Now()
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			buf := make([]byte, 64)
			for range connections / 2 {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				c.Write([]byte("GET /\n"))
				if _, err := io.ReadAtLeast(c, buf, 6); err != nil {
					t.Error(err)
				}
				c.Close()
			}
		})
	}
	clients.Wait()
	return time.Since(begin) / time.Duration(connections), 0
}
