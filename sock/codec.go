package sock

import (
	"bytes"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A codec moves a T to and from the kernel. Each function makes one system call
// and returns a bare errno.
type codec[T any] struct {
	set func(fd FD, level, number int, v T) error
	get func(fd FD, level, number int) (T, error)
}

// object is the codec of a value that the kernel has as a K, a number or a
// struct without pointers.
func object[T, K any](to func(T) (K, error), from func(K) T) codec[T] {
	return codec[T]{
		set: func(fd FD, level, number int, v T) error {
			k, err := to(v)
			if err != nil {
				return err
			}
			return setsockopt(fd, level, number, unsafe.Pointer(&k), unsafe.Sizeof(k))
		},
		get: func(fd FD, level, number int) (v T, err error) {
			var k K // an older kernel's shorter struct leaves the rest zero
			if _, err = getsockopt(fd, level, number, unsafe.Pointer(&k), unsafe.Sizeof(k)); err != nil {
				return v, err
			}
			return from(k), nil
		},
	}
}

// same is the codec of a value that Go and the kernel write alike.
func same[K any]() codec[K] {
	return object(func(v K) (K, error) { return v, nil }, func(k K) K { return k })
}

var (
	flag = object(
		func(v bool) (int32, error) {
			if v {
				return 1, nil
			}
			return 0, nil
		},
		func(k int32) bool { return k != 0 })

	number     = integer[int]()
	protocol   = integer[Protocol]()
	socketType = integer[Type]()

	family     = object(nil, func(k int32) Family { return Family(k) })
	descriptor = object(func(v FD) (int32, error) { return int32(v), nil }, func(k int32) FD { return FD(k) })

	// action is the codec of an option that is an order and has no value: the
	// kernel wants an int and ignores it.
	action = object[struct{}, int32](func(struct{}) (int32, error) { return 0, nil }, nil)

	pendingError = object(nil, func(k int32) error {
		if k == 0 {
			return nil
		}
		return unix.Errno(k)
	})
)

// integer is the codec of an int.
func integer[T ~int]() codec[T] {
	return object(
		func(v T) (int32, error) {
			if T(int32(v)) != v {
				return 0, unix.EINVAL
			}
			return int32(v), nil
		},
		func(k int32) T { return T(k) })
}

// duration is the codec of a whole number of units. A fraction is rounded away
// from zero, so that a short time never becomes the zero that means "off" or
// "default"; of negative times the kernel judges.
func duration(unit time.Duration) codec[time.Duration] {
	return object(
		func(v time.Duration) (int32, error) {
			k := v / unit
			switch rest := v % unit; {
			case rest > 0:
				k++
			case rest < 0:
				k--
			}
			if time.Duration(int32(k)) != k {
				return 0, unix.EINVAL
			}
			return int32(k), nil
		},
		func(k int32) time.Duration { return time.Duration(k) * unit })
}

// timeval is the codec of a struct timeval, rounded up to its microseconds.
var timeval = object(
	func(v time.Duration) (unix.Timeval, error) {
		if v < 0 {
			return unix.Timeval{}, unix.EINVAL // the kernel would take it for zero
		}
		return unix.NsecToTimeval(int64(v)), nil
	},
	func(k unix.Timeval) time.Duration { return time.Duration(k.Nano()) })

// nameSize is IFNAMSIZ, TCP_CA_NAME_MAX and TCP_ULP_NAME_MAX.
const nameSize = 16

// text is the codec of a name that the kernel keeps in nameSize bytes with its
// NUL. It would cut a longer one silently.
var text = codec[string]{
	set: func(fd FD, level, number int, v string) error {
		if len(v) >= nameSize {
			return unix.ENAMETOOLONG
		}
		if strings.IndexByte(v, 0) >= 0 {
			return unix.EINVAL
		}
		return setsockopt(fd, level, number, unsafe.Pointer(unsafe.StringData(v)), uintptr(len(v)))
	},
	get: func(fd FD, level, number int) (string, error) {
		var b [nameSize]byte
		n, err := getsockopt(fd, level, number, unsafe.Pointer(&b), nameSize)
		if err != nil {
			return "", err
		}
		name, _, _ := bytes.Cut(b[:n], []byte{0})
		return string(name), nil
	},
}

// blob is the codec of bytes, usually no more than size. A kernel whose answer
// is longer says EINVAL and how long it is.
func blob(size int) codec[[]byte] {
	return codec[[]byte]{
		set: func(fd FD, level, number int, v []byte) error {
			return setsockopt(fd, level, number, unsafe.Pointer(unsafe.SliceData(v)), uintptr(len(v)))
		},
		get: func(fd FD, level, number int) ([]byte, error) {
			for size := size; ; {
				b := make([]byte, size)
				n, err := getsockopt(fd, level, number, unsafe.Pointer(&b[0]), uintptr(size))
				if err == nil {
					return b[:n], nil
				}
				if err != unix.EINVAL || n <= size {
					return nil, err
				}
				size = n
			}
		},
	}
}

// program is the codec of a classic BPF program, struct sock_fprog.
var program = codec[[]unix.SockFilter]{
	set: func(fd FD, level, number int, v []unix.SockFilter) error {
		if len(v) == 0 || len(v) > maxProgram {
			return unix.EINVAL
		}
		k := unix.SockFprog{Len: uint16(len(v)), Filter: &v[0]}
		err := setsockopt(fd, level, number, unsafe.Pointer(&k), unsafe.Sizeof(k))
		runtime.KeepAlive(v)
		return err
	},
}

// maxProgram is BPF_MAXINSNS of <linux/bpf_common.h>.
const maxProgram = 4096

func setsockopt(fd FD, level, number int, p unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(number),
		uintptr(p), size, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// getsockopt returns the length that the kernel reports, on an error too.
func getsockopt(fd FD, level, number int, p unsafe.Pointer, size uintptr) (int, error) {
	n := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(number),
		uintptr(p), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return int(n), errno
	}
	return int(n), nil
}
