package decode

import "encoding/binary"

// Memory is that of the process that made the call.
type Memory interface {
	// Read reads as much as there is, and returns how much that was.
	Read(addr uint64, p []byte) int
}

// bytesAt reads at most n bytes, and no more than limit.
func bytesAt(m Memory, addr uint64, n uint64, limit int) []byte {
	if addr == 0 || n == 0 {
		return nil
	}
	p := make([]byte, min(n, uint64(limit)))
	return p[:m.Read(addr, p)]
}

func uint32At(m Memory, addr uint64) (uint32, bool) {
	b := bytesAt(m, addr, 4, 4)
	if len(b) < 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(b), true
}

// word reads a number of 8 bytes inside of a structure.
func word(b []byte, offset int) uint64 {
	return binary.NativeEndian.Uint64(b[offset:])
}

// A vector is a struct iovec.
type vector struct{ base, length uint64 }

// maxVectors is UIO_MAXIOV, which the kernel doesn't go beyond.
const maxVectors = 1024

func vectors(m Memory, addr, n uint64) []vector {
	b := bytesAt(m, addr, min(n, maxVectors)*16, maxVectors*16)
	all := make([]vector, 0, len(b)/16)
	for ; len(b) >= 16; b = b[16:] {
		all = append(all, vector{word(b, 0), word(b, 8)})
	}
	return all
}

// gather reads the first bytes that vectors hold, at most limit of total bytes.
func gather(m Memory, all []vector, total uint64, limit int) []byte {
	var data []byte
	want := min(total, uint64(limit))
	for _, v := range all {
		left := want - uint64(len(data))
		if left == 0 {
			break
		}
		part := bytesAt(m, v.base, min(v.length, left), int(left))
		data = append(data, part...)
		if uint64(len(part)) < min(v.length, left) {
			break
		}
	}
	return data
}

func sum(all []vector) (n uint64) {
	for _, v := range all {
		n += v.length
	}
	return n
}
