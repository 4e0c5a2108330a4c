package sdnotify

import (
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/fdpass"
	"onconn/internal/testleak"
	"onconn/sock"
)

func receiver(t testing.TB) *Receiver {
	t.Helper()
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// notifier is what a process gets from this environment.
func notifier(t testing.TB, address string) *Notifier {
	t.Helper()
	t.Setenv("NOTIFY_SOCKET", address)
	n, err := FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func expect(t testing.TB, r *Receiver, pid int, want map[string]string) {
	t.Helper()
	got, fields, err := r.Receive()
	if err != nil || got != pid || !maps.Equal(fields, want) {
		t.Errorf("process %d says %v, %v; not %d %v", got, fields, err, pid, want)
	}
}

func TestBetweenProcesses(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	r := receiver(t)
	cmd := process(r, "READY=1\nSTATUS=a=b\nX=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	expect(t, r, cmd.Process.Pid, map[string]string{"READY": "1", "STATUS": "a=b", "X": ""})
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// systemd's own tool, which also waits for its barrier.
func TestSystemdNotify(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	if _, err := exec.LookPath("systemd-notify"); err != nil {
		t.Skip("systemd-notify is not installed")
	}
	r := receiver(t)
	cmd := exec.Command("systemd-notify", "--pid=self", "--ready", "--status=at work")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+r.Address())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	_, fields, err := r.Receive()
	if err != nil || fields["READY"] != "1" || fields["STATUS"] != "at work" {
		t.Errorf("it says %v, %v", fields, err)
	}
	if _, fields, err := r.Receive(); err != nil || fields["BARRIER"] != "1" {
		t.Errorf("then it says %v, %v", fields, err)
	}
	if err := <-done; err != nil { // it would wait 5 s for a descriptor that stays open
		t.Error(err)
	}
}

// A supervisor may have a path, too.
func TestPath(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "notify")
	s, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := notifier(t, path)
	if err := n.Send(Stopping, Status("two\nlines")); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	k, err := s.Read(p)
	if got := string(p[:k]); err != nil || got != "STOPPING=1\nSTATUS=two lines" {
		t.Errorf("it hears %q, %v", got, err)
	}
	s.Close()
	if err := n.Send(Ready); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("without a supervisor: %v", err)
	}
}

func TestReloading(t *testing.T) {
	now := func() int64 {
		var ts unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
		return ts.Nano() / 1000
	}
	before := now()
	fields := parse([]byte(Reloading()))
	usec, err := strconv.ParseInt(fields["MONOTONIC_USEC"], 10, 64)
	if err != nil || usec < before || usec > now() || fields["RELOADING"] != "1" {
		t.Errorf("the fields are %v", fields)
	}
}

// Descriptors travel with FDSTORE, and a receiver that is none closes them.
func TestStore(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "notify")
	s, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	if err := notifier(t, path).Store("port 80", sock.FD(pipe[1])); err != nil {
		t.Fatal(err)
	}
	p, control := make([]byte, 100), make([]byte, 100)
	k, nc, _, _, err := s.ReadMsgUnix(p, control)
	if got := string(p[:k]); err != nil || got != "FDSTORE=1\nFDNAME=port 80" {
		t.Errorf("it hears %q, %v", got, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:nc])
	if err != nil || len(messages) != 1 {
		t.Fatalf("the control data is %v, %v", messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("the descriptors are %v, %v", fds, err)
	}
	defer unix.Close(fds[0])
	if _, err := unix.Write(fds[0], []byte("x")); err != nil {
		t.Error(err)
	}
	if k, err := unix.Read(pipe[0], p); k != 1 || err != nil {
		t.Errorf("it is another descriptor: %d, %v", k, err)
	}

	r := receiver(t)
	n := notifier(t, r.Address())
	if err := n.Store("x", sock.FD(pipe[1])); err != nil {
		t.Fatal(err)
	}
	expect(t, r, os.Getpid(), map[string]string{"FDSTORE": "1", "FDNAME": "x"})
	unix.Close(fds[0])
	unix.Close(pipe[1])
	fds[0] = -1
	if k, err := unix.Read(pipe[0], p); k != 0 || err != nil { // the end: no writer is left
		t.Errorf("a descriptor is left open: %d, %v", k, err)
	}
	if err := n.Remove("x"); err != nil {
		t.Fatal(err)
	}
	expect(t, r, os.Getpid(), map[string]string{"FDSTOREREMOVE": "1", "FDNAME": "x"})
}

// More than one message takes are sent in several.
func TestStoreMany(t *testing.T) {
	testleak.FDs(t)
	r := receiver(t)
	n := notifier(t, r.Address())
	fds := make([]sock.FD, fdpass.MaxFDs+1)
	for i := range fds {
		fds[i] = sock.FD(os.Stderr.Fd())
	}
	if err := n.Store("x", fds...); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		expect(t, r, os.Getpid(), map[string]string{"FDSTORE": "1", "FDNAME": "x"})
	}
}

func TestWrongNames(t *testing.T) {
	n := &Notifier{}
	for _, name := range []string{"", "a:b", "a\nb", "\x7f", "ä", strings.Repeat("x", 256)} {
		if err := n.Store(name); err == nil || !strings.Contains(err.Error(), "255") {
			t.Errorf("Store %q: %v", name, err)
		}
		if err := n.Remove(name); err == nil {
			t.Errorf("Remove %q", name)
		}
	}
}

// What is no message changes nothing for the next one.
func TestGarbage(t *testing.T) {
	testleak.FDs(t)
	r := receiver(t)
	n := notifier(t, r.Address())
	for _, s := range []string{"", "\x00", "no line", "=value", "READY=1\x00STATUS=x", "X=" + strings.Repeat("x", maxMessage-1), "READY=1\nX=" + strings.Repeat("x", 100_000)} {
		c, err := net.Dial("unixgram", r.Address())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, s); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	longest := "X=" + strings.Repeat("x", maxMessage-2)
	if err := n.Send(longest); err != nil {
		t.Fatal(err)
	}
	expect(t, r, os.Getpid(), map[string]string{"X": longest[2:]})
	if err := n.Send("READY=1\n\nnonsense\nREADY=2\n\x00"); err != nil {
		t.Fatal(err)
	}
	expect(t, r, os.Getpid(), map[string]string{"READY": "2"})
}

func TestClose(t *testing.T) {
	testleak.FDs(t)
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, _, err := r.Receive()
		got <- err
	}()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-got; err != net.ErrClosed {
		t.Errorf("Receive returns %v", err)
	}
	if err := r.Close(); err != net.ErrClosed {
		t.Errorf("the second Close returns %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		address, usec, pid string
		interval           time.Duration
		says               string
	}{
		{"", "", "", 0, ""},
		{"", "nonsense", "", 0, ""},
		{"@x", "", "", 0, ""},
		{"/run/x", "3000000", "", 1500 * time.Millisecond, ""},
		{"@x", "3000000", strconv.Itoa(os.Getpid()), 1500 * time.Millisecond, ""},
		{"@x", "3000000", "1", 0, ""},
		{"@x", "-5", "", 0, "WATCHDOG_USEC"},
		{"@x", "0", "", 0, "WATCHDOG_USEC"},
		{"@x", "9223372036854775807", "", 0, "WATCHDOG_USEC"},
		{"x", "", "", 0, "absolute path"},
		{"vsock:2:1", "", "", 0, "absolute path"},
		{"@", "", "", 0, "1 to 107"},
		{"/" + strings.Repeat("x", 107), "", "", 0, "1 to 107"},
		{"@" + strings.Repeat("x", 107), "", "", 0, ""},
		{"@" + strings.Repeat("x", 108), "", "", 0, "1 to 107"},
	} {
		t.Setenv("NOTIFY_SOCKET", c.address)
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		n, err := FromEnvironment()
		if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil && (n != nil) != (c.address != "") {
			t.Errorf("%+v: %v", c, n)
		}
		if got := n.WatchdogInterval(); err == nil && got != c.interval {
			t.Errorf("%+v: the interval is %v", c, got)
		}
	}
	var none *Notifier
	if err := errors.Join(none.Send(Ready), none.Store("x"), none.Remove("x")); err != nil {
		t.Errorf("without a supervisor: %v", err)
	}
}

// A message never makes it panic, and what it understands it understands again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"READY=1", "READY=1\nSTATUS=a=b\n\x00", "\n\n=x\nX", Reloading(), "A\x00B=1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		fields := parse(p)
		if fields == nil {
			return
		}
		var b strings.Builder
		for k, v := range fields {
			b.WriteString(k + "=" + v + "\n")
		}
		if again := parse([]byte(b.String())); !maps.Equal(fields, again) {
			t.Errorf("%q is %v and then %v", p, fields, again)
		}
	})
}

// Who sends more than there is room for waits.
func TestRoom(t *testing.T) {
	testleak.FDs(t)
	r := receiver(t)
	n := notifier(t, r.Address())
	const many = 500 // more than net.unix.max_dgram_qlen
	sent := make(chan error, 1)
	go func() {
		for i := range many {
			if err := n.Send(Status(strconv.Itoa(i))); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range many {
		expect(t, r, os.Getpid(), map[string]string{"STATUS": strconv.Itoa(i)})
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
