package listen_test

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A process is the test binary run again as one of children.
type process struct {
	t   *testing.T
	pid int
	out *os.File
	in  *os.File

	waited bool
}

// startChild starts one with the descriptors from its number 3 on. It ends when
// its standard input does, or by itself.
func startChild(t *testing.T, role string, env []string, attr *syscall.SysProcAttr, fds ...sock.FD) *process {
	t.Helper()
	var in, out [2]int
	for _, p := range []*[2]int{&in, &out} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	files := []uintptr{uintptr(in[0]), uintptr(out[1]), 2}
	for _, fd := range fds {
		files = append(files, uintptr(fd))
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"child"}, &syscall.ProcAttr{
		Env:   append(append(os.Environ(), env...), "LISTEN_TEST_CHILD="+role, "GORACE=atexit_sleep_ms=0"),
		Files: files,
		Sys:   attr,
	})
	unix.Close(in[0])
	unix.Close(out[1])
	p := &process{
		t:   t,
		pid: pid,
		out: os.NewFile(uintptr(out[0]), "child's output"),
		in:  os.NewFile(uintptr(in[1]), "child's input"),
	}
	if err != nil {
		p.in.Close()
		p.out.Close()
		t.Skip("cannot start the child: ", err)
	}
	t.Cleanup(func() {
		if !p.waited {
			p.wait()
		}
	})
	return p
}

// wait gives the child the end of its input, and returns all that it said.
func (p *process) wait() string {
	p.t.Helper()
	p.waited = true
	p.in.Close()
	b, err := io.ReadAll(p.out)
	p.out.Close()
	if err != nil {
		p.t.Error(err)
	}
	var status syscall.WaitStatus
	for {
		_, err = syscall.Wait4(p.pid, &status, 0, nil)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil || status != 0 {
		p.t.Errorf("child: %v, status %#x, it said: %s", err, status, b)
	}
	return string(b)
}

func runChild(t *testing.T, role string, env []string, fds ...sock.FD) string {
	t.Helper()
	return startChild(t, role, env, nil, fds...).wait()
}

// say prints a line of a child's output.
func say(what ...any) { fmt.Println(what...) }

// denyIPv6 has this thread, which the caller keeps, get EAFNOSUPPORT for IPv6
// sockets, as on a machine without it.
func denyIPv6() {
	runtime.LockOSThread()
	const data = 16 // offset of the first argument in struct seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: data},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.AF_INET6, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		say(err)
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		say(err)
	}
}
