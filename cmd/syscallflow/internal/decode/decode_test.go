package decode

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// base is where fakes begin.
const base = 0x1000

// fake is a process's memory.
type fake []byte

func (f fake) Read(addr uint64, p []byte) int {
	if addr < base || addr >= base+uint64(len(f)) {
		return 0
	}
	return copy(p, f[addr-base:])
}

// put appends to the memory, and returns where.
func (f *fake) put(parts ...any) uint64 {
	for len(*f)%8 != 0 {
		*f = append(*f, 0)
	}
	addr := base + uint64(len(*f))
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			*f = append(*f, p...)
		case []byte:
			*f = append(*f, p...)
		default:
			*f, _ = binary.Append(*f, binary.NativeEndian, p)
		}
	}
	return addr
}

func inet(port uint16, ip ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, unix.AF_INET)
	b = binary.BigEndian.AppendUint16(b, port)
	return append(append(b, ip...), make([]byte, 8)...)
}

func inet6(port uint16, ip string, scope uint32) []byte {
	b := binary.NativeEndian.AppendUint16(nil, unix.AF_INET6)
	b = binary.BigEndian.AppendUint16(b, port)
	b = append(append(b, 0, 0, 0, 0), ip...)
	return binary.NativeEndian.AppendUint32(b, scope)
}

func unixName2(name string) []byte {
	return append(binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX), name...)
}

func TestAddress(t *testing.T) {
	mapped := "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00\x01"
	loopback := strings.Repeat("\x00", 15) + "\x01"
	for _, test := range []struct {
		b           []byte
		text, short string
	}{
		{inet(8000, 127, 0, 0, 1), `{sa_family=AF_INET, sin_port=htons(8000), sin_addr=inet_addr("127.0.0.1")}`, "127.0.0.1:8000"},
		{inet6(80, loopback, 0), `{sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::1")}`, "[::1]:80"},
		{inet6(80, loopback, 1), `{sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::1"), sin6_scope_id=lo}`, "[::1%lo]:80"},
		{inet6(80, mapped, 0), `{sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::ffff:127.0.0.1")}`, "127.0.0.1:80"},
		{unixName2("/run/x\x00rest"), `{sa_family=AF_UNIX, sun_path="/run/x"}`, "/run/x"},
		{unixName2("\x00abc"), `{sa_family=AF_UNIX, sun_path="@abc"}`, "@abc"},
		{unixName2(""), `{sa_family=AF_UNIX}`, ""},
		{unixName2("\x00"), `{sa_family=AF_UNIX}`, ""},
		{append(binary.NativeEndian.AppendUint16(nil, unix.AF_VSOCK), 0, 0, 9, 0, 0, 0, 3, 0, 0, 0), `{sa_family=AF_VSOCK, svm_cid=3, svm_port=9}`, "3:9"},
		{inet(1, 1)[:5], `{sa_family=AF_INET, 3 bytes}`, ""},
		{[]byte{1}, `{}`, ""},
		{nil, `{}`, ""},
	} {
		if text, short := Address(test.b); text != test.text || short != test.short {
			t.Errorf("%x: %s, %s; want %s, %s", test.b, text, short, test.text, test.short)
		}
	}
}

// run decodes a call and prints it as strace would.
func run(f fake, number uint64, value int64, args ...uint64) (string, *Result) {
	var six [6]uint64
	copy(six[:], args)
	c := Calls[number]
	r := c.Enter(f, six, 16)
	c.Exit(f, six, 16, value, r)
	var texts []string
	for _, a := range r.Args {
		texts = append(texts, a.Text)
	}
	return c.Name + "(" + strings.Join(texts, ", ") + ")", r
}

const minus1 = math.MaxUint64

func TestCalls(t *testing.T) {
	var f fake
	v4 := f.put(inet(8000, 127, 0, 0, 1))
	sixteen := f.put(uint32(16))
	four := f.put(uint32(4))
	one := f.put(uint32(1))
	refused := f.put(uint32(unix.ECONNREFUSED))
	linger := f.put(uint32(1), uint32(5))
	eight := f.put(uint32(8))
	interval := f.put(uint64(1), uint64(500_000))
	bbr := f.put("bbr\x00")
	text := f.put("GET / HTTP/1.1\r\nHost: a\r\n")
	pair := f.put(int32(5), int32(6))
	iov := f.put(text, uint64(4), text+4, uint64(20))
	rights := f.put(uint64(24), uint32(unix.SOL_SOCKET), uint32(unix.SCM_RIGHTS), int32(7), int32(8),
		uint64(28), uint32(unix.SOL_SOCKET), uint32(unix.SCM_CREDENTIALS), uint32(10), uint32(11), uint32(12), uint32(0))
	msg := f.put(v4, uint64(16), iov, uint64(2), rights, uint64(56), uint64(unix.MSG_CMSG_CLOEXEC))
	bare := f.put(uint64(0), uint64(0), iov, uint64(1), uint64(0), uint64(0), uint64(0))
	many := f.put(f[bare-base:bare-base+56], uint32(3), uint32(0), f[bare-base:bare-base+56], uint32(2), uint32(0))
	events := f.put(event2(unix.EPOLLIN|unix.EPOLLRDHUP, 9), event2(unix.EPOLLOUT, 10))
	polls := f.put(int32(3), uint16(unix.POLLIN), uint16(unix.POLLIN), int32(4), uint16(unix.POLLOUT), uint16(0))

	for _, test := range []struct {
		number uint64
		value  int64
		args   []uint64
		want   string
	}{
		{unix.SYS_SOCKET, 3, []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC, 0},
			"socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, IPPROTO_IP)"},
		{unix.SYS_SOCKET, -22, []uint64{99, 0x10000f, 7}, "socket(99, 15|0x100000, 7)"},
		{unix.SYS_SOCKETPAIR, 0, []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET, 0, pair}, "socketpair(AF_UNIX, SOCK_SEQPACKET, 0, [5, 6])"},
		{unix.SYS_BIND, 0, []uint64{3, v4, 16}, `bind(3, {sa_family=AF_INET, sin_port=htons(8000), sin_addr=inet_addr("127.0.0.1")}, 16)`},
		{unix.SYS_BIND, -14, []uint64{3, 0, 16}, `bind(3, NULL, 16)`},
		{unix.SYS_BIND, -14, []uint64{3, 5, 16}, `bind(3, {}, 16)`},
		{unix.SYS_LISTEN, 0, []uint64{3, minus1}, "listen(3, -1)"},
		{unix.SYS_ACCEPT4, 4, []uint64{3, 0, 0, unix.SOCK_NONBLOCK}, "accept4(3, NULL, NULL, SOCK_NONBLOCK)"},
		{unix.SYS_ACCEPT4, 4, []uint64{3, v4, sixteen, 0}, `accept4(3, {sa_family=AF_INET, sin_port=htons(8000), sin_addr=inet_addr("127.0.0.1")}, [16], 0)`},
		{unix.SYS_ACCEPT4, -11, []uint64{3, v4, sixteen, 0}, fmt.Sprintf("accept4(3, %#x, %#x, 0)", v4, sixteen)},
		{unix.SYS_SHUTDOWN, 0, []uint64{3, unix.SHUT_WR}, "shutdown(3, SHUT_WR)"},
		{unix.SYS_SETSOCKOPT, 0, []uint64{3, unix.SOL_SOCKET, unix.SO_REUSEADDR, one, 4}, "setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4)"},
		{unix.SYS_SETSOCKOPT, 0, []uint64{3, unix.SOL_SOCKET, unix.SO_LINGER, linger, 8}, "setsockopt(3, SOL_SOCKET, SO_LINGER, {l_onoff=1, l_linger=5}, 8)"},
		{unix.SYS_SETSOCKOPT, 0, []uint64{3, unix.SOL_SOCKET, unix.SO_RCVTIMEO, interval, 16}, "setsockopt(3, SOL_SOCKET, SO_RCVTIMEO, 1.5s, 16)"},
		{unix.SYS_SETSOCKOPT, 0, []uint64{3, unix.SOL_TCP, unix.TCP_CONGESTION, bbr, 3}, `setsockopt(3, SOL_TCP, TCP_CONGESTION, "bbr", 3)`},
		{unix.SYS_SETSOCKOPT, 0, []uint64{3, 77, 99, one, 3}, "setsockopt(3, level 77, 99, {3 bytes}, 3)"},
		{unix.SYS_GETSOCKOPT, 0, []uint64{3, unix.SOL_SOCKET, unix.SO_ERROR, refused, four}, "getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4])"},
		{unix.SYS_GETSOCKOPT, 0, []uint64{3, unix.SOL_SOCKET, unix.SO_TYPE, one, four}, "getsockopt(3, SOL_SOCKET, SO_TYPE, [SOCK_STREAM], [4])"},
		{unix.SYS_GETSOCKOPT, 0, []uint64{3, unix.SOL_SOCKET, unix.SO_COOKIE, linger, eight}, "getsockopt(3, SOL_SOCKET, SO_COOKIE, [21474836481], [8])"},
		{unix.SYS_SENDTO, 5, []uint64{3, text, 5, unix.MSG_NOSIGNAL, 0, 0}, `sendto(3, "GET /", 5, MSG_NOSIGNAL, NULL, 0)`},
		{unix.SYS_WRITE, 25, []uint64{3, text, 25}, `write(3, "GET / HTTP/1.1\r\n"... (25 bytes), 25)`},
		{unix.SYS_READ, 5, []uint64{3, text, 4096}, `read(3, "GET /", 4096)`},
		{unix.SYS_READ, 0, []uint64{3, text, 4096}, `read(3, "", 4096)`},
		{unix.SYS_WRITEV, 10, []uint64{3, iov, 2}, `writev(3, ["GET / HTTP/1.1\r\n"... (24 bytes)], 2)`},
		{unix.SYS_READV, 6, []uint64{3, iov, 2}, `readv(3, ["GET / "], 2)`},
		{unix.SYS_SENDMSG, 24, []uint64{3, msg, 0}, `sendmsg(3, {msg_name={sa_family=AF_INET, sin_port=htons(8000), sin_addr=inet_addr("127.0.0.1")}, ` +
			`msg_iov=["GET / HTTP/1.1\r\n"... (24 bytes)] in 2 parts, msg_control=[SCM_RIGHTS [7, 8], SCM_CREDENTIALS {pid=10, uid=11, gid=12}]}, 0)`},
		{unix.SYS_RECVMSG, 2, []uint64{3, bare, unix.MSG_PEEK}, `recvmsg(3, {msg_iov=["GE"]}, MSG_PEEK)`},
		{unix.SYS_RECVMMSG, 2, []uint64{3, many, 8, 0, 0}, `recvmmsg(3, [{msg_iov=["GET"]}, {msg_iov=["GE"]}], 8, 0, NULL)`},
		{unix.SYS_SENDMMSG, 2, []uint64{3, many, 2, 0}, `sendmmsg(3, [{msg_iov=["GET "]}, {msg_iov=["GET "]}], 2, 0)`},
		{unix.SYS_DUP3, 9, []uint64{3, 9, unix.O_CLOEXEC}, "dup3(3, 9, O_CLOEXEC)"},
		{unix.SYS_FCNTL, 9, []uint64{3, unix.F_DUPFD_CLOEXEC, 9}, "fcntl(3, F_DUPFD_CLOEXEC, 9)"},
		{unix.SYS_EPOLL_CTL, 0, []uint64{5, unix.EPOLL_CTL_ADD, 9, events}, "epoll_ctl(5, EPOLL_CTL_ADD, 9, {events=EPOLLIN|EPOLLRDHUP, data=0x9})"},
		{unix.SYS_EPOLL_PWAIT, 2, []uint64{5, events, 64, minus1}, "epoll_pwait(5, [{events=EPOLLIN|EPOLLRDHUP, data=0x9}, {events=EPOLLOUT, data=0xa}], 64, -1)"},
		{unix.SYS_EPOLL_PWAIT, 0, []uint64{5, events, 64, 100}, "epoll_pwait(5, [], 64, 100)"},
		{unix.SYS_PPOLL, 1, []uint64{polls, 2, interval}, "ppoll([{fd=3, revents=POLLIN}], 2, 1.0005s)"},
		{unix.SYS_PPOLL, -4, []uint64{polls, 2, 0}, "ppoll([{fd=3, events=POLLIN}, {fd=4, events=POLLOUT}], 2, NULL)"},
	} {
		if got, _ := run(f, test.number, test.value, test.args...); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
	_, r := run(f, unix.SYS_SENDMSG, 24, 3, msg, 0)
	if !slices.Equal(r.Rights, []int{7, 8}) || r.Address != "127.0.0.1:8000" || r.Size != 24 || string(r.Data) != "GET / HTTP/1.1\r\n" {
		t.Errorf("%+v", r)
	}
	if _, r = run(f, unix.SYS_WRITEV, 10, 3, iov, 2); r.Size != 10 || string(r.Data) != "GET / HTTP" {
		t.Errorf("a part was written: %+v", r)
	}
	if _, r = run(f, unix.SYS_WRITE, -11, 3, text, 25); r.Size != 0 || r.Data != nil {
		t.Errorf("nothing was written: %+v", r)
	}
	if _, r = run(f, unix.SYS_SOCKETPAIR, 0, 1, 1, 0, pair); !reflect.DeepEqual(r.Pair, []int{5, 6}) {
		t.Errorf("%+v", r)
	}
	if _, r = run(f, unix.SYS_RECVMMSG, 2, 3, many, 8, 0, 0); r.Size != 5 {
		t.Errorf("%+v", r)
	}
	if _, r = run(f, unix.SYS_EPOLL_PWAIT, 2, 5, events, 64, minus1); !slices.Equal(r.Ready, []uint64{9, 10}) {
		t.Errorf("%+v", r)
	}
	if _, r = run(f, unix.SYS_PPOLL, 1, polls, 2, 0); !slices.Equal(r.Polled, []int{3}) {
		t.Errorf("%+v", r)
	}
}

// event2 is a struct epoll_event.
func event2(flags uint32, data uint64) []byte {
	b := make([]byte, epollEventSize)
	binary.NativeEndian.PutUint32(b, flags)
	binary.NativeEndian.PutUint64(b[epollDataOffset:], data)
	return b
}

func TestErrno(t *testing.T) {
	for value, want := range map[int64]string{0: "", 5: "", -11: "EAGAIN", -512: "ERESTARTSYS", -4000: "4000", -5000: "", math.MinInt64: ""} {
		if got := Errno(value); got != want {
			t.Errorf("%d: %q, want %q", value, got, want)
		}
	}
}

// FuzzCalls: whatever a program gives to the kernel, and whatever it changes meanwhile,
// is decoded in bounds.
func FuzzCalls(f *testing.F) {
	numbers := slices.Sorted(func(yield func(uint64) bool) {
		for n := range Calls {
			if !yield(n) {
				return
			}
		}
	})
	var m fake
	text := m.put("GET /")
	iov := m.put(text, uint64(5))
	rights := m.put(uint64(20), uint32(unix.SOL_SOCKET), uint32(unix.SCM_RIGHTS), int32(7), uint32(0))
	msg := m.put(text, uint64(16), iov, uint64(1), rights, uint64(24), uint64(0))
	for i := range numbers {
		f.Add(uint8(i), []byte(m), []byte(m), uint64(3), msg, uint64(16), iov, uint64(2), uint64(64), int64(2))
		f.Add(uint8(i), []byte(m), []byte(nil), msg, iov, uint64(math.MaxUint64), text, rights, uint64(0), int64(math.MaxInt64))
	}
	f.Fuzz(func(t *testing.T, i uint8, before, after []byte, a0, a1, a2, a3, a4, a5 uint64, value int64) {
		c := Calls[numbers[int(i)%len(numbers)]]
		args := [6]uint64{a0, a1, a2, a3, a4, a5}
		c.Polls(args)
		r := c.Enter(fake(before), args, 64)
		c.Exit(fake(after), args, 64, value, r)
		if len(r.Data) > 64 || len(r.Args) != len(c.params) {
			t.Errorf("%d bytes of data, %d arguments", len(r.Data), len(r.Args))
		}
		if r.Size < 0 || r.Size > maxMessages*most {
			t.Errorf("size %d", r.Size)
		}
		for _, a := range r.Args {
			if len(a.Text) > 1<<20 {
				t.Errorf("%d bytes of text", len(a.Text))
			}
		}
	})
}
