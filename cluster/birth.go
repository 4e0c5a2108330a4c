package cluster

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// What a worker is told through its environment.
const (
	envWorker  = "ONCONN_WORKER_ID"  // its ID; what makes it a worker
	envChannel = "ONCONN_CHANNEL_FD" // the descriptor of its channel
	envExec    = "ONCONN_EXEC"       // see execListener
	envImage   = "ONCONN_IMAGE_FD"   // what the primary before has left
	envCheck   = "ONCONN_CHECK_FD"   // where a program that only rehearses answers
)

// ownVariables are for one process alone, and not for those that it starts.
var ownVariables = []string{
	envWorker, envChannel, envImage, envCheck, "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
	"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID",
	envNodeWorker, envNodeChannel, envNodeWriting,
}

// born is what the environment said when this process started.
var born struct {
	worker    bool
	channel   sock.FD
	err       error
	node      *nodeBirth // for a worker of a Node primary
	image     *image     // of the primary before
	imageErr  error      // why it can't be read
	noHangup  bool       // SIGHUP was ignored
	rehearsal sock.FD    // where to say whether it could be taken over, or None
}

// A process learns what it is before main runs, on the main thread, and forgets
// it in its environment, so that the children of a worker are no workers.
func init() {
	if path, ok := os.LookupEnv(envExec); ok {
		execListener(path)
	}
	born.noHangup = hangupIgnored()
	born.rehearsal = fromEnv(envCheck)
	if fd := fromEnv(envImage); fd != sock.None {
		born.image, born.imageErr = readImage(fd)
		// At once: no child may get them.
		if born.image != nil && born.rehearsal == sock.None {
			closeOnExec(born.image.descriptors(), true)
			born.noHangup = born.image.NoHangup
		}
	}
	id, ok := os.LookupEnv(envWorker)
	if !ok {
		born.node = nodeBorn()
		born.worker = born.node != nil
		return
	}
	born.worker = true
	n, err := strconv.Atoi(os.Getenv(envChannel))
	if err != nil {
		born.err = fmt.Errorf("%s=%s but %s is no descriptor: was the environment of worker %s copied?",
			envWorker, id, envChannel, id)
	} else {
		born.channel = sock.FD(n)
		unix.CloseOnExec(n)
	}
	os.Unsetenv(envWorker)
	os.Unsetenv(envChannel)
	forgetListenFDs()
	// The primary's death must not kill a worker that can drain. The signal
	// belongs to the thread that was forked, which is the one that runs init.
	unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)
}

// fromEnv takes a descriptor out of the environment, or None.
func fromEnv(name string) sock.FD {
	n, err := strconv.Atoi(os.Getenv(name))
	os.Unsetenv(name)
	if err != nil {
		return sock.None
	}
	unix.CloseOnExec(n)
	return sock.FD(n)
}

// forgetListenFDs closes the listening sockets that were meant for a program
// that knows only LISTEN_FDS: this one asks for its own.
func forgetListenFDs() {
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID"))
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if pid == os.Getpid() {
		for i := range n {
			sock.FD(firstListenFD + i).Close()
		}
	}
	os.Unsetenv("LISTEN_PID")
	os.Unsetenv("LISTEN_FDS")
	os.Unsetenv("LISTEN_FDNAMES")
}

// firstListenFD is SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstListenFD = 3

// execListener turns this process into the program at path, with LISTEN_PID
// set. The protocol wants there the process's own number, which the one that
// forks can't know before.
func execListener(path string) {
	env := []string{"LISTEN_PID=" + strconv.Itoa(os.Getpid())}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, envExec+"=") && !strings.HasPrefix(v, "LISTEN_PID=") {
			env = append(env, v)
		}
	}
	err := unix.Exec(path, os.Args, env)
	fmt.Fprintf(os.Stderr, "onconn: cannot run %s: %v\n", path, err)
	os.Exit(127)
}
