package session

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// roles are programs under test.
var roles = map[string]func(){
	"nothing": func() {},
	"storm":   storm,
	"child":   func() { knock(); time.Sleep(time.Millisecond) },
	"exec":    execFromThread,
	"exited":  func() { os.Exit(7) },
	"killed":  dieInAccept,
	"signals": countSignals,
	"stopped": stopChild,
	"stop":    stop,
	"setuid":  dropPrivilege,
	"many":    many,
	"pass":    pass,
	"numbers": numbers,
	"ring":    ring,
	"serve":   serveForever,
	"ignore":  ignore,
	"threads": threads,
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "role:", err)
		os.Exit(99)
	}
}

// knock is one socket that is closed again.
func knock() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(err)
	must(unix.Close(fd))
}

// self is a command that plays another role.
func self(role string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envRole+"="+role)
	return cmd
}

// storm starts children in groups, and waits for them.
func storm() {
	for range 10 {
		var group []*exec.Cmd
		for range 5 {
			cmd := self("child")
			must(cmd.Start())
			group = append(group, cmd)
		}
		for _, cmd := range group {
			must(cmd.Wait())
		}
	}
}

// execFromThread runs another program from a thread that isn't the process's first.
func execFromThread() {
	knock()
	failed := make(chan error)
	for range 4 {
		go func() {
			runtime.LockOSThread()
			knock()
			time.Sleep(time.Hour)
		}()
	}
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			failed <- fmt.Errorf("on the first thread")
			return
		}
		must(os.Setenv(envRole, "child"))
		failed <- unix.Exec("/proc/self/exe", []string{"second"}, os.Environ())
	}()
	// The first thread must be busy, for the other to be on another one.
	runtime.LockOSThread()
	must(<-failed)
}

// dieInAccept is killed while it waits for a connection.
func dieInAccept() {
	fd := listener()
	go func() {
		time.Sleep(50 * time.Millisecond)
		unix.Kill(os.Getpid(), unix.SIGKILL)
	}()
	for {
		unix.Syscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
	}
}

// listener is a blocking one on a port that the kernel chooses.
func listener() int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	must(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(unix.Listen(fd, 16))
	return fd
}

// countSignals gets each of the signals that it sends itself.
func countSignals() {
	came := make(chan os.Signal, 100)
	signal.Notify(came, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGTERM)
	for range 20 {
		for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGTERM} {
			must(unix.Kill(os.Getpid(), sig))
			if got := <-came; got != os.Signal(sig) {
				must(fmt.Errorf("%v came for %v", got, sig))
			}
		}
		knock()
	}
}

// stop stops itself, and ends with its standard input.
func stop() {
	knock()
	unix.Kill(os.Getpid(), unix.SIGSTOP)
	knock()
	os.Stdin.Read(make([]byte, 1))
}

// stopChild sees its child stop, continues it, and sees it go on and end.
func stopChild() {
	cmd := self("stop")
	in, err := cmd.StdinPipe()
	must(err)
	must(cmd.Start())
	var status unix.WaitStatus
	_, err = unix.Wait4(cmd.Process.Pid, &status, unix.WUNTRACED, nil)
	must(err)
	if !status.Stopped() || status.StopSignal() != unix.SIGSTOP {
		must(fmt.Errorf("the child didn't stop: %#x", status))
	}
	must(unix.Kill(cmd.Process.Pid, unix.SIGCONT))
	_, err = unix.Wait4(cmd.Process.Pid, &status, unix.WCONTINUED, nil)
	must(err)
	if !status.Continued() {
		must(fmt.Errorf("the child didn't go on: %#x", status))
	}
	must(in.Close())
	_, err = unix.Wait4(cmd.Process.Pid, &status, 0, nil)
	must(err)
	if !status.Exited() || status.ExitStatus() != 0 {
		must(fmt.Errorf("the child ended with %#x", status))
	}
}

func dropPrivilege() {
	knock()
	must(syscall.Setgid(65534))
	must(syscall.Setuid(65534))
	fd := listener()
	must(unix.Close(fd))
}

const manyCalls = 20_000

func many() {
	for range manyCalls / 2 {
		knock()
	}
}

// pass sends a listener from one process to another and lets it accept.
func pass() {
	if os.Getenv("PASS") != "" {
		buf, oob := make([]byte, 16), make([]byte, unix.CmsgSpace(8))
		_, n, _, _, err := unix.Recvmsg(3, buf, oob, 0)
		must(err)
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		must(err)
		fds, err := unix.ParseUnixRights(&messages[0])
		must(err)
		c, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(fds[0]), 0, 0, 0, 0, 0)
		if errno != 0 {
			must(errno)
		}
		unix.Write(int(c), []byte("hello\n"))
		unix.Close(int(c))
		return
	}
	both, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	l := listener()
	name, err := unix.Getsockname(l)
	must(err)
	cmd := self("pass")
	cmd.Env = append(cmd.Env, "PASS=1")
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(both[1]), "pair")}
	must(cmd.Start())
	must(unix.Sendmsg(both[0], []byte("take"), unix.UnixRights(l, 0), nil, 0))
	must(unix.Close(l))
	c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Connect(c, name))
	unix.Read(c, make([]byte, 16))
	must(unix.Close(c))
	must(cmd.Wait())
}

// numbers gives one socket many numbers.
func numbers() {
	fd := listener()
	a, err := unix.Dup(fd)
	must(err)
	b, err := unix.FcntlInt(uintptr(a), unix.F_DUPFD_CLOEXEC, 50)
	must(err)
	must(unix.Dup3(b, 60, 0))
	must(unix.Close(fd))
	must(unix.Listen(60, 5))
	// 60 becomes something else, and comes back.
	null, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	must(err)
	must(unix.Dup3(null, 60, 0))
	unix.Listen(60, 6) // ENOTSOCK
	must(unix.CloseRange(uint(b), uint(b), 0))
	unix.Listen(b, 6) // EBADF
	must(unix.Listen(a, 7))
}

// ring asks for an io_uring, which may be forbidden.
func ring() {
	var params [120]byte
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params)), 0)
	if errno == 0 {
		unix.Close(int(fd))
	}
}

// serveForever says hello, to clients and to a child that never ends.
func serveForever() {
	l := listener()
	name, err := unix.Getsockname(l)
	must(err)
	child := self("ignore")
	ready, err := child.StdoutPipe()
	must(err)
	must(child.Start())
	_, err = ready.Read(make([]byte, 1))
	must(err)
	fmt.Println(name.(*unix.SockaddrInet4).Port)
	for {
		c, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(l), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		if errno != 0 {
			continue
		}
		sock.FD(c).Write([]byte("hello\n"))
		unix.Close(int(c))
	}
}

// ignore can only be killed.
func ignore() {
	signal.Ignore(unix.SIGINT, unix.SIGTERM)
	listener()
	fmt.Println("ready")
	for {
		time.Sleep(time.Hour)
	}
}

// threads makes calls on many threads at a time.
func threads() {
	done := make(chan bool)
	for range 8 {
		go func() {
			runtime.LockOSThread()
			for range 200 {
				knock()
			}
			done <- true
		}()
	}
	for range 8 {
		<-done
	}
}
