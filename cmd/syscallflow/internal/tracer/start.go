package tracer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// start starts the helper, seizes it and lets it become the program.
func (t *Tracer) start(c Command) (pid int, err error) {
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return 0, err
	}
	// Not close-on-exec, and passed by their numbers, so that descriptors which this
	// process has inherited keep theirs in the program.
	var in, out [2]int
	if err := unix.Pipe2(in[:], 0); err != nil {
		return 0, os.NewSyscallError("pipe2", err)
	}
	if err := unix.Pipe2(out[:], 0); err != nil {
		unix.Close(in[0])
		unix.Close(in[1])
		return 0, os.NewSyscallError("pipe2", err)
	}
	unix.CloseOnExec(in[1])
	unix.CloseOnExec(out[0])
	argv := append([]string{helperName, strconv.Itoa(in[0]), strconv.Itoa(out[1]), path}, c.Args...)
	pid, err = syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{
		Env:   c.env(),
		Files: []uintptr{file(c.Stdin, 0), file(c.Stdout, 1), file(c.Stderr, 2)},
	})
	unix.Close(in[0])
	unix.Close(out[1])
	to, from := os.NewFile(uintptr(in[1]), "pipe"), os.NewFile(uintptr(out[0]), "pipe")
	defer to.Close()
	if err != nil {
		from.Close()
		return 0, errExec("/proc/self/exe", err)
	}
	if err := t.prepare(pid, to); err != nil {
		from.Close()
		unix.Kill(pid, unix.SIGKILL)
		unix.Wait4(pid, nil, unix.WALL, nil)
		return 0, err
	}
	t.failure = make(chan error, 1)
	go func() {
		defer from.Close()
		text, _ := io.ReadAll(from) // until exec closes it
		if len(text) > 0 {
			t.failure <- errors.New(string(text))
		}
		close(t.failure)
	}()
	return pid, nil
}

func (c Command) env() []string {
	if c.Env == nil {
		return os.Environ()
	}
	return c.Env
}

func file(f *os.File, otherwise uintptr) uintptr {
	if f == nil {
		return otherwise
	}
	return f.Fd()
}

func (t *Tracer) prepare(pid int, to *os.File) error {
	if err := ptrace(unix.PTRACE_SEIZE, pid, 0, options|unix.PTRACE_O_TRACESECCOMP|unix.PTRACE_O_EXITKILL); err != nil {
		return refused(pid, err)
	}
	if err := Memory(pid).readable(); err != nil {
		return err
	}
	t.add(pid, pid)
	if err := binary.Write(to, binary.NativeEndian, uint32(len(t.filters))); err != nil {
		return err
	}
	return binary.Write(to, binary.NativeEndian, t.filters)
}

// refused says why ptrace(2) may have been refused.
func refused(pid int, err error) error {
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w: a container's seccomp profile or kernel.yama.ptrace_scope may forbid it, "+
			"or it is traced already, or it belongs to another user", err)
	}
	return fmt.Errorf("trace process %d: %w", pid, err)
}
