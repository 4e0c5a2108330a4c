package sdnotify

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"onconn/fdpass"
	"onconn/sock"
)

// Lines for [Notifier.Send].
const (
	Ready     = "READY=1"
	Stopping  = "STOPPING=1"
	KeepAlive = "WATCHDOG=1"
)

// Status is a line that tells people what the service does.
func Status(text string) string {
	return "STATUS=" + strings.Map(func(r rune) rune {
		if r == '\n' || r == 0 {
			return ' ' // each would end the line
		}
		return r
	}, text)
}

// Reloading is what Type=notify-reload wants at the beginning of a reload; Ready
// ends it. The time is that of the call: systemd compares it with when it asked.
func Reloading() string {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // fails for an unknown clock only
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}

// sendTimeout is how long a supervisor may leave its socket full.
const sendTimeout = 5 * time.Second

// A Notifier tells the supervisor. A nil one, of a process that has none, does
// nothing. Its methods may be called from several goroutines.
type Notifier struct {
	address  sock.Addr
	watchdog time.Duration
}

// FromEnvironment reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and
// leaves them as they are. It returns nil without the first.
func FromEnvironment() (*Notifier, error) {
	name := os.Getenv("NOTIFY_SOCKET")
	switch {
	case name == "":
		return nil, nil
	case name[0] != '/' && name[0] != '@':
		return nil, fmt.Errorf("NOTIFY_SOCKET is %q: it is an absolute path or an abstract name with @", name)
	case len(name) > sock.MaxUnixName && name[0] == '/', len(name) > sock.MaxUnixName+1, len(name) == 1:
		return nil, fmt.Errorf("NOTIFY_SOCKET is %d bytes long: a path or name of a socket has 1 to %d", len(name), sock.MaxUnixName)
	}
	n := &Notifier{address: sock.UnixAddr(name)}
	var err error
	n.watchdog, err = watchdog()
	return n, err
}

// watchdog is WATCHDOG_USEC, if it is meant for this process. See
// sd_watchdog_enabled(3).
func watchdog() (time.Duration, error) {
	usec, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(maxWatchdog/time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC is %q: it is a number of microseconds", usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}

const maxWatchdog = 365 * 24 * time.Hour

// WatchdogInterval is how often to send KeepAlive: half of the time after which
// the supervisor takes this process for hung. 0: not at all.
func (n *Notifier) WatchdogInterval() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog / 2
}

// Send sends lines as one message. It waits for room, 5 s at most.
func (n *Notifier) Send(lines ...string) error {
	return n.send(strings.Join(lines, "\n"))
}

// Store leaves duplicates of fds with the supervisor, which gives them to the
// next process of this service, by LISTEN_FDS under that name. They stay the
// caller's. The service needs FileDescriptorStoreMax. A name is up to 255
// printable ASCII characters without a colon.
func (n *Notifier) Store(name string, fds ...sock.FD) error {
	lines, err := storeLines("FDSTORE=1", name)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(fds, fdpass.MaxFDs) {
		if err := n.send(lines, part...); err != nil {
			return err
		}
	}
	return nil
}

// Remove makes the supervisor close what it keeps under that name.
func (n *Notifier) Remove(name string) error {
	lines, err := storeLines("FDSTOREREMOVE=1", name)
	if err != nil {
		return err
	}
	return n.send(lines)
}

// storeLines refuses a name that systemd's fdname_is_valid would: it replaces
// such a name by another.
func storeLines(what, name string) (string, error) {
	bad := func(r rune) bool { return r < ' ' || r >= 0x7f || r == ':' }
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, bad) {
		return "", fmt.Errorf("the name of stored descriptors is %q: it is 1 to 255 printable ASCII characters without a colon", name)
	}
	return what + "\nFDNAME=" + name, nil
}

// send opens a socket for each message: the supervisor may have another one
// behind the same address after it was restarted.
func (n *Notifier) send(message string, fds ...sock.FD) error {
	if n == nil {
		return nil
	}
	err := sendTo(n.address, message, fds)
	if err != nil {
		return fmt.Errorf("telling the supervisor at %v (NOTIFY_SOCKET): %w", n.address, err)
	}
	return nil
}

func sendTo(to sock.Addr, message string, fds []sock.FD) error {
	s, err := sock.Socket(sock.Unix, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	// A datagram socket that is connected is writable when its peer has room.
	if err := s.Connect(to); err != nil {
		s.Close()
		return err
	}
	file := os.NewFile(uintptr(s), "notify")
	defer file.Close()
	if err := file.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	if waitErr := raw.Write(func(fd uintptr) bool {
		err = fdpass.Send(sock.FD(fd), []byte(message), fds...)
		return !errors.Is(err, unix.EAGAIN)
	}); waitErr != nil {
		return waitErr
	}
	return err
}
