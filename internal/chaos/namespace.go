package chaos

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inNamespace calls f on a thread that is in a network namespace of its own, in
// which a sysctl is set. Processes that f starts on that thread are in it too.
func inNamespace(sysctl, value string, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with its goroutine
		err := enterNamespace(sysctl, value)
		if err == nil {
			err = f()
		}
		result <- err
	}()
	return <-result
}

func enterNamespace(sysctl, value string) error {
	err := unix.Unshare(unix.CLONE_NEWNET)
	if errors.Is(err, unix.EPERM) {
		return errors.New("a network namespace needs root (CAP_SYS_ADMIN)")
	}
	if err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	err = os.WriteFile("/proc/sys/"+sysctl, []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("this kernel has no %s: %w", sysctl, err)
	}
	return err
}

// loopbackUp is SIOCSIFFLAGS of netdevice(7).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	request := struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: unix.IFF_UP}
	copy(request.name[:], "lo")
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return os.NewSyscallError("ioctl SIOCSIFFLAGS", errno)
	}
	return nil
}
