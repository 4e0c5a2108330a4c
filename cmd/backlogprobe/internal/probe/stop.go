package probe

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxStop is how long a server is stopped at most.
const maxStop = 2 * time.Second

// A stop holds processes in SIGSTOP. A child of ours sends both signals: it
// resumes them when the pipe to it closes, as it does whatever ends us, and
// after maxStop.
type stop struct {
	child  *exec.Cmd
	pidfds []*os.File
	pipe   *os.File
	said   *bufio.Reader
	output *os.File
	began  time.Time
}

// stopProcesses returns when all threads of the processes have stopped. The
// caller calls resume.
func stopProcesses(pids []int) (*stop, error) {
	for _, pid := range pids {
		if err := mayStop(pid); err != nil {
			return nil, err
		}
	}
	pidfds, err := openPidfds(pids)
	if err != nil {
		return nil, err
	}
	s, err := startResumer(pids, pidfds)
	if err != nil {
		closeAll(pidfds)
		return nil, err
	}
	s.began = time.Now()
	line, err := s.said.ReadString('\n')
	if line = strings.TrimSpace(line); line != "stopped" {
		s.resume()
		if line == "" {
			line = fmt.Sprint(err)
		}
		return nil, fmt.Errorf("stop %v: %s", pids, line)
	}
	return s, nil
}

// mayStop refuses what would not resume as it was, or would stop us too.
func mayStop(pid int) error {
	switch pid {
	case os.Getpid(), os.Getppid():
		return fmt.Errorf("process %d is this program or its parent: it can't be stopped", pid)
	case 1:
		return errors.New("the socket belongs to process 1: that can't be stopped (with socket activation, start the service first)")
	}
	states, err := threadStates(pid)
	if err != nil {
		return err
	}
	if strings.ContainsAny(states, "Tt") {
		return fmt.Errorf("process %d is stopped already: measure without stopping it", pid)
	}
	return nil
}

func openPidfds(pids []int) ([]*os.File, error) {
	var files []*os.File
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("process %d: %w", pid, os.NewSyscallError("pidfd_open", err))
		}
		files = append(files, os.NewFile(uintptr(fd), "pidfd"))
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func startResumer(pids []int, pidfds []*os.File) (*stop, error) {
	in, pipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	output, out, err := os.Pipe()
	if err != nil {
		closeAll([]*os.File{in, pipe})
		return nil, err
	}
	args := []string{resumerName}
	for _, pid := range pids {
		args = append(args, strconv.Itoa(pid))
	}
	child := &exec.Cmd{
		Path: "/proc/self/exe", Args: args, Stdin: in, Stdout: out, ExtraFiles: pidfds,
		// Out of reach of Ctrl-C and of a terminal that hangs up.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = child.Start()
	closeAll([]*os.File{in, out})
	if err != nil {
		closeAll([]*os.File{pipe, output})
		return nil, err
	}
	return &stop{child: child, pidfds: pidfds, pipe: pipe, said: bufio.NewReader(output), output: output}, nil
}

// resume lets the processes go on, and returns how long they were stopped.
func (s *stop) resume() (time.Duration, error) {
	s.pipe.Close()
	_, err := s.said.ReadString('\n')
	if waitErr := s.child.Wait(); waitErr != nil {
		err = waitErr
	}
	if err != nil { // the child was killed
		for _, f := range s.pidfds {
			unix.PidfdSendSignal(int(f.Fd()), unix.SIGCONT, nil, 0)
		}
		err = fmt.Errorf("the helper that resumes the server has died; the server was resumed without it: %w", err)
	}
	stopped := time.Since(s.began)
	s.output.Close()
	closeAll(s.pidfds)
	return stopped, err
}

// overdue reports whether the child has resumed them by itself.
func (s *stop) overdue() bool { return time.Since(s.began) >= maxStop }
