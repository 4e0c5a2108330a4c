package decode

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// sizeofMsghdr is sizeof(struct msghdr) where pointers have 8 bytes, and that of
// struct mmsghdr, which adds a length.
const (
	sizeofMsghdr  = 56
	sizeofMmsghdr = 64
)

// A msghdr is the struct of sendmsg(2).
type msghdr struct {
	name    uint64
	nameLen uint32
	iov     uint64
	iovLen  uint64
	control uint64
	conLen  uint64
	flags   uint32
}

func parseMsghdr(b []byte) (h msghdr, ok bool) {
	if len(b) < sizeofMsghdr {
		return h, false
	}
	return msghdr{
		name: word(b, 0), nameLen: binary.NativeEndian.Uint32(b[8:]),
		iov: word(b, 16), iovLen: word(b, 24),
		control: word(b, 32), conLen: word(b, 40),
		flags: binary.NativeEndian.Uint32(b[48:]),
	}, true
}

// maxControl is enough for SCM_MAX_FD, 253, descriptors and credentials.
const maxControl = 4096

// message reads a struct msghdr, with as many bytes of data as were moved.
func (d *decoder) message(h msghdr, moved int64) string {
	all := vectors(d.memory, h.iov, h.iovLen)
	total := sum(all)
	if moved >= 0 {
		total = min(total, uint64(moved))
	}
	data := gather(d.memory, all, total, d.prefix)
	d.result.data(data, total)

	var b strings.Builder
	if h.name != 0 {
		text, short := Address(bytesAt(d.memory, h.name, uint64(h.nameLen), maxAddress))
		fmt.Fprintf(&b, "msg_name=%s, ", text)
		d.result.Address = short
	}
	fmt.Fprintf(&b, "msg_iov=[%s]", quote(data, total))
	if len(all) > 1 {
		fmt.Fprintf(&b, " in %d parts", len(all))
	}
	if control := bytesAt(d.memory, h.control, h.conLen, maxControl); len(control) > 0 {
		texts, rights := controls(control)
		fmt.Fprintf(&b, ", msg_control=[%s]", strings.Join(texts, ", "))
		d.result.Rights = append(d.result.Rights, rights...)
	}
	if h.flags != 0 && moved >= 0 {
		b.WriteString(", msg_flags=" + join(uint64(h.flags), messageFlagNames))
	}
	return "{" + b.String() + "}"
}

// controls reads control messages, see cmsg(3), and the descriptors in them.
func controls(b []byte) (texts []string, rights []int) {
	for len(b) >= unix.SizeofCmsghdr {
		length := word(b, 0)
		level, typ := int(int32(binary.NativeEndian.Uint32(b[8:]))), int(int32(binary.NativeEndian.Uint32(b[12:])))
		if length < unix.SizeofCmsghdr || length > uint64(len(b)) {
			break
		}
		value := b[unix.SizeofCmsghdr:length]
		switch {
		case level == unix.SOL_SOCKET && typ == unix.SCM_RIGHTS:
			var fds []string
			for ; len(value) >= 4; value = value[4:] {
				fd := int(int32(binary.NativeEndian.Uint32(value)))
				rights = append(rights, fd)
				fds = append(fds, fmt.Sprint(fd))
			}
			texts = append(texts, "SCM_RIGHTS ["+strings.Join(fds, ", ")+"]")
		case level == unix.SOL_SOCKET && typ == unix.SCM_CREDENTIALS && len(value) >= 12:
			texts = append(texts, fmt.Sprintf("SCM_CREDENTIALS {pid=%d, uid=%d, gid=%d}", binary.NativeEndian.Uint32(value),
				binary.NativeEndian.Uint32(value[4:]), binary.NativeEndian.Uint32(value[8:])))
		default:
			texts = append(texts, fmt.Sprintf("level %d, type %d, %d bytes", level, typ, len(value)))
		}
		next := (length + 7) &^ 7 // CMSG_ALIGN
		if next >= uint64(len(b)) {
			break
		}
		b = b[next:]
	}
	return texts, rights
}

// maxMessages is how many of sendmmsg are printed; more are counted.
const maxMessages = 16

// messages reads struct mmsghdr: n of them, or as many as were moved.
func (d *decoder) messages(addr, n uint64, moved int64) string {
	if moved >= 0 {
		n = min(n, uint64(moved))
	}
	b := bytesAt(d.memory, addr, min(n, maxMessages)*sizeofMmsghdr, maxMessages*sizeofMmsghdr)
	var texts []string
	for ; len(b) >= sizeofMmsghdr; b = b[sizeofMmsghdr:] {
		h, _ := parseMsghdr(b)
		length := int64(-1)
		if moved >= 0 {
			length = int64(binary.NativeEndian.Uint32(b[sizeofMsghdr:]))
		}
		texts = append(texts, d.message(h, length))
	}
	if n > maxMessages {
		texts = append(texts, fmt.Sprintf("%d more", n-maxMessages))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
