package tracer

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// helperName, as argv[0], makes a copy of this program the child that becomes the
// traced one: helperName, the descriptors of two pipes, the path, its arguments.
const helperName = "syscallflow-tracee"

// The child begins here, before main and its flags: the program may be the command or
// a test. The runtime keeps init on the main thread, the only one that the tracer
// seizes and so the only one that may go on to exec.
func init() {
	if os.Args[0] == helperName && len(os.Args) >= 5 {
		becomeTracee(os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	}
}

// becomeTracee waits for the filter, which says that the tracer is ready, installs it
// and becomes the program. What goes wrong it writes to the other pipe.
func becomeTracee(from, to, path string, args []string) {
	in, _ := strconv.Atoi(from)
	out, _ := strconv.Atoi(to)
	unix.CloseOnExec(in)
	unix.CloseOnExec(out)
	err := func() error {
		filter, err := readFilter(in)
		if err != nil {
			return err
		}
		if err := install(filter); err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
		return errExec(path, unix.Exec(path, args, os.Environ()))
	}()
	unix.Write(out, []byte(err.Error()))
	os.Exit(127)
}

func readFilter(fd int) ([]unix.SockFilter, error) {
	file := os.NewFile(uintptr(fd), "pipe")
	var n uint32
	if err := binary.Read(file, binary.NativeEndian, &n); err != nil {
		return nil, err
	}
	filter := make([]unix.SockFilter, n)
	return filter, binary.Read(file, binary.NativeEndian, filter)
}

// install gives this thread the filter. That needs CAP_SYS_ADMIN or the promise never
// to gain privileges, which makes set-user-ID programs lose that bit's effect.
func install(filter []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
			unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(&program)))
		if errno == 0 {
			return nil
		}
		set, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
		if errno != unix.EACCES || set == 1 {
			return errno
		}
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
}
