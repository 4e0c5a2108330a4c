package steer

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A sockArray is a BPF_MAP_TYPE_REUSEPORT_SOCKARRAY. What is done to it needs its
// descriptor and no privilege (before Linux 6.0: CAP_BPF, unless
// kernel.unprivileged_bpf_disabled is 0).
type sockArray sock.FD

// mapElem is what bpf(2) wants to know of one element.
type mapElem struct {
	fd    uint32
	_     uint32
	key   uint64 // pointers
	value uint64
	flags uint64
}

func (a sockArray) call(cmd uintptr, name string, key uint32, value *uint64) error {
	e := mapElem{
		fd:    uint32(a),
		key:   uint64(uintptr(unsafe.Pointer(&key))),
		value: uint64(uintptr(unsafe.Pointer(value))),
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(unsafe.Pointer(&e)), unsafe.Sizeof(e))
	runtime.KeepAlive(&key)
	runtime.KeepAlive(value)
	if errno != 0 {
		return os.NewSyscallError("bpf "+name, errno)
	}
	return nil
}

// put wants a listening socket that is in no such array yet: EBUSY.
func (a sockArray) put(key int, fd sock.FD) error {
	value := uint64(fd)
	return a.call(unix.BPF_MAP_UPDATE_ELEM, "MAP_UPDATE_ELEM", uint32(key), &value)
}

// cookie is the SO_COOKIE of the socket there, or 0.
func (a sockArray) cookie(key int) uint64 {
	var value uint64
	if a.call(unix.BPF_MAP_LOOKUP_ELEM, "MAP_LOOKUP_ELEM", uint32(key), &value) != nil {
		return 0
	}
	return value
}

func (a sockArray) remove(key int) error {
	err := a.call(unix.BPF_MAP_DELETE_ELEM, "MAP_DELETE_ELEM", uint32(key), nil)
	if isErrno(err, unix.ENOENT) {
		return nil
	}
	return err
}
