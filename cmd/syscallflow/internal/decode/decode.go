package decode

import (
	"fmt"
	"strconv"

	"onconn/sock"

	"onconn/cmd/syscallflow/internal/recording"
)

// A Result is what was found in a call's arguments.
type Result struct {
	Args    []recording.Arg
	Address string   // of bind, connect, sendto; of accept and recvfrom the peer, if they asked
	Data    []byte   // the first bytes that were moved
	Size    int      // of all of them
	Rights  []int    // descriptors in SCM_RIGHTS
	Pair    []int    // of socketpair
	Ready   []uint64 // the data of the events that epoll_wait returned
	Polled  []int    // descriptors of poll: all, or once it has returned, those that are ready
}

// most is MAX_RW_COUNT of the kernel, which moves no more bytes in one call.
const most = 0x7ffff000

func (r *Result) data(b []byte, total uint64) {
	r.Size += int(min(total, most))
	if r.Data == nil {
		r.Data = b
	}
}

type decoder struct {
	memory Memory
	prefix int
	args   [6]uint64
	result *Result
}

// Enter reads the arguments before the call is made; those that it will write are
// empty until Exit. prefix is how many bytes of data are kept.
func (c *Call) Enter(m Memory, args [6]uint64, prefix int) *Result {
	r := &Result{Args: make([]recording.Arg, len(c.params))}
	d := decoder{m, prefix, args, r}
	for i, p := range c.params {
		r.Args[i] = recording.Arg{Name: p.name, Text: d.before(p.kind, i)}
	}
	return r
}

// Exit adds what the call has written. value is what it returned.
func (c *Call) Exit(m Memory, args [6]uint64, prefix int, value int64, r *Result) {
	d := decoder{m, prefix, args, r}
	for i, p := range c.params {
		if text, ok := d.after(p.kind, i, value); ok {
			r.Args[i].Text = text
		}
	}
	if value < 0 {
		r.Data, r.Size = nil, 0 // nothing was moved
	} else if value < int64(r.Size) && c.sends() {
		r.Size = int(value) // part of it was
		r.Data = r.Data[:min(len(r.Data), r.Size)]
	}
}

// sends reports whether what the call returns is a number of bytes that it took.
func (c *Call) sends() bool {
	for _, p := range c.params {
		if p.kind == bytesIn || p.kind == vectorIn || p.kind == messageIn {
			return true
		}
	}
	return false
}

// next is the argument after one.
func (d *decoder) next(i int) uint64 { return d.args[min(i+1, len(d.args)-1)] }

// before prints an argument at the entry of the call.
func (d *decoder) before(k kind, i int) string {
	v := d.args[i]
	switch k {
	case number, descriptor, milliseconds:
		return signed(v)
	case size:
		return strconv.FormatUint(v, 10)
	case family:
		return one(v&0xffffffff, families)
	case socketType:
		return typeText(v)
	case socketFlags:
		return join(v&0xffffffff, typeFlags)
	case protocol:
		return Protocol(int(int32(d.args[0])), int(int32(v)))
	case how:
		return one(v&0xffffffff, hows)
	case level:
		return sock.LevelName(int(int32(v)))
	case option:
		return optionName(int(int32(d.args[i-1])), int(int32(v)))
	case optionIn:
		length := d.next(i) & 0xffffffff
		return optionValue(int(int32(d.args[i-2])), int(int32(d.args[i-1])), bytesAt(d.memory, v, length, maxOption), length)
	case addressIn:
		if v == 0 {
			return "NULL"
		}
		text, short := Address(bytesAt(d.memory, v, d.next(i)&0xffffffff, maxAddress))
		d.result.Address = short
		return text
	case messageFlags:
		return join(v&0xffffffff, messageFlagNames)
	case bytesIn:
		data := bytesAt(d.memory, v, d.next(i), d.prefix)
		d.result.data(data, d.next(i))
		return quote(data, d.next(i))
	case vectorIn:
		all := vectors(d.memory, v, d.next(i))
		data := gather(d.memory, all, sum(all), d.prefix)
		d.result.data(data, sum(all))
		return "[" + quote(data, sum(all)) + "]"
	case messageIn:
		if h, ok := parseMsghdr(bytesAt(d.memory, v, sizeofMsghdr, sizeofMsghdr)); ok {
			return d.message(h, -1)
		}
	case messagesIn:
		return d.messages(v, d.next(i)&0xffffffff, -1)
	case duplicateFlags:
		return join(v&0xffffffff, closeOnExec)
	case command:
		return one(v&0xffffffff, commands)
	case epollFlags:
		return join(v&0xffffffff, epollCloseOnExec)
	case epollOperation:
		return one(v&0xffffffff, epollOperations)
	case epollEvent:
		if b := bytesAt(d.memory, v, epollEventSize, epollEventSize); len(b) == epollEventSize {
			d.result.Ready = []uint64{word(b, epollDataOffset)}
			return event(b)
		}
	case pollFDs:
		return d.polled(v, d.next(i), false)
	case timespec:
		return d.wait(v)
	}
	return pointed(v)
}

// after prints an argument that the call has written.
func (d *decoder) after(k kind, i int, value int64) (string, bool) {
	if value < 0 {
		return "", false
	}
	v := d.args[i]
	switch k {
	case optionOut:
		length, ok := uint32At(d.memory, d.next(i))
		if !ok {
			return "", false
		}
		return optionValue(int(int32(d.args[i-2])), int(int32(d.args[i-1])),
			bytesAt(d.memory, v, uint64(length), maxOption), uint64(length)), true
	case addressOut:
		length, ok := uint32At(d.memory, d.next(i))
		if v == 0 || !ok {
			return "", false
		}
		text, short := Address(bytesAt(d.memory, v, uint64(length), maxAddress))
		d.result.Address = short
		return text, true
	case sizeOut:
		length, ok := uint32At(d.memory, v)
		return fmt.Sprintf("[%d]", length), ok
	case bytesOut:
		data := bytesAt(d.memory, v, uint64(value), d.prefix)
		d.result.data(data, uint64(value))
		return quote(data, uint64(value)), true
	case vectorOut:
		all := vectors(d.memory, v, d.next(i))
		data := gather(d.memory, all, uint64(value), d.prefix)
		d.result.data(data, uint64(value))
		return "[" + quote(data, uint64(value)) + "]", true
	case messageOut:
		h, ok := parseMsghdr(bytesAt(d.memory, v, sizeofMsghdr, sizeofMsghdr))
		if !ok {
			return "", false
		}
		return d.message(h, value), true
	case messagesOut:
		return d.messages(v, d.next(i)&0xffffffff, value), true
	case pair:
		b := bytesAt(d.memory, v, 8, 8)
		if len(b) < 8 {
			return "", false
		}
		a, z := int(int32(word(b, 0))), int(int32(word(b, 0)>>32))
		d.result.Pair = []int{a, z}
		return fmt.Sprintf("[%d, %d]", a, z), true
	case epollEvents:
		return d.events(v, value), true
	case pollFDs:
		d.result.Polled = nil
		return d.polled(v, d.next(i), true), true
	}
	return "", false
}

// quote prints the first bytes of so many.
func quote(b []byte, total uint64) string {
	text := strconv.Quote(string(b))
	if uint64(len(b)) < total {
		text += fmt.Sprintf("... (%d bytes)", total)
	}
	return text
}
