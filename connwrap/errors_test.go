package connwrap_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/connwrap"
	"onconn/internal/testleak"
)

// A common is what *net.TCPConn, *net.UnixConn and ours have in common.
type common interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

type tcp interface {
	common
	io.ReaderFrom
	io.WriterTo
	SetNoDelay(bool) error
	SetLinger(int) error
	SetKeepAlive(bool) error
	SetKeepAlivePeriod(time.Duration) error
	SetKeepAliveConfig(net.KeepAliveConfig) error
}

var (
	_ common = (*net.TCPConn)(nil)
	_ common = (*net.UnixConn)(nil)
	_ tcp    = (*net.TCPConn)(nil)
	_ tcp    = (*connwrap.Conn)(nil)
)

var (
	past = time.Unix(1, 0)
	buf  = make([]byte, 16)
)

func raw(c common) syscall.RawConn {
	r, err := c.SyscallConn()
	if err != nil {
		panic(err)
	}
	return r
}

func writeBuffers(c common) error {
	v := net.Buffers{[]byte("x"), []byte("y")}
	if ours, ok := c.(*connwrap.Conn); ok {
		return second(ours.WriteBuffers(&v))
	}
	return second(v.WriteTo(c))
}

// reset makes the peer reset the connection, and has read the reset.
func reset(c common, peer net.Conn) error {
	c.Write([]byte("unread"))
	peer.SetReadDeadline(time.Now().Add(10 * time.Second))
	peer.Read(buf[:1])
	peer.Close()
	return second(c.Read(buf))
}

// failures fails in all ways. Those after "closed:" are on a closed connection.
var failures = map[string]func(c common, peer net.Conn) error{
	"closed: Read":             func(c common, _ net.Conn) error { return second(c.Read(buf)) },
	"closed: Read nothing":     func(c common, _ net.Conn) error { return second(c.Read(nil)) },
	"closed: Write":            func(c common, _ net.Conn) error { return second(c.Write(buf)) },
	"closed: Close":            func(c common, _ net.Conn) error { return c.Close() },
	"closed: CloseRead":        func(c common, _ net.Conn) error { return c.CloseRead() },
	"closed: CloseWrite":       func(c common, _ net.Conn) error { return c.CloseWrite() },
	"closed: SetDeadline":      func(c common, _ net.Conn) error { return c.SetDeadline(past) },
	"closed: SetReadDeadline":  func(c common, _ net.Conn) error { return c.SetReadDeadline(past) },
	"closed: SetWriteDeadline": func(c common, _ net.Conn) error { return c.SetWriteDeadline(time.Time{}) },
	"closed: SetReadBuffer":    func(c common, _ net.Conn) error { return c.SetReadBuffer(4096) },
	"closed: SetWriteBuffer":   func(c common, _ net.Conn) error { return c.SetWriteBuffer(4096) },
	"closed: WriteBuffers":     func(c common, _ net.Conn) error { return writeBuffers(c) },
	"closed: raw Control":      func(c common, _ net.Conn) error { return raw(c).Control(func(uintptr) {}) },
	"closed: raw Read":         func(c common, _ net.Conn) error { return raw(c).Read(func(uintptr) bool { return true }) },
	"closed: raw Write":        func(c common, _ net.Conn) error { return raw(c).Write(func(uintptr) bool { return true }) },
	"closed: tcp SetNoDelay":   func(c common, _ net.Conn) error { return c.(tcp).SetNoDelay(true) },
	"closed: tcp SetLinger":    func(c common, _ net.Conn) error { return c.(tcp).SetLinger(0) },
	"closed: tcp SetKeepAlive": func(c common, _ net.Conn) error { return c.(tcp).SetKeepAlive(true) },
	"closed: tcp SetKeepAlivePeriod": func(c common, _ net.Conn) error {
		return c.(tcp).SetKeepAlivePeriod(time.Second)
	},
	"closed: tcp SetKeepAliveConfig": func(c common, _ net.Conn) error {
		return c.(tcp).SetKeepAliveConfig(net.KeepAliveConfig{Enable: true})
	},
	"closed: tcp ReadFrom": func(c common, _ net.Conn) error {
		return second(c.(tcp).ReadFrom(strings.NewReader("x")))
	},
	"closed: tcp WriteTo": func(c common, _ net.Conn) error {
		return second(c.(tcp).WriteTo(struct{ io.Writer }{io.Discard}))
	},

	"Read at the end": func(c common, peer net.Conn) error { peer.Close(); return second(c.Read(buf)) },
	"Read after CloseRead": func(c common, peer net.Conn) error {
		return errors.Join(c.CloseRead(), second(c.Read(buf)))
	},
	"Read of a reset": reset,
	"Write after a reset": func(c common, peer net.Conn) error {
		reset(c, peer)
		return second(c.Write(buf))
	},
	"WriteBuffers after a reset": func(c common, peer net.Conn) error {
		reset(c, peer)
		return writeBuffers(c)
	},
	"CloseWrite after a reset": func(c common, peer net.Conn) error {
		reset(c, peer)
		return c.CloseWrite()
	},
	"Write after CloseWrite": func(c common, _ net.Conn) error {
		c.CloseWrite()
		return second(c.Write(buf))
	},
	"Read past the deadline": func(c common, _ net.Conn) error {
		c.SetReadDeadline(past)
		return second(c.Read(buf))
	},
	"Read until the deadline": func(c common, _ net.Conn) error {
		c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		return second(c.Read(buf))
	},
	"Write past the deadline": func(c common, _ net.Conn) error {
		c.SetWriteDeadline(past)
		return second(c.Write(buf))
	},
	"Write until the deadline": func(c common, _ net.Conn) error {
		c.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
		return second(c.Write(make([]byte, 64<<20)))
	},
	"WriteBuffers past the deadline": func(c common, _ net.Conn) error {
		c.SetWriteDeadline(past)
		return writeBuffers(c)
	},
	"raw Read past the deadline": func(c common, _ net.Conn) error {
		c.SetReadDeadline(past)
		return raw(c).Read(func(uintptr) bool { return false })
	},
	"Read while it is closed": func(c common, peer net.Conn) error {
		return interrupted(c, func() error { return second(c.Read(buf)) })
	},
	"raw Read while it is closed": func(c common, peer net.Conn) error {
		return interrupted(c, func() error { return raw(c).Read(func(uintptr) bool { return false }) })
	},
	"raw Write while it is closed": func(c common, peer net.Conn) error {
		return interrupted(c, func() error { return raw(c).Write(func(uintptr) bool { return false }) })
	},
	"tcp keep-alive too long": func(c common, _ net.Conn) error {
		return c.(tcp).SetKeepAlivePeriod(100000 * time.Second)
	},
	"tcp WriteTo past the deadline": func(c common, _ net.Conn) error {
		c.SetReadDeadline(past)
		return second(c.(tcp).WriteTo(struct{ io.Writer }{io.Discard}))
	},
	"tcp ReadFrom with another's error": func(c common, _ net.Conn) error {
		return second(c.(tcp).ReadFrom(errReader{}))
	},
}

// interrupted closes c while f waits, or just before.
func interrupted(c net.Conn, f func() error) error {
	c.SetDeadline(time.Time{}) // it is in use, and knows its addresses
	done := make(chan error, 1)
	go func() { done <- f() }()
	c.Close()
	return <-done
}

func TestErrorsAsNet(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, fail := range failures {
			if network == "unix" && strings.Contains(name, "tcp") {
				continue
			}
			t.Run(network+"/"+name, func(t *testing.T) {
				testleak.FDs(t)
				want := describe(t, network, false, name, fail)
				for _, cfg := range []connwrap.Config{{}, {PauseOnConnect: true}, {Late: true}} {
					if got := describe(t, network, true, name, fail, cfg); got != want {
						t.Errorf("%+v\n got %s\nwant %s", cfg, got, want)
					}
				}
			})
		}
	}
}

// describe makes a connection of ours or package net's and says how it fails.
func describe(t *testing.T, network string, ours bool, name string, fail func(common, net.Conn) error, cfg ...connwrap.Config) string {
	t.Helper()
	var c common
	var peer net.Conn
	if ours {
		c, peer = netPair(t, network, cfg[0])
	} else {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = t.TempDir() + "/s"
		}
		l := must[net.Listener](t)(net.Listen(network, address))
		peer = must[net.Conn](t)(net.Dial(network, l.Addr().String()))
		c = must[net.Conn](t)(l.Accept()).(common)
		l.Close()
	}
	defer peer.Close()
	defer c.Close()
	if strings.HasPrefix(name, "closed: ") {
		must[int](t)(c.Write([]byte("x"))) // it was in use
		check(t, c.Close())
	}
	return shape(fail(c, peer), c)
}

// shape spells an error out, type by type, with its addresses' roles.
func shape(err error, c net.Conn) string {
	role := func(a net.Addr) string {
		switch {
		case a == nil:
			return "nil"
		case a.String() == c.LocalAddr().String():
			return "local"
		case a.String() == c.RemoteAddr().String():
			return "remote"
		}
		return a.String()
	}
	switch e := err.(type) {
	case nil:
		return "nil"
	case *net.OpError:
		return fmt.Sprintf("OpError{%s %s %s->%s timeout=%v temporary=%v}: %s",
			e.Op, e.Net, role(e.Source), role(e.Addr), e.Timeout(), e.Temporary(), shape(e.Err, c))
	case *os.SyscallError:
		call, _, _ := strings.Cut(e.Syscall, " ") // ours names the option too
		return fmt.Sprintf("SyscallError{%s}: %s", call, shape(e.Err, c))
	case interface{ Unwrap() []error }:
		return shape(e.Unwrap()[0], c)
	}
	for _, known := range []error{io.EOF, net.ErrClosed, os.ErrDeadlineExceeded, errRead} {
		if err == known {
			return fmt.Sprintf("%T %v", err, err)
		}
	}
	if errno, ok := err.(syscall.Errno); ok {
		return errno.Error()
	}
	return fmt.Sprintf("unknown %T %v", err, err)
}
