package cluster

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"onconn/internal/epoll"
	"onconn/sock"
)

// A starter forks the workers, all from one thread: PR_SET_PDEATHSIG tells a
// child of the death of the thread that forked it.
type starter struct {
	jobs chan func()
}

func newStarter(upgraded bool) *starter {
	s := &starter{make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if upgraded {
			unblockSignals()
		}
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

// do runs job on the thread.
func (s *starter) do(job func()) {
	done := make(chan struct{})
	s.jobs <- func() {
		job()
		close(done)
	}
	<-done
}

// rehearse starts this process's program as a child that only rehearses an
// upgrade. The descriptors stay the caller's.
func (s *starter) rehearse(path string, null *os.File, image, answer sock.FD) (pid int, err error) {
	attr := &syscall.ProcAttr{
		Env:   append(environment(os.Environ()), envImage+"=3", envCheck+"=4"),
		Files: []uintptr{null.Fd(), 1, 2, uintptr(image), uintptr(answer)},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	s.do(func() { pid, err = syscall.ForkExec(path, os.Args, attr) })
	if err != nil {
		return 0, &os.PathError{Op: "fork/exec", Path: path, Err: err}
	}
	return pid, nil
}

// stop ends the thread. No child may be left that minds.
func (s *starter) stop() { close(s.jobs) }

// A command is what a worker runs.
type command struct {
	path    string
	args    []string // with the name
	dir     string
	env     []string // without what start adds
	in, out *os.File
	err     sock.FD
	id      int
	listen  []inherited
	node    bool // it speaks as Node does
}

// inherited is a listening socket for a program that knows LISTEN_FDS.
type inherited struct {
	fd   sock.FD
	name string
}

// start forks and executes the command. The channel's descriptor stays the
// caller's. The result is the process's number and a pidfd, which the caller
// owns, or None where the kernel has none (before 5.4).
func (s *starter) start(c command, channel sock.FD) (pid int, pidfd sock.FD, err error) {
	fds := []uintptr{c.in.Fd(), c.out.Fd(), uintptr(c.err)}
	for _, l := range c.listen {
		fds = append(fds, uintptr(l.fd))
	}
	env := slices.Clone(c.env)
	names := [2]string{envWorker, envChannel}
	if c.node {
		names = [2]string{envNodeWorker, envNodeChannel}
	}
	env = append(env, names[0]+"="+strconv.Itoa(c.id), names[1]+"="+strconv.Itoa(len(fds)))
	fds = append(fds, uintptr(channel))

	path := c.path
	if len(c.listen) > 0 {
		names := make([]string, len(c.listen))
		for i, l := range c.listen {
			names[i] = l.name
		}
		env = append(env, "LISTEN_FDS="+strconv.Itoa(len(c.listen)), "LISTEN_FDNAMES="+strings.Join(names, ":"), envExec+"="+c.path)
		path = "/proc/self/exe"
	}

	raw := -1
	attr := &syscall.ProcAttr{
		Dir:   c.dir,
		Env:   env,
		Files: fds, // raw, so that O_NONBLOCK stays as it is
		Sys: &syscall.SysProcAttr{
			Setpgid:   true, // a terminal's Ctrl-C is for the primary alone
			Pdeathsig: syscall.SIGTERM,
			PidFD:     &raw,
		},
	}
	s.do(func() { pid, err = syscall.ForkExec(path, c.args, attr) })
	if err != nil {
		return 0, sock.None, &os.PathError{Op: "fork/exec", Path: c.path, Err: err}
	}
	return pid, sock.FD(raw), nil
}

// awaitExit blocks until the process has exited, and doesn't reap it. pidfd stays
// the caller's.
func awaitExit(pid int, pidfd sock.FD) {
	if pidfd != sock.None && awaitPidfd(pidfd) == nil {
		return
	}
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}

// waitStatus reaps a process that has exited.
func waitStatus(pid int) (status syscall.WaitStatus) {
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err != syscall.EINTR {
			return status
		}
	}
}

// awaitPidfd blocks in the runtime's poller, where wait4 would hold a thread,
// until the process behind pidfd has exited.
func awaitPidfd(pidfd sock.FD) error {
	dup, err := pidfd.Dup() // a file wants a descriptor of its own
	if err != nil {
		return err
	}
	unix.SetNonblock(int(dup), true) // else the file isn't pollable
	f := os.NewFile(uintptr(dup), "pidfd")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return waitReadable(raw)
}

// waitReadable blocks in the runtime's poller until there is something to read, or
// the end.
func waitReadable(raw syscall.RawConn) error {
	return raw.Read(func(fd uintptr) bool { return epoll.Readable(sock.FD(fd)) })
}
