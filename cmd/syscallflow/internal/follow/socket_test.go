package follow

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/tracer"
	"onconn/internal/testleak"
	"onconn/sock"
)

// TestLearn: our own descriptors, with pidfd_getfd and without it.
func TestLearn(t *testing.T) {
	testleak.FDs(t)
	fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r := New(Config{})
	able := &process{pid: os.Getpid(), pidfd: -1}
	defer able.close()
	unable := &process{pid: os.Getpid(), pidfd: int(null.Fd())} // EBADF
	a, b := r.learn(able, int(fd)), r.learn(unable, int(fd))
	if a.socket == nil || a.socket != b.socket || a.socket.Cookie == 0 || a.socket.Family != "AF_INET" {
		t.Errorf("%+v, %+v", a.socket, b.socket)
	}
	if c := New(Config{}).learn(unable, int(fd)); c.socket == nil || c.socket.Inode != a.socket.Inode {
		t.Errorf("%+v", c.socket)
	}
	for _, p := range []*process{able, unable} {
		if e := r.learn(p, int(null.Fd())); e.socket != nil || e.name != os.DevNull {
			t.Errorf("%+v", e)
		}
		if e := r.learn(p, 1<<20); e.socket != nil || e.name != "" {
			t.Errorf("what isn't open: %+v", e)
		}
	}
}

// TestFcntl: who sets flags makes no descriptor, though the value looks like one.
func TestFcntl(t *testing.T) {
	testleak.FDs(t)
	fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	pid := os.Getpid()
	r := New(Config{})
	r.Fork(0, pid, 0)
	p := r.processes[pid]
	defer p.close()
	p.table = newTable()
	p.put(int(fd), r.learn(p, int(fd)))
	thread := &tracer.Thread{TID: pid, PID: pid}
	fcntl := func(op, arg uint64, value int64) {
		call := tracer.Call{Number: unix.SYS_FCNTL, Args: [6]uint64{uint64(fd), op, arg}}
		if r.Enter(thread, call) {
			r.Exit(thread, 0, value)
		}
	}
	fcntl(unix.F_GETFL, 0, 2)
	fcntl(unix.F_SETFL, unix.O_NONBLOCK, 0)
	if len(p.table.entries) != 1 || len(r.recording.Calls) != 0 {
		t.Errorf("%v, %+v", p.table.entries, r.recording.Calls)
	}
	fcntl(unix.F_DUPFD, 1000, 1000)
	if e := p.table.entries[1000]; e == nil || e != p.table.entries[int(fd)] {
		t.Errorf("the duplicate: %+v", e)
	}
}

func TestNarrow(t *testing.T) {
	for head, want := range map[string]bool{"\x7fELF\x01": true, "\x7fELF\x02": false, "#!": false} {
		if got := narrow(strings.NewReader(head)); got != want {
			t.Errorf("%q: %v", head, got)
		}
	}
}

// TestSharesFiles: a process shares its table with itself.
func TestSharesFiles(t *testing.T) {
	if !sharesFiles(os.Getpid(), os.Getpid()) {
		t.Skip("no kcmp")
	}
	if sharesFiles(os.Getpid(), unix.Getppid()) {
		t.Error("with its parent too")
	}
}
