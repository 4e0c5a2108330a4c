package backlog

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Numbers of include/uapi/linux/unix_diag.h.
const (
	sizeofUnixReq = 24 // struct unix_diag_req
	sizeofUnixMsg = 16 // struct unix_diag_msg

	unixDiagName  = 0
	unixDiagVFS   = 1
	unixDiagRqLen = 4
	unixDiagUID   = 7

	udiagShowName  = 0x01
	udiagShowVFS   = 0x02
	udiagShowRqLen = 0x10
	udiagShowUID   = 0x40
)

// A unixSocket is one row of unix_diag.
type unixSocket struct {
	typ, state   uint8
	inode        uint32
	cookie       uint64
	name         string // as in sun_path
	vfsInode     uint32 // of the file it is bound to
	vfsDev       uint32 // the kernel's dev_t, major<<20 | minor
	depth, limit uint32
	uid          uint32
}

// unixSockets lists the unix sockets in the given states, with what show
// (UDIAG_SHOW_*) asks for.
func unixSockets(d *diag, states, show uint32) ([]unixSocket, error) {
	return dump(d, nil, unixRequest(0, states, show), func(body []byte) (unixSocket, bool, error) {
		s, err := parseUnix(body)
		return s, err == nil, err
	})
}

// unixByInode looks one unix socket up. ENOENT: this network namespace has none.
func unixByInode(d *diag, inode uint32) (s unixSocket, err error) {
	err = d.lookup(unixRequest(inode, anyState, udiagShowRqLen), func(body []byte) (err error) {
		s, err = parseUnix(body)
		return err
	})
	return s, err
}

const anyState = ^uint32(0)

func unixRequest(inode, states, show uint32) []byte {
	req := make([]byte, sizeofUnixReq)
	req[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(req[4:], states)
	binary.NativeEndian.PutUint32(req[8:], inode)
	binary.NativeEndian.PutUint32(req[12:], show)
	binary.NativeEndian.PutUint64(req[16:], noCookie)
	return req
}

func parseUnix(b []byte) (unixSocket, error) {
	if len(b) < sizeofUnixMsg {
		return unixSocket{}, errTruncated
	}
	s := unixSocket{
		typ:    b[1],
		state:  b[2],
		inode:  binary.NativeEndian.Uint32(b[4:]),
		cookie: uint64(binary.NativeEndian.Uint32(b[8:])) | uint64(binary.NativeEndian.Uint32(b[12:]))<<32,
	}
	err := attributes(b[sizeofUnixMsg:], func(kind uint16, v []byte) {
		switch {
		case kind == unixDiagName:
			s.name = string(v)
		case kind == unixDiagVFS && len(v) >= 8:
			s.vfsInode = binary.NativeEndian.Uint32(v)
			s.vfsDev = binary.NativeEndian.Uint32(v[4:])
		case kind == unixDiagRqLen && len(v) >= 8:
			s.depth = binary.NativeEndian.Uint32(v)
			s.limit = binary.NativeEndian.Uint32(v[4:])
		case kind == unixDiagUID && len(v) >= 4:
			s.uid = binary.NativeEndian.Uint32(v)
		}
	})
	return s, err
}
