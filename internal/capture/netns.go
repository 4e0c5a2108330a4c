package capture

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNetns runs f in the network namespace of a file. Sockets belong to the
// namespace of the thread that made them.
func inNetns(path string, f func() error) error {
	if path == "" {
		return f()
	}
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	raw, err := ns.SyscallConn()
	if err != nil {
		return err
	}
	return onThread(func() error {
		var errno error
		err := raw.Control(func(fd uintptr) { errno = unix.Setns(int(fd), unix.CLONE_NEWNET) })
		if err == nil && errno != nil {
			err = &os.PathError{Op: "setns", Path: path, Err: errno}
		}
		if err != nil {
			return err
		}
		return f()
	})
}

// onThread calls f on a thread that dies with its goroutine, so that nobody else
// gets one that is in another namespace.
func onThread(f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The first thread can't die, and /proc/PID shows where it is left.
			err = onThread(f)
			runtime.UnlockOSThread()
			return
		}
		err = f()
	}()
	<-done
	return err
}
