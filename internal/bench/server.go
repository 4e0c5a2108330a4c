package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/bench/clock"
	"onconn/internal/bench/peer"
)

// A server is a peer that runs.
type server struct {
	name string
	addr string
	cmd  *exec.Cmd
	log  *tail
}

// start runs a peer on the given CPUs and waits until it accepts connections.
func start(ctx context.Context, name string, command peer.Command, workers int, cpus unix.CPUSet) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	argv := command(addr, workers)
	s := &server{name: name, addr: addr, cmd: exec.Command(argv[0], argv[1:]...), log: new(tail)}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.WaitDelay = time.Second
	if err := startOn(s.cmd, cpus); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for end := time.Now().Add(20 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
			return s, nil
		}
		if time.Now().After(end) || ctx.Err() != nil || !alive(s.cmd.Process.Pid) {
			s.stop()
			return nil, fmt.Errorf("%s doesn't listen: %w\n%s", name, errors.Join(err, ctx.Err()), s.log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// startOn starts a command in a process group of its own, on the given CPUs. It dies
// with this thread, the first.
func startOn(cmd *exec.Cmd, cpus unix.CPUSet) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	if err := unix.SchedSetaffinity(0, &cpus); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	return errors.Join(cmd.Start(), os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &before)))
}

// alive reports whether a child that hasn't been waited for still runs.
func alive(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo == 0
}

// stop ends it by SIGTERM, and what is left of it after some seconds by SIGKILL.
func (s *server) stop() {
	group := -s.cmd.Process.Pid
	pids := clock.Tree(s.cmd.Process.Pid)
	syscall.Kill(s.cmd.Process.Pid, syscall.SIGTERM)
	kill := time.AfterFunc(5*time.Second, func() { syscall.Kill(group, syscall.SIGKILL) })
	s.cmd.Wait() // by a signal, as a rule
	kill.Stop()
	for end := time.Now().Add(2 * time.Second); len(pids) > 1 && syscall.Kill(group, 0) == nil && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // fasthttp's children go later
	}
	syscall.Kill(group, syscall.SIGKILL)
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// A tail keeps the last of what a server says.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	*t = (*t)[max(0, len(*t)-4<<10):]
	return len(p), nil
}

func (t *tail) String() string { return string(*t) }
