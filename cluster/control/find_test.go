package control

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"onconn/internal/testleak"
)

func TestDefaultPath(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	bad := []string{dir + "/no/such", open, file, link}
	good := filepath.Join(dir, "[good")
	for range 2 {
		path, err := defaultPath(append(bad, good))
		if want := filepath.Join(good, strconv.Itoa(os.Getpid())+".sock"); err != nil || path != want {
			t.Fatalf("the path is %q, %v; not %q", path, err, want)
		}
	}
	if fi, err := os.Stat(good); err != nil || fi.Mode() != os.ModeDir|0o700 {
		t.Errorf("the mode of the directory is %v, %v", fi.Mode(), err)
	}
	_, err := defaultPath(bad)
	for _, dir := range bad {
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s is not in %v", dir, err)
		}
	}
}

// What killed processes left is removed, and nothing else.
func TestSweep(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	// No process has such a number: it is greater than PID_MAX_LIMIT.
	gone := leaveDead(t, filepath.Join(dir, "99999999.sock"))
	kept := []string{leaveDead(t, filepath.Join(dir, "1.sock")), leaveDead(t, filepath.Join(dir, "my.sock"))}
	answers := filepath.Join(dir, "99999998.sock")
	s, err := Listen(answers, &fake{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := defaultPath([]string{dir}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(gone); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", gone, err)
	}
	for _, path := range append(kept, answers) {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	found := running([]string{dir, dir + "/none"})
	if len(found) != 1 || found[0].Path() != answers {
		t.Errorf("running are %v", found)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if found := running([]string{dir}); len(found) != 0 {
		t.Errorf("anybody could have put %v there", found)
	}
}

func TestDirectories(t *testing.T) {
	for _, dir := range []string{"", "relative", "/somewhere"} {
		t.Setenv("XDG_RUNTIME_DIR", dir)
		all := Directories()
		if strings.Contains(all, "/somewhere/onconn") != (dir == "/somewhere") || strings.Contains(all, "relative") ||
			!strings.Contains(all, "/tmp/onconn-"+strconv.Itoa(os.Geteuid())) || strings.Contains(all, "/run/onconn") != (os.Geteuid() == 0) {
			t.Errorf("with %q the directories are %s", dir, all)
		}
	}
}
