package probe

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// resumer is the child of a stop: its arguments are process ids, and its
// descriptors from 3 on their pidfds. Every way out of it sends SIGCONT.
func resumer(args []string) int {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	over := time.After(maxStop)
	closed := make(chan struct{})
	go func() {
		os.Stdin.Read(make([]byte, 1))
		close(closed)
	}()
	err := stopAll(args)
	if err == nil {
		fmt.Println("stopped")
		select {
		case <-closed:
		case <-over:
		}
	}
	for i := range args {
		unix.PidfdSendSignal(3+i, unix.SIGCONT, nil, 0)
	}
	if err != nil {
		fmt.Println(err)
		return 0
	}
	fmt.Println("resumed")
	return 0
}

func stopAll(pids []string) error {
	for i, pid := range pids {
		if err := unix.PidfdSendSignal(3+i, unix.SIGSTOP, nil, 0); err != nil {
			return fmt.Errorf("process %s: %w (only root and the user of the server may stop it)", pid, err)
		}
	}
	deadline := time.Now().Add(maxStop / 4)
	for _, text := range pids {
		pid, _ := strconv.Atoi(text)
		for {
			states, err := threadStates(pid)
			if err != nil {
				return err
			}
			if strings.Trim(states, "TtZX") == "" {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d has not stopped within %v: a thread is in the kernel", pid, maxStop/4)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// threadStates is a letter for each thread of a process, as in proc_pid_stat(5).
func threadStates(pid int) (string, error) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	var states strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		// The name before it may hold anything, ")" too.
		if i := strings.LastIndexByte(string(text), ')'); i >= 0 && len(text) > i+2 {
			states.WriteByte(text[i+2])
		}
	}
	if states.Len() == 0 {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	return states.String(), nil
}
