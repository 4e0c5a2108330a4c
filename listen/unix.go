package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/sock"
)

func (c Config) listenUnix(network, name string) (*Listener, error) {
	if err := checkUnixName(name); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	addr := sock.UnixAddr(name)
	t := sock.Stream
	if network == "unixpacket" {
		t = sock.SeqPacket
	}
	var file *unixFile
	l, err := c.open(network, addr, t, 0, func(fd sock.FD) (err error) {
		if name == "" || addr.IsAbstract() {
			return c.bind(fd, addr)
		}
		file, err = c.bindPath(fd, t, name)
		return err
	})
	if err != nil {
		file.remove()
		return nil, err
	}
	l.file = file
	return l, nil
}

// ClaimFile makes Close unlink the file that the unix socket is bound to, as of a
// listener that has made it: for a process that goes on with an adopted socket
// ([Config.Own]). It does nothing for other sockets. ENOENT: the file is gone.
func (l *Listener) ClaimFile() error {
	a, ok := l.addr.(*net.UnixAddr)
	if !ok || a.Name == "" || a.Name[0] == '@' {
		return nil
	}
	file, err := claim(a.Name, 0)
	if err != nil {
		return l.opError("claim", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = file
	return nil
}

// checkUnixName finds what the kernel would cut or refuse, with a better word.
func checkUnixName(name string) error {
	what, name := "unix path", name
	if abstract, ok := strings.CutPrefix(name, "@"); ok {
		what, name = "abstract unix name", abstract
	} else if strings.IndexByte(name, 0) > 0 {
		return fmt.Errorf("unix path contains a NUL byte: %w", unix.EINVAL)
	}
	if len(name) > sock.MaxUnixName {
		return fmt.Errorf("%s has %d bytes, at most %d fit: %w", what, len(name), sock.MaxUnixName, unix.EINVAL)
	}
	return nil
}

// bindPath binds to a path, in place of a dead socket if there is one, and
// gives the file its mode.
func (c Config) bindPath(fd sock.FD, t sock.Type, path string) (*unixFile, error) {
	if c.UnixMode != 0 {
		// The file that bind makes has the mode of the socket's own inode less
		// the umask (unix_bind_bsd), so it is never more open than asked for.
		if err := unix.Fchmod(int(fd), uint32(c.UnixMode)); err != nil {
			return nil, os.NewSyscallError("fchmod", err)
		}
	}
	err := c.bind(fd, sock.UnixAddr(path))
	if errors.Is(err, unix.EADDRINUSE) {
		if err := removeDead(path, t); err != nil {
			return nil, os.NewSyscallError("bind", err)
		}
		err = fd.Bind(sock.UnixAddr(path))
	}
	if err != nil {
		return nil, err
	}
	return claim(path, c.UnixMode)
}

// A unixFile is the file that a socket was bound to. The socket keeps the inode
// in use (unix_sock.path), so its number stays its own until the socket closes.
type unixFile struct {
	path     string // absolute, if the working directory is known
	dev, ino uint64
}

// claim notes which file bind made, and adds the bits of mode that the umask took.
func claim(path string, mode os.FileMode) (*unixFile, error) {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	f := &unixFile{path: path}
	pin, st, err := openPath(path)
	if err != nil {
		return f, err
	}
	defer unix.Close(pin)
	f.dev, f.ino = uint64(st.Dev), st.Ino
	if want := uint32(mode); mode != 0 && st.Mode&0o777 != want {
		// Through the descriptor, as the path may mean another file by now.
		if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(pin), want); err != nil {
			return f, os.NewSyscallError("chmod", err)
		}
	}
	return f, nil
}

// remove deletes the file, unless the path has become another one's.
func (f *unixFile) remove() {
	if f == nil {
		return
	}
	var st unix.Stat_t
	if unix.Lstat(f.path, &st) == nil && uint64(st.Dev) == f.dev && st.Ino == f.ino {
		unix.Unlink(f.path)
	}
}

// openPath opens a file itself, not what it stands for, and so keeps its inode
// number from being used again. The caller owns the descriptor.
func openPath(path string) (fd int, st unix.Stat_t, err error) {
	fd, err = unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, st, os.NewSyscallError("open", err)
	}
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, st, os.NewSyscallError("fstat", err)
	}
	return fd, st, nil
}

// removeDead deletes the file of a socket that nothing is bound to any more. Any
// other file stays, and the error says why the address is in use.
func removeDead(path string, t sock.Type) error {
	pin, st, err := openPath(path)
	if err != nil {
		return unix.EADDRINUSE
	}
	defer unix.Close(pin)
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%w (%s is not a socket and stays)", unix.EADDRINUSE, path)
	}
	// Sockets of this network namespace are found without disturbing them.
	if holders, _ := backlog.Holders(sock.UnixAddr(path)); len(holders) > 0 || !refuses(path, t) {
		return unix.EADDRINUSE
	}
	(&unixFile{path, uint64(st.Dev), st.Ino}).remove()
	return nil
}

// refuses reports whether connecting to the path says that nobody listens there.
func refuses(path string, t sock.Type) bool {
	fd, err := sock.Socket(sock.Unix, t, 0)
	if err != nil {
		return false
	}
	defer fd.Close()
	return errors.Is(fd.Connect(sock.UnixAddr(path)), unix.ECONNREFUSED)
}
