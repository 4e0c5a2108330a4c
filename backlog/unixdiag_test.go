package backlog

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

func TestParseUnix(t *testing.T) {
	row := make([]byte, sizeofUnixMsg)
	row[1], row[2] = unix.SOCK_STREAM, tcpListen
	binary.NativeEndian.PutUint32(row[4:], 4242)
	row = append(row, attr(unixDiagName, []byte("\x00name")...)...)
	row = append(row, attr(unixDiagRqLen, append(binary.NativeEndian.AppendUint32(nil, 3), binary.NativeEndian.AppendUint32(nil, 7)...)...)...)
	row = append(row, attr(1000)...)
	row = append(row, attr(unixDiagUID, binary.NativeEndian.AppendUint32(nil, 33)...)...)
	got, err := parseUnix(row)
	want := unixSocket{typ: unix.SOCK_STREAM, state: tcpListen, inode: 4242, name: "\x00name", depth: 3, limit: 7, uid: 33}
	if err != nil || got != want {
		t.Errorf("%+v, %v; not %+v", got, err, want)
	}
}

func TestUnixByInodeMissing(t *testing.T) {
	testleak.FDs(t)
	d, err := openDiag()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if s, err := unixByInode(d, 1); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestUnixAddr(t *testing.T) {
	for sunPath, want := range map[string]string{
		"/run/s\x00": "/run/s",
		"@x\x00":     "./@x",
		"\x00x":      "@x",
		"\x00x\x00":  "@x\x00",
		"":           "@",
	} {
		if got := (&unixSocket{name: sunPath}).addr().String(); got != want {
			t.Errorf("%q is %q, not %q", sunPath, got, want)
		}
	}
}
