package top

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A pty is a terminal made by the kernel, and all that was written to it.
type pty struct {
	t             *testing.T
	master, slave *os.File
	done          chan bool // nothing is read any more

	mu  sync.Mutex
	out strings.Builder
}

func newPTY(t *testing.T, columns, rows uint16) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	p := &pty{t: t, master: master, done: make(chan bool)}
	var n int
	p.control(func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		return err
	})
	if p.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	p.resize(columns, rows)
	go func() {
		defer close(p.done)
		b := make([]byte, 64<<10)
		for {
			n, err := master.Read(b)
			p.mu.Lock()
			p.out.Write(b[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		p.slave.Close()
		master.Close()
		<-p.done
	})
	return p
}

// start runs the test binary in a role, with the terminal as its own, and
// returns how it ends.
func (p *pty) start(role string, env ...string) (process *os.Process, end func() error) {
	p.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "TOP_TEST_CHILD="+role, "TERM=xterm-256color", "GORACE=atexit_sleep_ms=0")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.slave, p.slave, p.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	hung := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	end = sync.OnceValue(func() error {
		defer hung.Stop()
		return cmd.Wait()
	})
	p.t.Cleanup(func() {
		cmd.Process.Kill()
		end()
	})
	return cmd.Process, end
}

func (p *pty) control(f func(fd int) error) {
	p.t.Helper()
	conn, err := p.master.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil || failed != nil {
		p.t.Fatal(err, failed)
	}
}

func (p *pty) resize(columns, rows uint16) {
	p.control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows})
	})
}

func (p *pty) termios() (t unix.Termios) {
	p.control(func(fd int) error {
		got, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			t = *got
		}
		return err
	})
	return t
}

func (p *pty) written() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// press types, and waits until a text has been written since.
func (p *pty) press(keys, want string) {
	p.t.Helper()
	before := len(p.written())
	p.master.WriteString(keys)
	p.wait(before, want)
}

func (p *pty) wait(from int, want string) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if strings.Contains(p.written()[from:], want) {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%q isn't written:\n%q", want, p.written()[from:])
		}
	}
}
