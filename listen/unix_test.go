package listen_test

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// leaveDead leaves the file of a socket that is closed.
func leaveDead(t *testing.T, path string) {
	t.Helper()
	fd, err := sock.Socket(sock.Unix, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	if err := fd.Bind(sock.UnixAddr(path)); err != nil {
		t.Fatal(err)
	}
}

func TestUnixDeadSocketIsReplaced(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "s")
	for _, network := range []string{"unix", "unixpacket"} {
		leaveDead(t, path)
		l := mustListen(t, listen.Config{}, network, path)
		dial(t, l)
		accept(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if exists(path) {
			t.Error("Close leaves the file")
		}
	}
}

// TestUnixOthersAreKept tries each thing that may be at the path.
func TestUnixOthersAreKept(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.WriteFile(in("file"), []byte("x"), 0o600))
	check(os.Mkdir(in("directory"), 0o700))
	check(unix.Mkfifo(in("fifo"), 0o600))
	leaveDead(t, in("dead"))
	check(os.Symlink("dead", in("symlink to dead")))
	check(os.Symlink("none", in("dangling symlink")))
	mustListen(t, listen.Config{}, "unix", in("listening"))
	full := mustListen(t, listen.Config{Backlog: 1}, "unix", in("full"))
	for range 2 {
		dial(t, full)
	}
	for name, typ := range map[string]sock.Type{"bound": sock.Stream, "datagrams": unix.SOCK_DGRAM} {
		fd, err := sock.Socket(sock.Unix, typ, 0)
		check(err)
		defer fd.Close()
		check(fd.Bind(sock.UnixAddr(in(name))))
	}

	for _, name := range []string{"file", "directory", "fifo", "symlink to dead", "dangling symlink",
		"listening", "full", "bound", "datagrams"} {
		before, err := os.Lstat(in(name))
		check(err)
		l, err := listen.Config{}.Listen(t.Context(), "unix", in(name))
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.Lstat(in(name)); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s was replaced: %v", name, err)
		}
	}
	if q, err := full.Queue(); err != nil || q.Depth != 2 {
		t.Errorf("the full listener was disturbed: %+v, %v", q, err)
	}
}

func init() {
	children["listen on a path"] = func() {
		l, err := listen.Listen("unix", os.Getenv("TEST_PATH"))
		say(err)
		io.Copy(io.Discard, os.Stdin)
		l.Close()
	}
}

// TestUnixOtherNamespaceIsKept has the socket where sock_diag doesn't show it:
// paths know no network namespaces.
func TestUnixOtherNamespaceIsKept(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "s")
	p := startChild(t, "listen on a path", []string{"TEST_PATH=" + path}, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
	if line, err := bufio.NewReader(p.out).ReadString('\n'); line != "<nil>\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	if _, err := listen.Listen("unix", path); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("%v", err)
	}
	if !exists(path) {
		t.Error("the file is gone")
	}
}

func TestUnixCloseKeepsWhatIsNotItsOwn(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "s")
	first := mustListen(t, listen.Config{}, "unix", path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := mustListen(t, listen.Config{}, "unix", path)
	first.Close()
	dial(t, second)

	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	second.Close()
	if !exists(path + ".moved") {
		t.Error("Close removed a file that was renamed")
	}
}

// TestUnixRelativePath closes after the working directory has changed.
func TestUnixRelativePath(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	t.Chdir(dir)
	l := mustListen(t, listen.Config{}, "unix", "s")
	if l.Addr().String() != "s" {
		t.Errorf("address %v", l.Addr())
	}
	t.Chdir(t.TempDir())
	l.Close()
	if exists(filepath.Join(dir, "s")) {
		t.Error("the file is left")
	}
}

func TestUnixMode(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	defer unix.Umask(unix.Umask(0o027))
	for _, tt := range []struct{ mode, want fs.FileMode }{
		{0, 0o750}, {0o600, 0o600}, {0o660, 0o660}, {0o777, 0o777}, {0o666, 0o666},
	} {
		path := filepath.Join(dir, tt.mode.String())
		mustListen(t, listen.Config{UnixMode: tt.mode}, "unix", path)
		fi, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := fi.Mode().Perm(); got != tt.want {
			t.Errorf("mode %o gives %o, not %o", tt.mode, got, tt.want)
		}
	}
}

// TestUnixModeBeforeBind looks at the inode whose mode bind gives to the file, so
// that there is no moment when the file is more open.
func TestUnixModeBeforeBind(t *testing.T) {
	testleak.FDs(t)
	c := listen.Config{UnixMode: 0o600, Control: func(fd sock.FD) error {
		var st unix.Stat_t
		if err := unix.Fstat(int(fd), &st); err != nil || st.Mode&0o777 != 0o600 {
			t.Errorf("mode %o, %v", st.Mode, err)
		}
		return nil
	}}
	mustListen(t, c, "unix", filepath.Join(t.TempDir(), "s"))
}

// TestUnixModeOfReplacement has the mode too when a dead socket is replaced.
func TestUnixModeOfReplacement(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "s")
	leaveDead(t, path)
	mustListen(t, listen.Config{UnixMode: 0o606}, "unix", path)
	if fi, err := os.Lstat(path); err != nil || fi.Mode().Perm() != 0o606 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
}

func TestUnixNames(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	pad := strings.Repeat("x", sock.MaxUnixName-len(dir)-1)
	for _, tt := range []struct{ name, address, want string }{
		{"longest path", filepath.Join(dir, pad), filepath.Join(dir, pad)},
		{"abstract", "@" + dir, "@" + dir},
		{"longest abstract", "@" + dir + "/" + pad, "@" + dir + "/" + pad},
		{"path with @", "./@x", "./@x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(dir)
			l := mustListen(t, listen.Config{}, "unix", tt.address)
			if got := l.Addr().String(); got != tt.want {
				t.Errorf("address %q", got)
			}
			client := dial(t, l)
			if got := accept(t, l).LocalAddr(); got.String() != tt.want {
				t.Errorf("connection's address %q", got)
			}
			client.Close()
		})
	}
	t.Run("chosen by the kernel", func(t *testing.T) {
		l := mustListen(t, listen.Config{}, "unix", "")
		if got := l.Addr().String(); len(got) != 6 || got[0] != '@' {
			t.Errorf("address %q", got)
		}
	})
	t.Run("NUL in a path", func(t *testing.T) {
		_, err := listen.Listen("unix", filepath.Join(dir, "a\x00b"))
		if !errors.Is(err, unix.EINVAL) || exists(filepath.Join(dir, "a")) {
			t.Errorf("%v", err)
		}
	})
}

// TestUnixFileRemovedOnFailure fails after bind made the file.
func TestUnixFileRemovedOnFailure(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "s")
	boom := errors.New("boom")
	c := listen.Config{Control: func(fd sock.FD) error { return boom }}
	if _, err := c.Listen(t.Context(), "unix", path); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if exists(path) {
		t.Error("the file is left")
	}
	// A socket that is connected already binds, but cannot listen.
	c.Control = func(fd sock.FD) error {
		l := mustListen(t, listen.Config{}, "unix", path+".other")
		defer l.Close()
		return fd.Connect(sock.FromNetAddr(l.Addr()))
	}
	l, err := c.Listen(t.Context(), "unix", path)
	var op *net.OpError
	if !errors.As(err, &op) || !errors.Is(err, unix.EINVAL) {
		t.Errorf("%v, %v", l, err)
	}
	if exists(path) {
		t.Error("the file is left when listen fails")
	}
}
