package cluster

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"reflect"
	"testing"

	"onconn/backlog"
	"onconn/listen"
	"onconn/sock"

	"golang.org/x/sys/unix"
)

// Whatever bytes a worker sends, the primary refuses them or understands the
// same thing when it says them again.
func FuzzMessage(f *testing.F) {
	for _, m := range []message{
		{Op: opOnline, Version: protocolVersion},
		{Op: opListen, Seq: 7, Key: &key{"tcp", ":80", 1}, Config: &listen.Config{Backlog: 5, V6Only: listen.On}, Mode: Shared},
		{Op: opReply, Seq: 7, Line: 3, MaxConns: 5, Addr: &remoteAddr{Network: "vsock", CID: 2, Port: 3}},
		{Op: opReply, Error: remoteErrorOf(&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", unix.EADDRINUSE)})},
		{Op: opUser, Data: json.RawMessage(`{"cmd":"notifyRequest"}`)},
	} {
		p, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Add([]byte(`{"op":1}`))
	f.Add([]byte(`{"op":"message","data":1,"seq":2}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := parseMessage(p)
		if err == nil && m.Op == opUser {
			_, err = m.said()
		}
		if err != nil {
			return
		}
		if m.Addr != nil {
			m.Addr.netAddr()
		}
		if m.Error != nil && m.Key != nil {
			_ = m.Error.opError(*m.Key).Error()
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("%s can't be said again: %v", p, err)
		}
		m2, err := parseMessage(again)
		if err != nil {
			t.Fatalf("%s, said again as %s: %v", p, again, err)
		}
		again2, _ := json.Marshal(m2)
		if string(again) != string(again2) {
			t.Fatalf("%s is said again as %s and then as %s", p, again, again2)
		}
	})
}

// A primary doesn't fall for anything that a worker says, in any order.
func FuzzHandle(f *testing.F) {
	f.Add([]byte(`{"op":"online","version":2}`))
	f.Add([]byte(`{"op":"listen","key":{"network":"unix","address":"@onconn-fuzz"},"config":{},"mode":"rr"}`))
	f.Add([]byte(`{"op":"close","key":{"network":"unix","address":"@onconn-fuzz"}}`))
	f.Add([]byte(`{"op":"done"}`))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := parseMessage(p)
		if err != nil || m.Op == opDone || m.Op == opLeave { // these end processes, and this one has none
			return
		}
		if m.Key != nil {
			m.Key.Network, m.Key.Address = "unix", "@onconn-fuzz"
		}
		primary, w := standIn(t)
		for range 2 {
			if w.handle(m, nil) != nil {
				break
			}
		}
		primary.leaveAll(w, true, true)
		for _, s := range primary.all() {
			s.close()
		}
	})
}

// standIn is a primary with a worker that has no process.
func standIn(t *testing.T) (*Primary, *Worker) {
	p, err := New(Config{Workers: -1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.begin(false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.finish)
	ours, theirs, err := sock.Pair(sock.SeqPacket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	w := newWorker(p, 1, 0)
	if w.channel, err = newChannel(ours); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.channel.close)
	if w.board, err = newBoard(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.board.close)
	return p, w
}

// An error keeps its shape on its way to a worker.
func TestRemoteError(t *testing.T) {
	k := key{Network: "tcp", Address: "127.0.0.1:80"}
	holder := backlog.Owner{PID: 7, Command: "nginx", FD: 6}
	for _, err := range []error{
		os.NewSyscallError("bind", unix.EACCES),
		os.NewSyscallError("bind", &listen.InUseError{Holders: []backlog.Owner{holder}}),
		&net.AddrError{Err: "invalid port", Addr: "65536"},
		net.UnknownNetworkError("nonsense"),
		&net.DNSError{Err: "no such host", Name: "nowhere", IsNotFound: true, UnwrapErr: errors.New("x")},
		errors.New("anything else"),
	} {
		p, e := json.Marshal(message{Op: opReply, Error: remoteErrorOf(&net.OpError{Op: "listen", Net: "tcp", Err: err})})
		if e != nil {
			t.Fatal(e)
		}
		m, e := parseMessage(p)
		if e != nil {
			t.Fatal(e)
		}
		got := m.Error.opError(k).(*net.OpError)
		if reflect.TypeOf(got.Err) != reflect.TypeOf(err) || got.Err.Error() != err.Error() {
			t.Errorf("%T %v arrives as %T %v", err, err, got.Err, got.Err)
		}
		if errno, ok := errors.AsType[unix.Errno](err); ok && !errors.Is(got, errno) {
			t.Errorf("%v is not %v any more", got, errno)
		}
	}
}

func TestRemoteAddr(t *testing.T) {
	for _, a := range []net.Addr{
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1).To4(), Port: 80},
		&net.TCPAddr{IP: net.IPv6unspecified, Port: 8000},
		&net.TCPAddr{IP: net.IPv6linklocalallnodes, Port: 1, Zone: "lo"},
		&net.UnixAddr{Net: "unix", Name: "/run/s"},
		&net.UnixAddr{Net: "unixpacket", Name: "@s"},
		sock.VsockAddr(3, 80),
	} {
		p, err := json.Marshal(remoteAddrOf(a))
		if err != nil {
			t.Fatal(err)
		}
		var r remoteAddr
		if err := json.Unmarshal(p, &r); err != nil {
			t.Fatal(err)
		}
		got := r.netAddr()
		if reflect.TypeOf(got) != reflect.TypeOf(a) || got.String() != a.String() || got.Network() != a.Network() {
			t.Errorf("%T %v arrives as %T %v", a, a, got, got)
		}
	}
}
