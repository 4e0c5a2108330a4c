package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

// patient says how often it was interrupted, and ends by itself.
const patient = `trap 'echo interrupted' INT; echo ready; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done; echo bye`

// TestInterrupt: the program gets one SIGINT, whoever of the two Ctrl-C is meant for,
// and time to end.
func TestInterrupt(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	terminal, name := openTerminal(t)
	for _, test := range []struct {
		name      string
		interrupt func(pid int)
	}{
		{"Ctrl-C", func(int) { terminal.Write([]byte{3}) }},
		{"kill", func(pid int) { unix.Kill(pid, unix.SIGINT) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := command(t, "record", "--packets=false", "-o", os.DevNull, "--grace", "30s", "--", "sh", "-c", patient)
			if test.name == "Ctrl-C" {
				tty, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer tty.Close()
				cmd.Stdin = tty
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			} else {
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			}
			out, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			for !strings.Contains(said.String(), "ready\n") {
				if _, err := io.CopyN(&said, out, 1); err != nil {
					t.Fatalf("%v after %q", err, said.String())
				}
			}
			test.interrupt(cmd.Process.Pid)
			io.Copy(&said, out)
			if err := cmd.Wait(); err != nil || said.String() != "ready\ninterrupted\nbye\n" {
				t.Errorf("%v, %q", err, said.String())
			}
		})
	}
}

// openTerminal makes a pseudo-terminal, pty(7), and names its other end.
func openTerminal(t *testing.T) (*os.File, string) {
	t.Helper()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return f, fmt.Sprintf("/dev/pts/%d", n)
}
