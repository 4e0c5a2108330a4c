package nodeipc

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/fdpass"
	"onconn/internal/testleak"
	"onconn/sock"
)

// put writes raw bytes as the peer of a channel would.
func put(t *testing.T, c *Channel, p string, fds ...sock.FD) {
	t.Helper()
	if err := fdpass.Send(c.Descriptor(), []byte(p), fds...); err != nil {
		t.Fatal(err)
	}
}

// aSocket is one to pass.
func aSocket(t *testing.T) sock.FD {
	t.Helper()
	a, b, err := sock.Pair(sock.Stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a
}

// What Node says, as strace has it.
func TestNodesWords(t *testing.T) {
	testleak.FDs(t)
	a, b := channels(t, JSON)
	put(t, a, `{"cmd":"NODE_CLUSTER","act":"online","seq":0}`+"\n"+
		`{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":8101,"addressType":4,"backlog":0,"seq":1}`+"\n")
	if m := receive(t, b); m.Act != Online {
		t.Errorf("%+v", m)
	}
	m := receive(t, b)
	if q := m.Query; m.Act != QueryServer || m.Seq != 1 || q.Type != IPv4 || q.Port != 8101 || q.Address != "" || q.FD != -1 {
		t.Errorf("%+v", m)
	}
	for text, want := range map[string]Query{
		`"address":"127.0.0.1","port":8110,"addressType":4,"flags":0,"backlog":false`: {Address: "127.0.0.1", Port: 8110, Type: IPv4, FD: -1},
		`"address":"::","port":1,"addressType":6,"flags":1,"backlog":7`:               {Address: "::", Port: 1, Type: IPv6, FD: -1, Flags: 1, Backlog: 7},
		`"address":"/tmp/x.sock","port":-1,"addressType":-1`:                          {Address: "/tmp/x.sock", Port: -1, Type: Pipe, FD: -1},
		`"address":"/tmp/\u0000name","port":-1,"addressType":-1,"readableAll":true`:   {Address: "\x00name", Port: -1, Type: Pipe, FD: -1, ReadableAll: true},
		`"address":null,"port":null,"addressType":null,"fd":33,"backlog":0`:           {FD: 33},
		`"address":"0.0.0.0","port":8130,"addressType":"udp4","fd":-1,"flags":0`:      {Address: "0.0.0.0", Port: 8130, Type: UDP4, FD: -1},
	} {
		put(t, a, `{"cmd":"NODE_CLUSTER","act":"queryServer",`+text+`,"seq":1}`+"\n")
		got := receive(t, b).Query
		got.Data = nil
		if want.Data = nil; got.Address != want.Address || got.Port != want.Port || got.Type != want.Type || got.FD != want.FD ||
			got.Flags != want.Flags || got.Backlog != want.Backlog || got.ReadableAll != want.ReadableAll {
			t.Errorf("%s: %+v", text, got)
		}
	}
	put(t, a, `{"cmd":"NODE_CLUSTER","errno":null,"key":"k","ack":1,"data":null,"sockname":{"address":"::","family":6,"port":8101},"seq":0}`+"\n")
	if m := receive(t, b); m.Act != Reply || m.Ack != 1 || m.Key != "k" || m.SockName == nil || m.SockName.Family != "IPv6" {
		t.Errorf("%+v", m)
	}
	put(t, a, `{"cmd":"NODE_CLUSTER","errno":-98,"key":"k","ack":2,"seq":0}`+"\n"+`{"cmd":"NODE_CLUSTER","ack":3,"accepted":true,"seq":0}`+"\n")
	if m := receive(t, b); m.Errno != -98 {
		t.Errorf("%+v", m)
	}
	if m := receive(t, b); m.Ack != 3 || !m.Accepted {
		t.Errorf("%+v", m)
	}
}

// A program's messages are any JSON, and what only looks like Node's own.
func TestUserMessages(t *testing.T) {
	testleak.FDs(t)
	for _, s := range []Serialization{JSON, Advanced} {
		a, b := channels(t, s)
		for _, text := range []string{`"str"`, `42`, `null`, `{"cmd":"NODE_"}`, `{"cmd":5,"a":"NODE_x"}`, `["NODE_HANDLE"]`, `{"a":"` + strings.Repeat("x", 200_000) + `"}`} {
			done := make(chan error)
			go func() { done <- a.Send([]byte(text)) }()
			if m := receive(t, b); m.Act != User || string(m.Data) != text {
				t.Errorf("%s: %.60q came as %.60q", s, text, m.Data)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Send([]byte(`{"cmd":"NODE_CLUSTER"}`)); err != errInternal {
			t.Error(err)
		}
		if err := a.Send([]byte("{\n\"a\": 1}")); err != nil {
			t.Error(err)
		}
		if m := receive(t, b); string(m.Data) != `{"a":1}` {
			t.Errorf("%s: %q", s, m.Data)
		}
	}
}

// Both roles understand each other, in either way of writing.
func TestRoles(t *testing.T) {
	testleak.FDs(t)
	for _, s := range []Serialization{JSON, Advanced} {
		x, y := channels(t, s)
		w := &Worker{Channel: x}
		p := &Primary{y, new(atomic.Uint64)}
		w.Online()
		seq, _ := w.QueryServer(Query{Address: "127.0.0.1", Port: 80, Type: IPv4, FD: -1, Data: []byte(`{"ticketKeys":"00"}`)})
		receive(t, y)
		m := receive(t, y)
		if m.Query.Address != "127.0.0.1" || string(m.Query.Data) != `{"ticketKeys":"00"}` {
			t.Errorf("%+v", m)
		}
		p.Serve(seq, "k", &SockName{"::", "IPv6", 80}, m.Query.Data)
		if m := receive(t, x); m.Act != Reply || m.Ack != seq || m.Enveloped || m.SockName.Port != 80 || string(m.Data) != `{"ticketKeys":"00"}` {
			t.Errorf("%+v", m)
		}
		p.Refuse(seq, "k", -98)
		if m := receive(t, x); m.Ack != seq || m.Errno != -98 {
			t.Errorf("%+v", m)
		}
		fd := aSocket(t)
		conn, _ := p.NewConn("k", fd)
		m = receive(t, x)
		if m.Act != NewConn || m.Key != "k" || m.Seq != conn || !m.Enveloped || m.FD == sock.None {
			t.Fatalf("%+v", m)
		}
		m.FD.Close()
		w.Acknowledge(true)
		w.Answer(conn, true)
		if m := receive(t, y); m.Act != HandleACK {
			t.Errorf("%+v", m)
		}
		if m := receive(t, y); m.Act != Reply || m.Ack != conn || !m.Accepted {
			t.Errorf("%+v", m)
		}
		p.Share(seq, "k", fd, nil)
		if m = receive(t, x); m.Act != Reply || m.Ack != seq || m.FD == sock.None {
			t.Fatalf("%+v", m)
		}
		m.FD.Close()
		p.Ping()
		if m = receive(t, x); !m.Enveloped || m.FD != sock.None {
			t.Errorf("%+v", m)
		}
		w.CloseServer("k")
		p.Disconnect()
		leave, _ := w.Leave()
		p.AllowLeave(leave)
		for _, want := range []Act{CloseServer, Leaving} {
			if m := receive(t, y); m.Act != want {
				t.Errorf("%+v, want %s", m, want)
			}
		}
		for _, want := range []Act{Disconnect, Reply} {
			if m := receive(t, x); m.Act != want {
				t.Errorf("%+v, want %s", m, want)
			}
		}
	}
}

// Descriptors find their messages however those are read: together, in parts, the
// descriptor with the first byte or with the last.
func TestPairing(t *testing.T) {
	testleak.FDs(t)
	a, b := channels(t, JSON)
	one, two := aSocket(t), aSocket(t)
	env := func(n string) string {
		return `{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","act":"newconn","key":"k","seq":` + n + `}}` + "\n"
	}
	put(t, a, `"before"`+"\n"+env("1")) // an envelope without one, read together with
	put(t, a, env("2"), one)            // one that has it
	put(t, a, env("3")[:20], two)
	put(t, a, env("3")[20:]+env("4")[:30])
	put(t, a, env("4")[30:], one)
	if m := receive(t, b); string(m.Data) != `"before"` {
		t.Errorf("%+v", m)
	}
	for i, has := range []bool{false, true, true, true} {
		m := receive(t, b)
		if m.Seq != uint64(i+1) || (m.FD != sock.None) != has {
			t.Errorf("%d: %+v", i+1, m)
		}
		if m.FD != sock.None {
			m.FD.Close()
		}
	}
	// One that was sent again is in a second envelope.
	put(t, a, `{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{"hello":1},"key":"4:127.0.0.1:0"}}`+"\n", one)
	m := receive(t, b)
	if m.Act != User || string(m.Data) != `{"hello":1}` || m.Type != "net.Socket" || m.FD == sock.None {
		t.Errorf("%+v", m)
	}
	m.FD.Close()
}

// What no peer may send ends the channel with an error, and leaves no descriptor.
func TestBadInput(t *testing.T) {
	testleak.FDs(t)
	const env = `{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","act":"newconn","key":"k","seq":1}}` + "\n"
	for name, c := range map[string]struct {
		text string
		fds  int
	}{
		"no JSON":           {"{\n", 0},
		"nothing":           {"\n", 0},
		"wrong type":        {`{"cmd":"NODE_CLUSTER","seq":"x"}` + "\n", 0},
		"negative":          {`{"cmd":"NODE_CLUSTER","ack":-1,"seq":1}` + "\n", 0},
		"address type":      {`{"cmd":"NODE_CLUSTER","act":"queryServer","addressType":5,"seq":1}` + "\n", 0},
		"no path":           {`{"cmd":"NODE_CLUSTER","act":"queryServer","addressType":-1,"seq":1}` + "\n", 0},
		"port":              {`{"cmd":"NODE_CLUSTER","act":"queryServer","addressType":4,"port":70000,"seq":1}` + "\n", 0},
		"surplus":           {env, 2},
		"many":              {env, 9},
		"for a user":        {`{"a":1}` + "\n", 1},
		"no JSON, with one": {"{\n", 1},
		"no envelope":       {`{"cmd":"NODE_CLUSTER","act":"newconn","key":"k","seq":1}` + "\n", 1},
	} {
		a, b := channels(t, JSON)
		fds := make([]sock.FD, c.fds)
		for i := range fds {
			fds[i] = aSocket(t)
		}
		put(t, a, c.text, fds...)
		m, err := b.Receive()
		if name == "many" { // as many as were no room for: lost
			if err != nil || m.FD != sock.None || !m.Enveloped {
				t.Errorf("%s: %+v, %v", name, m, err)
			}
			continue
		}
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if _, again := b.Receive(); again != err {
			t.Errorf("%s: %v, and then %v", name, err, again)
		}
	}
}

// A line without an end doesn't fill the memory.
func TestTooLong(t *testing.T) {
	testleak.FDs(t)
	for _, s := range []Serialization{JSON, Advanced} {
		a, b := channels(t, s)
		go func() {
			p := make([]byte, 1<<20)
			for i := range p {
				p[i] = 'x'
			}
			for a.out.sendWaiting(p, sendTimeout) == nil {
			}
		}()
		if _, err := b.Receive(); !errors.Is(err, ErrTooLong) {
			t.Error(err)
		}
		if cap(b.in) > 2*MaxMessage {
			t.Error(cap(b.in), "bytes")
		}
		b.Close()
	}
	a, _ := channels(t, JSON)
	if err := a.Send([]byte(`"` + strings.Repeat("x", MaxMessage) + `"`)); err != ErrTooLong {
		t.Error(err)
	}
}

// A line without an end doesn't fill the table of descriptors.
func TestDescriptorsWithoutEnd(t *testing.T) {
	testleak.FDs(t)
	a, b := channels(t, JSON)
	fd := aSocket(t)
	for range 100 {
		put(t, a, "x", fd)
	}
	b.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := b.Receive(); err != errSurplus {
		t.Error(err)
	}
	if len(b.came) > 2 {
		t.Error(len(b.came), "descriptors")
	}
}

// A peer that asks and doesn't read the answers loses the channel, and not one that
// gets many small messages.
func TestUnreadAnswers(t *testing.T) {
	testleak.FDs(t)
	a, _ := channels(t, JSON)
	waiting := func() (size, pieces int) {
		a.out.mu.Lock()
		defer a.out.mu.Unlock()
		return a.out.size, len(a.out.queue)
	}
	for size := 0; size < maxWaiting-8; size, _ = waiting() {
		if err := a.Send([]byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for range 2 * maxOwed {
		if err = a.Acknowledge(false); err != nil {
			break
		}
	}
	if _, pieces := waiting(); err != errUnread || pieces > 0 {
		t.Errorf("%v, %d in the queue", err, pieces)
	}
}

// A peer that reads nothing holds nobody up but programs' messages, and those for
// a time. What waits comes in order, with its descriptors, when it reads.
func TestSlowPeer(t *testing.T) {
	testleak.FDs(t)
	a, b := channels(t, JSON)
	p := &Primary{a, new(atomic.Uint64)}
	fd := aSocket(t)
	big := []byte(`"` + strings.Repeat("x", 50_000) + `"`)
	n := 0
	for a.out.size == 0 {
		if err := p.Send(big); err != nil {
			t.Fatal(err)
		}
		n++
	}
	for range 100 {
		if _, err := p.NewConn("k", fd); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.out.sendWaiting(make([]byte, maxWaiting), time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	for range n {
		if m := receive(t, b); len(m.Data) != len(big) {
			t.Fatalf("%d bytes", len(m.Data))
		}
	}
	for i := range 100 {
		m := receive(t, b)
		if m.Seq != uint64(i) || m.FD == sock.None {
			t.Fatalf("%d: %+v", i, m)
		}
		m.FD.Close()
	}
	if err := a.Flush(); err != nil {
		t.Error(err)
	}
	for range 1000 {
		p.NewConn("k", fd)
	}
	b.Close()
	for err := error(nil); err == nil; { // nobody reads it
		_, err = p.NewConn("k", fd)
	}
}

// Without a free number the kernel drops the descriptor, and the message says so.
func TestNoDescriptors(t *testing.T) {
	testleak.FDs(t)
	a, b := channels(t, JSON)
	p := &Primary{a, new(atomic.Uint64)}
	p.NewConn("k", aSocket(t))
	p.Disconnect()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	m, err := b.Receive()
	unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	if err != nil || m.Act != NewConn || !m.Enveloped || m.FD != sock.None {
		t.Fatalf("%+v, %v", m, err)
	}
	if m := receive(t, b); m.Act != Disconnect {
		t.Errorf("%+v", m)
	}
}

// The end is io.EOF behind all that was sent.
func TestEnd(t *testing.T) {
	testleak.FDs(t)
	a, b := channels(t, JSON)
	put(t, a, `1`+"\n"+`2`)
	a.Close()
	if m := receive(t, b); string(m.Data) != "1" {
		t.Errorf("%+v", m)
	}
	if _, err := b.Receive(); err != io.EOF {
		t.Error(err)
	}
}

// What ends sending ends receiving on both sides, behind what has come.
func TestSendingFails(t *testing.T) {
	testleak.FDs(t)
	a, b := channels(t, JSON)
	if err := b.Send([]byte("1")); err != nil {
		t.Fatal(err)
	}
	a.out.fail(errUnread)
	for _, c := range []*Channel{a, b} {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
	}
	if m := receive(t, a); string(m.Data) != "1" {
		t.Errorf("%+v", m)
	}
	for _, c := range []*Channel{a, b} {
		if _, err := c.Receive(); err != io.EOF {
			t.Error(err)
		}
	}
	if err := a.Send([]byte("1")); err != errUnread {
		t.Error(err)
	}
}

func FuzzChannel(f *testing.F) {
	f.Add([]byte(`{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","act":"newconn","key":"k","seq":1}}`+"\n"), uint16(10), uint8(1), false)
	f.Add([]byte(`{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":8101,"addressType":4,"fd":3,"flags":1,"backlog":false,"seq":1}`+"\n"), uint16(0), uint8(0), false)
	f.Add([]byte(`{"cmd":"NODE_CLUSTER","errno":-98,"key":"k","ack":2,"sockname":{"family":4},"seq":0}`+"\n1\n"), uint16(3), uint8(2), false)
	f.Add([]byte("\x00\x00\x00\x07\xff\x0f\x22\x03str\x00\x00\x00\x04\xff\x0fIT"), uint16(9), uint8(0), true)
	f.Fuzz(func(t *testing.T, p []byte, at uint16, fds uint8, advanced bool) {
		if len(p) == 0 || len(p) > 64<<10 {
			return
		}
		s := JSON
		if advanced {
			s = Advanced
		}
		x, y, err := sock.Pair(sock.Stream)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewChannel(y, s)
		if err != nil {
			t.Fatal(err)
		}
		n := int(at) % len(p)
		if n > 0 {
			fdpass.Send(x, p[:n])
		}
		other, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		sent := make([]sock.FD, fds%4)
		for i := range sent {
			sent[i] = sock.FD(other)
		}
		fdpass.Send(x, p[n:], sent...)
		unix.Close(other)
		x.Close()
		for {
			m, err := b.Receive()
			if m.FD > 0 {
				m.FD.Close()
			}
			if err != nil {
				break
			}
		}
		b.Close()
		b.Discard()
		if open := openFDs(t); open > 40 {
			t.Fatalf("%d descriptors are open", open)
		}
	})
}

func openFDs(t *testing.T) int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
