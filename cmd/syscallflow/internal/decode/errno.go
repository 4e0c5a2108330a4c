package decode

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Errno is the name of what a call returned, "EAGAIN"; empty: it returned no error.
func Errno(value int64) string {
	if value >= 0 || value < -4095 {
		return ""
	}
	errno := int(-value)
	if name, ok := restarts[errno]; ok {
		return name
	}
	if name := unix.ErrnoName(unix.Errno(errno)); name != "" {
		return name
	}
	return strconv.Itoa(errno)
}

// restarts are what only a tracer sees: a signal came, and the kernel will make the
// call again, or return EINTR. See include/linux/errno.h of the kernel.
var restarts = map[int]string{
	512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK",
}
