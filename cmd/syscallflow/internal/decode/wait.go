package decode

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// maxEvents is how many are printed of what a wait returned.
const maxEvents = 16

// event reads one struct epoll_event. The data is the program's own; most put the
// descriptor there.
func event(b []byte) string {
	flags := binary.NativeEndian.Uint32(b)
	return fmt.Sprintf("{events=%s, data=%s}", join(uint64(flags), epollEventFlags), hex(word(b, epollDataOffset)))
}

// events prints those that epoll_wait returned, and keeps their data.
func (d *decoder) events(addr uint64, n int64) string {
	if n <= 0 {
		return "[]"
	}
	b := bytesAt(d.memory, addr, uint64(min(n, maxEvents))*epollEventSize, maxEvents*epollEventSize)
	var texts []string
	for ; len(b) >= epollEventSize; b = b[epollEventSize:] {
		texts = append(texts, event(b))
		d.result.Ready = append(d.result.Ready, word(b, epollDataOffset))
	}
	if n > maxEvents {
		texts = append(texts, fmt.Sprintf("%d more", n-maxEvents))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// polled prints struct pollfd: what is asked for, or after the call what has come.
func (d *decoder) polled(addr, n uint64, returned bool) string {
	b := bytesAt(d.memory, addr, min(n, 1024)*8, 1024*8)
	var texts []string
	for ; len(b) >= 8; b = b[8:] {
		fd := int(int32(binary.NativeEndian.Uint32(b)))
		asked, came := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
		switch {
		case len(texts) == maxEvents:
		case returned && came != 0:
			texts = append(texts, fmt.Sprintf("{fd=%d, revents=%s}", fd, join(uint64(came), pollEventFlags)))
			d.result.Polled = append(d.result.Polled, fd)
		case !returned:
			texts = append(texts, fmt.Sprintf("{fd=%d, events=%s}", fd, join(uint64(asked), pollEventFlags)))
			d.result.Polled = append(d.result.Polled, fd)
		}
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// wait prints a struct timespec as a time.
func (d *decoder) wait(addr uint64) string {
	b := bytesAt(d.memory, addr, 16, 16)
	if len(b) < 16 {
		return pointed(addr)
	}
	return (time.Duration(word(b, 0))*time.Second + time.Duration(word(b, 8))).String()
}
