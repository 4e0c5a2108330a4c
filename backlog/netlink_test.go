package backlog

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

// attr encodes one attribute.
func attr(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align4(len(b))-len(b))...)
}

// part encodes one message of a list, in answer to the request 7.
func part(kind uint16, body ...byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_MULTI)
	b = binary.NativeEndian.AppendUint32(b, 7)
	return append(append(b, make([]byte, unix.SizeofNlMsghdr-len(b))...), body...)
}

func code(errno unix.Errno) []byte {
	return binary.NativeEndian.AppendUint32(nil, -uint32(errno))
}

func TestMessages(t *testing.T) {
	row := part(unix.SOCK_DIAG_BY_FAMILY, inetRow()...)
	alone := part(unix.SOCK_DIAG_BY_FAMILY, inetRow()...)
	binary.NativeEndian.PutUint16(alone[6:], 0)
	changed := part(unix.NLMSG_DONE, code(0)...)
	binary.NativeEndian.PutUint16(changed[6:], unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR)
	stale := part(unix.NLMSG_ERROR, code(unix.EBUSY)...)
	binary.NativeEndian.PutUint32(stale[8:], 6)
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, tt := range []struct {
		name string
		in   []byte
		rows int
		done bool
		err  error
	}{
		{"nothing", nil, 0, false, nil},
		{"two rows", join(row, row), 2, false, nil},
		{"a row and the end", join(row, part(unix.NLMSG_DONE)), 1, true, nil},
		{"the end with a code", join(row, part(unix.NLMSG_DONE, code(0)...)), 1, true, nil},
		{"the end with an error", join(row, part(unix.NLMSG_DONE, code(unix.ENOMEM)...)), 1, true, unix.ENOMEM},
		{"one answer", join(alone), 1, true, nil},
		{"refusal", part(unix.NLMSG_ERROR, code(unix.ENOENT)...), 0, true, unix.ENOENT},
		{"a refusal cut short", part(unix.NLMSG_ERROR, 1, 2), 0, false, errTruncated},
		{"answers of others", join(stale, row), 1, false, nil},
		{"changed list", join(row, changed), 1, false, errChanged},
		{"cut", row[:40], 0, false, errTruncated},
		{"a length that is too small", join(row, make([]byte, 16)), 1, false, errTruncated},
	} {
		rows := 0
		done, err := messages(tt.in, 7, func([]byte) error { rows++; return nil })
		if rows != tt.rows || done != tt.done || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d rows, done %v, %v; not %d, %v, %v", tt.name, rows, done, err, tt.rows, tt.done, tt.err)
		}
	}
}

// A list that the caller gave up must not disturb the next question.
func TestAbandonedDump(t *testing.T) {
	testleak.FDs(t)
	d, err := openDiag()
	if err != nil {
		t.Fatal(err)
	}
	for range 300 { // more than one datagram of rows
		listening(t, inet("127.0.0.1:0"), 1, 0, 1)
	}
	listen := inetRequest{family: unix.AF_INET, states: 1 << tcpListen, attributes: withMeminfo}.bytes()
	enough := errors.New("enough")
	for range 3 {
		rows := 0
		if err := d.ask(unix.NLM_F_DUMP, listen[:], func([]byte) error { rows++; return enough }); err != enough || rows != 1 {
			t.Fatalf("%d rows, %v", rows, err)
		}
		if err := d.ask(unix.NLM_F_DUMP, listen[:], func([]byte) error { rows++; return nil }); err != nil || rows < 301 {
			t.Fatalf("afterwards: %d rows, %v", rows, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.lookup(listen[:], nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A list that changes while it is written is asked for again, as if nothing had
// been read.
func TestDumpAgain(t *testing.T) {
	testleak.FDs(t)
	row := part(unix.SOCK_DIAG_BY_FAMILY, inetRow()...)
	changed := part(unix.NLMSG_DONE, code(0)...)
	binary.NativeEndian.PutUint16(changed[6:], unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR)
	for _, tt := range []struct {
		changes int
		err     error
	}{{0, nil}, {1, nil}, {5, errChanged}} {
		d := answeredBy(t, func(question int) [][]byte {
			if question <= tt.changes {
				return [][]byte{row, changed}
			}
			return [][]byte{row, part(unix.NLMSG_DONE, code(0)...)}
		})
		got, err := dump(d, []int{9}, nil, func([]byte) (int, bool, error) { return 1, true, nil })
		if !errors.Is(err, tt.err) || err == nil && (len(got) != 2 || got[0] != 9 || got[1] != 1) {
			t.Errorf("changed %d times: %v, %v; not %v", tt.changes, got, err, tt.err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// answeredBy is a diag that asks a func instead of the kernel, which gives the
// datagrams that answer each question, numbered from 1.
func answeredBy(t *testing.T, answers func(question int) [][]byte) *diag {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel answers at once. The func may take a moment.
	if err := unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 300_000}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer unix.Close(pair[1])
		for question := 1; ; question++ {
			request := make([]byte, 1024)
			n, err := unix.Read(pair[1], request)
			if err != nil || n < unix.SizeofNlMsghdr {
				return
			}
			for _, a := range answers(question) {
				copy(a[8:12], request[8:12]) // the sequence number
				unix.Write(pair[1], a)
			}
		}
	}()
	return &diag{fd: pair[0]}
}

func FuzzMessages(f *testing.F) {
	f.Add(part(unix.SOCK_DIAG_BY_FAMILY, append(inetRow(), attr(inetDiagSkV6Only, 1)...)...))
	f.Add(part(unix.SOCK_DIAG_BY_FAMILY, append(make([]byte, sizeofUnixMsg), attr(unixDiagVFS, 1, 2, 3, 4, 5, 6, 7, 8)...)...))
	f.Add(part(unix.NLMSG_ERROR, 1, 2, 3))
	f.Add(append(part(unix.NLMSG_DONE), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		left := len(b)
		messages(b, 7, func(body []byte) error {
			if left -= len(body) + unix.SizeofNlMsghdr; left < 0 {
				t.Error("more rows than there are bytes")
			}
			return nil
		})
	})
}
