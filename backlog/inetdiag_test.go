package backlog

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inetRow is a listener on [::1]:80.
func inetRow() []byte {
	b := make([]byte, sizeofInetMsg)
	b[0], b[1] = unix.AF_INET6, tcpListen
	binary.BigEndian.PutUint16(b[4:], 80)
	b[23] = 1
	binary.NativeEndian.PutUint32(b[44:], 5)
	binary.NativeEndian.PutUint32(b[48:], 6)
	binary.NativeEndian.PutUint32(b[64:], 33)
	binary.NativeEndian.PutUint32(b[68:], 4242)
	return b
}

func TestParseInet(t *testing.T) {
	meminfo := make([]byte, 4*(skMeminfoDrops+1))
	binary.NativeEndian.PutUint32(meminfo[4*skMeminfoDrops:], 42)
	info := make([]byte, lastDataSent+4)
	binary.NativeEndian.PutUint32(info[lastDataSent:], 1500)

	row := append(inetRow(), attr(999, 1, 2, 3)...)
	row = append(row, attr(inetDiagSkV6Only, 1)...)
	row = append(row, attr(inetDiagSkMeminfo, meminfo...)...)
	row = append(row, attr(inetDiagInfo, info...)...)
	got, err := parseInet(row)
	want := inetSocket{
		family:   unix.AF_INET6,
		state:    tcpListen,
		local:    netip.MustParseAddrPort("[::1]:80"),
		remote:   netip.MustParseAddrPort("[::]:0"),
		cookie:   6<<32 | 5,
		uid:      33,
		inode:    4242,
		v6only:   true,
		drops:    42,
		lastData: 1500 * time.Millisecond,
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v; not %+v", got, err, want)
	}
}

func TestParseInetLinkLocal(t *testing.T) {
	row := inetRow()
	copy(row[8:], netip.MustParseAddr("fe80::1").AsSlice())
	binary.NativeEndian.PutUint32(row[40:], 3)
	if s, err := parseInet(row); err != nil || s.local.String() != "[fe80::1%3]:80" || s.iface != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}
