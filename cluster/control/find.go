package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// directories are where sockets are that nobody gave a path, the first choice
// first.
func directories() (dirs []string) {
	uid := os.Geteuid()
	if uid == 0 {
		dirs = append(dirs, "/run/onconn")
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		dirs = append(dirs, filepath.Join(dir, "onconn"))
	}
	return append(dirs, filepath.Join("/tmp", "onconn-"+strconv.Itoa(uid)))
}

// DefaultPath is where this process has its control socket if nobody says
// otherwise: PID.sock in /run/onconn for root, else in $XDG_RUNTIME_DIR/onconn,
// else in /tmp/onconn-UID. It makes the directory, with mode 0700, and removes
// what processes left there that are gone.
func DefaultPath() (string, error) { return defaultPath(directories()) }

func defaultPath(dirs []string) (string, error) {
	var failed []error
	for _, dir := range dirs {
		err := os.Mkdir(dir, 0o700)
		if err == nil || errors.Is(err, os.ErrExist) {
			err = private(dir, os.Geteuid())
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		sweep(dir)
		return filepath.Join(dir, strconv.Itoa(os.Getpid())+".sock"), nil
	}
	return "", fmt.Errorf("no directory for the control socket: %w", errors.Join(failed...))
}

// private refuses a directory in which others may have put something: anybody
// can make one in /tmp.
func private(dir string, owner int) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is no directory", dir)
	case int(st.Uid) != owner:
		return fmt.Errorf("%s belongs to user %d, not %d", dir, st.Uid, owner)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s is writable for others: chmod 700 it", dir)
	}
	return nil
}

// sweep removes the sockets of processes that were killed.
func sweep(dir string) {
	for _, path := range sockets(dir) {
		pid, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".sock"))
		if err != nil || pid <= 0 || unix.Kill(pid, 0) != unix.ESRCH {
			continue
		}
		if _, err := Dial(path); errors.Is(err, unix.ECONNREFUSED) { // or it is in another pid namespace
			os.Remove(path)
		}
	}
}

func sockets(dir string) []string {
	paths, _ := filepath.Glob(filepath.Join(escape.Replace(dir), "*.sock")) // the pattern is right
	return paths
}

var escape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// Running are the primaries of this user that have their socket where
// [DefaultPath] puts it.
func Running() []*Client { return running(directories()) }

func running(dirs []string) (clients []*Client) {
	for _, dir := range dirs {
		if private(dir, os.Geteuid()) != nil {
			continue
		}
		for _, path := range sockets(dir) {
			if c, err := Dial(path); err == nil {
				clients = append(clients, c)
			}
		}
	}
	return clients
}

// Directories are where [Running] looks, for a message to who finds none.
func Directories() string { return strings.Join(directories(), " or ") }
