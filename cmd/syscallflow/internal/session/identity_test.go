package session

import (
	"testing"

	"onconn/cmd/syscallflow/internal/recording"
)

// TestPass: a socket is the same in the process that gets it.
func TestPass(t *testing.T) {
	r := record(t, "pass", Config{})
	if r.Status != 0 {
		t.Fatalf("status %#x", r.Status)
	}
	sent, got := calls(r, "sendmsg"), calls(r, "recvmsg")
	if len(sent) != 1 || len(got) != 1 || len(sent[0].Passed) != 2 || len(got[0].Passed) != 2 {
		t.Fatalf("%+v\n%+v", sent, got)
	}
	listener := calls(r, "listen")[0].FD.Socket
	if a, b := sent[0].Passed[0], got[0].Passed[0]; a.Socket != listener || b.Socket != listener || sent[0].PID == got[0].PID {
		t.Errorf("sent %+v, got %+v, listener %d", a, b, listener)
	}
	if b := got[0].Passed[1]; b.Socket != 0 || b.Name == "" {
		t.Errorf("what is no socket: %+v", b)
	}
	accepts := calls(r, "accept4")
	if len(accepts) != 1 || accepts[0].PID != got[0].PID || accepts[0].FD.Socket != listener {
		t.Fatalf("%+v", accepts)
	}
	c := socketOf(t, r, accepts[0].New.Socket)
	l := socketOf(t, r, listener)
	connected := calls(r, "connect")[0]
	client := socketOf(t, r, connected.FD.Socket)
	if c.From != l.ID || c.Local != l.Local || c.Peer != client.Local || connected.Address != l.Local || accepts[0].Address != client.Local {
		t.Errorf("accepted %+v, client %+v", c, client)
	}
	if l.Backlog != 16 || !l.Listens || c.Cookie == 0 || c.Inode == 0 || c.Family != "AF_INET" || c.Type != "SOCK_STREAM" {
		t.Errorf("listener %+v, accepted %+v", l, c)
	}
	pair := calls(r, "socketpair")[0]
	a, b := socketOf(t, r, pair.Passed[0].Socket), socketOf(t, r, pair.Passed[1].Socket)
	if a.Pair != b.ID || b.Pair != a.ID || a.ID == b.ID {
		t.Errorf("%+v, %+v", a, b)
	}
	// The other end came to the child by fork and exec, as descriptor 3.
	if got[0].FD.Socket != b.ID || got[0].FD.Number != 3 || sent[0].FD.Socket != a.ID {
		t.Errorf("sent on %+v, got on %+v", sent[0].FD, got[0].FD)
	}
}

func TestNumbers(t *testing.T) {
	r := record(t, "numbers", Config{})
	if r.Status != 0 {
		t.Fatalf("status %#x", r.Status)
	}
	listens := calls(r, "listen")
	if len(listens) != 5 {
		t.Fatalf("%d calls of listen", len(listens))
	}
	s := listens[0].FD.Socket
	for i, want := range []struct {
		socket recording.SocketID
		errno  string
	}{{s, ""}, {s, ""}, {0, "ENOTSOCK"}, {0, "EBADF"}, {s, ""}} {
		if c := listens[i]; c.FD.Socket != want.socket || c.Errno != want.errno {
			t.Errorf("listen %d: %+v %s, want %+v", i, c.FD, c.Errno, want)
		}
	}
	if got := socketOf(t, r, s); got.Backlog != 7 {
		t.Errorf("backlog %d, want that of the last listen, 7", got.Backlog)
	}
	for _, name := range []string{"dup", "fcntl", "dup3"} {
		if c := calls(r, name); len(c) != 1 || c[0].New == nil || c[0].New.Socket != s {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if len(r.Sockets) != 1 {
		t.Errorf("%d sockets, want 1", len(r.Sockets))
	}
}
