package backlog

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// attr encodes one attribute.
func attr(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align4(len(b))-len(b))...)
}

func message(kind uint16, body ...byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return append(append(b, make([]byte, unix.SizeofNlMsghdr-len(b))...), body...)
}

func inetRow() []byte {
	b := make([]byte, sizeofInetMsg)
	b[0], b[1] = unix.AF_INET6, tcpListen
	binary.BigEndian.PutUint16(b[4:], 80)
	b[23] = 1
	binary.NativeEndian.PutUint32(b[64:], 33)
	binary.NativeEndian.PutUint32(b[68:], 4242)
	return b
}

func TestParseInetIgnoresUnknown(t *testing.T) {
	row := append(inetRow(), attr(999, 1, 2, 3)...)
	row = append(row, attr(inetDiagSkV6Only, 1)...)
	got, err := parseInet(row)
	want := inetSocket{tcpListen, netip.MustParseAddrPort("[::1]:80"), true, 33, 4242}
	if err != nil || got != want {
		t.Errorf("%+v, %v; not %+v", got, err, want)
	}
}

func TestParseUnix(t *testing.T) {
	row := make([]byte, sizeofUnixMsg)
	row[2] = tcpListen
	binary.NativeEndian.PutUint32(row[4:], 4242)
	row = append(row, attr(unixDiagName, []byte("\x00name")...)...)
	row = append(row, attr(unixDiagRqLen, 3, 0, 0, 0, 7, 0, 0, 0)...)
	row = append(row, attr(1000)...)
	row = append(row, attr(unixDiagUID, 33, 0, 0, 0)...)
	got, err := parseUnix(row)
	want := unixSocket{state: tcpListen, inode: 4242, name: "\x00name", depth: 3, limit: 7, uid: 33}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && (err != nil || got != want) {
		t.Errorf("%+v, %v; not %+v", got, err, want)
	}
}

func TestMessages(t *testing.T) {
	rows := 0
	count := func(b []byte) error { rows++; return nil }
	row := message(unix.SOCK_DIAG_BY_FAMILY, inetRow()...)

	if done, err := messages(append(row, row...), count); done || err != nil || rows != 2 {
		t.Errorf("two rows: done %v, %v, %d rows", done, err, rows)
	}
	if done, err := messages(append(row, message(unix.NLMSG_DONE)...), count); !done || err != nil || rows != 3 {
		t.Errorf("a row and the end: done %v, %v, %d rows", done, err, rows)
	}
	e := message(unix.NLMSG_ERROR, binary.NativeEndian.AppendUint32(nil, ^uint32(unix.ENOENT)+1)...)
	if _, err := messages(e, count); !errors.Is(err, unix.ENOENT) {
		t.Errorf("refusal: %v", err)
	}
	if _, err := messages(row[:40], count); err == nil {
		t.Error("a cut message is accepted")
	}
}

func TestUnixByInodeMissing(t *testing.T) {
	if s, err := unixByInode(1); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(message(unix.SOCK_DIAG_BY_FAMILY, append(inetRow(), attr(inetDiagSkV6Only, 1)...)...))
	f.Add(message(unix.SOCK_DIAG_BY_FAMILY, append(make([]byte, sizeofUnixMsg), attr(unixDiagVFS, 1, 2, 3, 4, 5, 6, 7, 8)...)...))
	f.Add(message(unix.NLMSG_ERROR, 1, 2, 3))
	f.Add(append(message(unix.NLMSG_DONE), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages(b, func(body []byte) error {
			_, err := parseInet(body)
			if err == nil && len(body) < sizeofInetMsg {
				t.Error("a short inet row is accepted")
			}
			if _, err = parseUnix(body); err == nil && len(body) < sizeofUnixMsg {
				t.Error("a short unix row is accepted")
			}
			return nil
		})
	})
}
