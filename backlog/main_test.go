package backlog

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/sock"
)

// In a child, the test binary holds the descriptors it was given until its
// standard input ends, or prints who holds an address.
func TestMain(m *testing.M) {
	role, arg, _ := strings.Cut(os.Getenv("BACKLOG_TEST_CHILD"), " ")
	switch role {
	case "hold":
		fmt.Println("ready")
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	case "read":
		readInChild(arg)
		os.Exit(0)
	case "owners":
		socket, _ := strconv.ParseUint(arg, 10, 32)
		fmt.Println(len(new(Owners).Find([]uint32{uint32(socket)})), "owners")
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	case "namespaces":
		all, hidden, err := FindNamespaces()
		fmt.Printf("own %v, hidden %v, %v\n", len(all) > 0 && all[0].Own, hidden > 0, err)
		os.Exit(0)
	case "holders":
		fmt.Println(Holders(sock.IPAddr(netip.MustParseAddrPort(arg))))
		os.Exit(0)
	case "setlimit":
		setLimitInChild(arg)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child runs the test binary in a role, with one descriptor as its fd 3, until
// the test ends, and returns the first line that it wrote.
func child(t *testing.T, role string, fd sock.FD, cred *syscall.Credential) (pid int, firstLine string) {
	t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	files := []uintptr{inR.Fd(), outW.Fd(), 2}
	if fd != sock.None {
		files = append(files, uintptr(fd))
	}
	pid, err = syscall.ForkExec("/proc/self/exe", []string{"child"}, &syscall.ProcAttr{
		Env:   append(os.Environ(), "BACKLOG_TEST_CHILD="+role, "GORACE=atexit_sleep_ms=0"),
		Files: files,
		Sys:   &syscall.SysProcAttr{Credential: cred},
	})
	inR.Close()
	outW.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		inW.Close()
		outR.Close()
		var status syscall.WaitStatus
		syscall.Wait4(pid, &status, 0, nil)
	})
	line := make([]byte, 4096)
	n, err := outR.Read(line)
	if err != nil {
		t.Fatalf("child said nothing: %v", err)
	}
	return pid, strings.TrimSpace(string(line[:n]))
}

// listening makes a listening socket that the test's end closes.
func listening(t testing.TB, a sock.Addr, typ sock.Type, p sock.Protocol, backlog int, before ...func(sock.FD) error) (sock.FD, sock.Addr) {
	t.Helper()
	fd := bound(t, a, typ, p, before...)
	if err := fd.Listen(backlog); err != nil {
		t.Fatal(err)
	}
	name, err := fd.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	return fd, name
}

func bound(t testing.TB, a sock.Addr, typ sock.Type, p sock.Protocol, before ...func(sock.FD) error) sock.FD {
	t.Helper()
	fd, err := sock.Socket(a.Family(), typ, p)
	if p == sock.MPTCP && (errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EPROTONOSUPPORT)) {
		t.Skip("needs MPTCP: ", err)
	}
	if errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skipf("needs %v: %v", a.Family(), err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fd.Close() })
	for _, f := range before {
		if err := f(fd); err != nil {
			t.Fatal(err)
		}
	}
	err = fd.Bind(a)
	if a.Family() == sock.Inet6 && errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Skip("needs IPv6: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func inet(s string) sock.Addr { return sock.IPAddr(netip.MustParseAddrPort(s)) }
