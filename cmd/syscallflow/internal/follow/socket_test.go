package follow

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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
