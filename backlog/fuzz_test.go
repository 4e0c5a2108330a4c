package backlog

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// rows are those that the kernel really sends in answer to a request.
func rows(f *testing.F, flags uint16, request []byte) (all [][]byte) {
	f.Helper()
	d, err := openDiag()
	if err != nil {
		f.Fatal(err)
	}
	defer d.Close()
	err = d.ask(flags, request, func(body []byte) error {
		all = append(all, bytes.Clone(body))
		return nil
	})
	if err != nil || len(all) == 0 {
		f.Fatalf("%d rows, %v", len(all), err)
	}
	return all
}

func FuzzInetMessage(f *testing.F) {
	_, addr := listening(f, inet("[::1]:0"), sock.Stream, 0, 7)
	connect(f, addr)
	for _, states := range []uint32{1 << tcpListen, 1 << tcpEstablished} {
		r := inetRequest{family: unix.AF_INET6, states: states, attributes: withInfo | withMeminfo, local: localPort(uint16(addr.Port()))}.bytes()
		for _, row := range rows(f, unix.NLM_F_DUMP, r[:]) {
			f.Add(row)
			f.Add(row[:len(row)-3])
		}
	}
	f.Add(append(inetRow(), attr(inetDiagSkV6Only)...))
	f.Add(append(inetRow(), attr(inetDiagSkMeminfo, 1, 2)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseInet(b)
		if err == nil && len(b) < sizeofInetMsg {
			t.Error("a short row is accepted")
		}
		l := s.listener()
		if l.Depth < 0 || l.Limit < 0 || s.expires < 0 || s.lastData < 0 || handshakeAge(s.retrans, s.expires) < 0 {
			t.Errorf("negative: %+v", s)
		}
		if again, _ := parseInet(b); again != s {
			t.Errorf("%+v, and again %+v", s, again)
		}
	})
}

func FuzzUnixMessage(f *testing.F) {
	fd, _ := listening(f, sock.UnixAddr(""), sock.Stream, 0, 7)
	show := uint32(udiagShowName | udiagShowVFS | udiagShowRqLen | udiagShowUID)
	for _, row := range rows(f, 0, unixRequest(inode(f, fd), anyState, show)) {
		f.Add(row)
		f.Add(row[:len(row)-3])
	}
	f.Add(append(make([]byte, sizeofUnixMsg), attr(unixDiagVFS, 1, 2, 3, 4)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseUnix(b)
		if err == nil && len(b) < sizeofUnixMsg {
			t.Error("a short row is accepted")
		}
		if name := s.addr().Name(); len(name) > len(s.name)+2 {
			t.Errorf("%q is named %q", s.name, name)
		}
	})
}
