package backlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A holding is the lowest descriptor that a process has for a socket.
type holding struct {
	inode   uint32
	pid, fd int
}

// holdings finds the processes that hold the wanted sockets, ordered by process
// as /proc is. It sees those that we may look into. It reads each of their
// descriptors and allocates nothing for them, as there may be many thousands.
func holdings(wanted func(inode uint32) bool) (all []holding) {
	var fds, link [4 << 10]byte
	eachProcess(func(proc, pid int) {
		dir, err := unix.Openat(proc, strconv.Itoa(pid)+"/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return // it has gone, or is none of ours
		}
		defer unix.Close(dir)
		first := len(all)
		eachName(dir, fds[:], func(name []byte) {
			fd, ok := number(name)
			if !ok {
				return
			}
			inode, ok := socketInode(readlinkat(dir, name, link[:]))
			if ok && wanted(inode) {
				all = append(all, holding{inode, pid, int(fd)})
			}
		})
		all = append(all[:first], lowest(all[first:])...)
	})
	return all
}

// lowest keeps of each socket the lowest descriptor.
func lowest(of []holding) []holding {
	slices.SortFunc(of, func(a, b holding) int { return cmp.Or(cmp.Compare(a.inode, b.inode), a.fd-b.fd) })
	return slices.CompactFunc(of, func(a, b holding) bool { return a.inode == b.inode })
}

// holds reports whether it is still so.
func (h holding) holds() bool {
	var link [64]byte
	n, err := unix.Readlink(h.path(), link[:])
	if err != nil {
		return false
	}
	inode, ok := socketInode(link[:n])
	return ok && inode == h.inode
}

func (h holding) path() string {
	return "/proc/" + strconv.Itoa(h.pid) + "/fd/" + strconv.Itoa(h.fd)
}

// eachProcess calls each with a descriptor of /proc and the processes there.
func eachProcess(each func(proc, pid int)) error {
	proc, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/proc", Err: err}
	}
	defer unix.Close(proc)
	var names [16 << 10]byte
	eachName(proc, names[:], func(name []byte) {
		if pid, ok := number(name); ok {
			each(proc, int(pid))
		}
	})
	return nil
}

// eachName reads a directory into buf, and calls each with its names, behind
// each of which there is a NUL. One that vanishes meanwhile ends.
func eachName(dir int, buf []byte, each func(name []byte)) {
	for {
		n, err := unix.Getdents(dir, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		direntNames(buf[:n], each)
	}
}

// direntNames walks what getdents64(2) wrote.
func direntNames(b []byte, each func(name []byte)) {
	const reclen, name = 16, 19 // offsets in struct linux_dirent64
	for len(b) > name {
		size := int(binary.NativeEndian.Uint16(b[reclen:]))
		if size <= name || size > len(b) {
			return
		}
		if end := bytes.IndexByte(b[name:size], 0); end > 0 {
			each(b[name : name+end])
		}
		b = b[size:]
	}
}

// readlinkat is readlinkat(2) without copying the name, and empty if it fails.
func readlinkat(dir int, name, buf []byte) []byte {
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	if errno != 0 {
		return nil
	}
	return buf[:n]
}

// socketInode reads "socket:[4242]".
func socketInode(link []byte) (uint32, bool) {
	digits, ok := bytes.CutPrefix(link, []byte("socket:["))
	if !ok || !bytes.HasSuffix(digits, []byte("]")) {
		return 0, false
	}
	n, ok := number(digits[:len(digits)-1])
	return uint32(n), ok && n <= 1<<32-1
}

// number reads a decimal number without allocating.
func number(digits []byte) (n uint64, ok bool) {
	if len(digits) == 0 || len(digits) > 10 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, true
}

// command is the name of a process, empty if it has gone.
func command(pid int) string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	return strings.TrimSuffix(string(b), "\n")
}
