package socktest

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

func TestFail(t *testing.T) {
	testleak.FDs(t)
	ln, err := sock.Socket(sock.Unix, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := ln.Bind(sock.UnixAddr("")); err != nil { // the kernel picks a name
		t.Fatal(err)
	}
	if err := ln.Listen(8); err != nil {
		t.Fatal(err)
	}
	addr, err := ln.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	client, err := sock.Socket(sock.Unix, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Connect(addr); err != nil {
		t.Fatal(err)
	}

	s := Wrap(ln)
	s.Fail(unix.EMFILE, 2)
	s.Fail(io.EOF, -1)
	for i, want := range []error{unix.EMFILE, unix.EMFILE, io.EOF, io.EOF} {
		if _, _, err := s.Accept(); !errors.Is(err, want) {
			t.Errorf("accept %d: %v, want %v", i, err, want)
		}
	}
	s.Heal()
	conn, _, err := s.Accept()
	if err != nil {
		t.Fatalf("after Heal: %v", err)
	}
	conn.Close()

	s.Fail(unix.ECONNABORTED, 1)
	var call *os.SyscallError
	if _, _, err := s.Accept(); !errors.As(err, &call) || call.Syscall != "accept4" {
		t.Errorf("an injected errno is %#v", err)
	}
	if _, _, err := s.Accept(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("an empty queue: %v", err)
	}
	if got, want := s.Counts(), (Counts{Accepted: 1, Injected: 5, Failed: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if s.Descriptor() != ln {
		t.Errorf("descriptor %d, want %d", s.Descriptor(), ln)
	}
}
