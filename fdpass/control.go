package fdpass

import (
	"encoding/binary"
	"iter"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// MaxFDs is the most descriptors that one message carries: SCM_MAX_FD of
// <net/scm.h>.
const MaxFDs = 253

// controlSize is room for a full SCM_RIGHTS message, credentials, a pidfd, a
// security label and timestamps, whatever options are set on the socket: the
// kernel closes descriptors that have no room.
const controlSize = int(unsafe.Sizeof(rights{})) + 512

// rights is one SCM_RIGHTS control message as the kernel has it.
type rights struct {
	unix.Cmsghdr
	fds [MaxFDs]int32
}

// encode fills r in with at most MaxFDs descriptors and returns its bytes.
func (r *rights) encode(fds []sock.FD) []byte {
	if len(fds) == 0 {
		return nil
	}
	r.Level = unix.SOL_SOCKET
	r.Type = unix.SCM_RIGHTS
	r.SetLen(unix.CmsgLen(4 * len(fds)))
	for i, fd := range fds {
		r.fds[i] = int32(fd)
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(r)), unix.CmsgSpace(4*len(fds)))
}

// cut splits the first control message off. It is false at the end, and where
// the rest is no whole message.
func cut(control []byte) (h unix.Cmsghdr, data, rest []byte, ok bool) {
	if len(control) < unix.SizeofCmsghdr {
		return h, nil, nil, false
	}
	// Copied out, because a slice of bytes may be aligned anyhow.
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofCmsghdr), control)
	if h.Len < unix.SizeofCmsghdr || uint64(h.Len) > uint64(len(control)) {
		return h, nil, nil, false
	}
	data = control[unix.SizeofCmsghdr:h.Len]
	rest = control[min(unix.CmsgSpace(len(data)), len(control)):]
	return h, data, rest, true
}

// descriptors are those in control data, each with whether it was passed by
// SCM_RIGHTS and is no pidfd of the sender. Closing them is the caller's.
func descriptors(control []byte) iter.Seq2[sock.FD, bool] {
	return func(yield func(sock.FD, bool) bool) {
		for h, data, rest, ok := cut(control); ok; h, data, rest, ok = cut(rest) {
			if h.Level != unix.SOL_SOCKET || h.Type != unix.SCM_RIGHTS && h.Type != unix.SCM_PIDFD {
				continue
			}
			for ; len(data) >= 4; data = data[4:] {
				fd := int32(binary.NativeEndian.Uint32(data))
				if fd < 0 { // SCM_PIDFD may carry an errno instead
					continue
				}
				if !yield(sock.FD(fd), h.Type == unix.SCM_RIGHTS) {
					return
				}
			}
		}
	}
}

// collect puts the descriptors that were passed into fds and closes every other
// one. It reports how many it put, and whether all that were passed had a place.
func collect(control []byte, fds []sock.FD) (n int, all bool) {
	all = true
	for fd, passed := range descriptors(control) {
		switch {
		case !passed:
			fd.Close()
		case n == len(fds):
			fd.Close()
			all = false
		default:
			fds[n] = fd
			n++
		}
	}
	return n, all
}
