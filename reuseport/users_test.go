package reuseport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

const nobody = 65534

func init() { children["join"] = join }

// join tries to share the port of another user's group.
func join() {
	g, err := Config{Listener: listen.Config{ReusePort: true}}.Listen(context.Background(), "tcp", os.Getenv("ADDRESS"), 1)
	if err == nil {
		g.Close()
	}
	fmt.Print(err)
}

// Sockets of another user can't join, and the error says so.
func TestOtherUser(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	g := newGroup(t, Config{}, 1)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := dir + "/reuseport.test"
	parent := dir[:strings.LastIndex(dir, "/")]
	if err := errors.Join(os.WriteFile(name, self, 0o755), os.Chmod(dir, 0o755), os.Chmod(parent, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name)
	cmd.Env = append(os.Environ(), "REUSEPORT_TEST_CHILD=join", "ADDRESS="+g.Addr().String())
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "uid 0 made that socket and we are uid 65534") {
		t.Errorf("another user joined: %s, %v", out, err)
	}
}

// Adopt finds it out before the kernel would mix up the books.
func TestAdoptOtherUser(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 1)
	fd := socketOf(t, g.Addr().String(), shareable)
	defer fd.Close()
	const other = 12345
	if err := unix.Fchown(int(fd), other, -1); err != nil {
		t.Skip("needs root: ", err)
	}
	if m, err := g.Adopt(fd); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "uid 12345") {
		t.Errorf("adopted %v, %v", m, err)
	}
}

// Without SO_REUSEPORT on the holder's socket, the error names that.
func TestHolderWithoutFlag(t *testing.T) {
	testleak.FDs(t)
	fd := socketOf(t, "127.0.0.1:0")
	defer fd.Close()
	a, err := fd.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	g, err := Config{Listener: listen.Config{ReusePort: true}}.Listen(context.Background(), "tcp", a.String(), 1)
	if !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "lacks SO_REUSEPORT") {
		t.Errorf("%v, %v", g, err)
	}
}

// A socket of another namespace is refused, though its address is the same.
func TestAdoptOtherNamespace(t *testing.T) {
	testleak.FDs(t)
	ns := cookieNamespace(t)
	g := newGroup(t, Config{}, 1)
	var fd sock.FD
	ns.Do(func() { fd = socketOf(t, g.Addr().String(), shareable) })
	defer fd.Close()
	if m, err := g.Adopt(fd); !errors.Is(err, unix.EXDEV) {
		t.Errorf("adopted %v, %v", m, err)
	}
}
