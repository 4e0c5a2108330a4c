package connwrap_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/internal/testleak"
)

var streams = []string{"tcp4", "tcp6", "unix"}

func TestCloseWrite(t *testing.T) {
	for _, network := range append(streams, "unixpacket") {
		t.Run(network, func(t *testing.T) {
			testleak.FDs(t)
			server, client := pair(t, network, connwrap.Config{})
			must[int](t)(client.Write([]byte("request")))
			check(t, client.CloseWrite())
			if p, err := io.ReadAll(server); err != nil || string(p) != "request" {
				t.Fatalf("server read %q, %v", p, err)
			}
			// The other direction is still open, for as long as the server likes.
			must[int](t)(server.Write([]byte("answer")))
			check(t, server.Close())
			if p, err := io.ReadAll(client); err != nil || string(p) != "answer" {
				t.Errorf("client read %q, %v", p, err)
			}
			if _, err := client.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
				t.Errorf("write after CloseWrite: %v", err)
			}
		})
	}
}

func TestCloseRead(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			testleak.FDs(t)
			server, client := pair(t, network, connwrap.Config{})
			done := make(chan error, 1)
			go func() { _, err := server.Read(make([]byte, 1)); done <- err }()
			check(t, server.CloseRead())
			if err := <-done; err != io.EOF {
				t.Errorf("read: %v", err)
			}
			must[int](t)(server.Write([]byte("answer")))
			p := make([]byte, 16)
			if n, err := client.Read(p); err != nil || string(p[:n]) != "answer" {
				t.Errorf("client read %q, %v", p[:n], err)
			}
		})
	}
}

func TestNoHalfOpen(t *testing.T) {
	for _, network := range streams {
		for name, read := range map[string]func(*testing.T, *connwrap.Conn) (int64, error){
			"Read": func(_ *testing.T, c *connwrap.Conn) (int64, error) {
				p, err := io.ReadAll(struct{ io.Reader }{c})
				return int64(len(p)), err
			},
			"splice": func(t *testing.T, c *connwrap.Conn) (int64, error) {
				a, b := pair(t, "tcp4", connwrap.Config{})
				go io.Copy(io.Discard, b)
				n, err := io.Copy(a, c)
				a.Close()
				return n, err
			},
		} {
			t.Run(network+"/"+name, func(t *testing.T) {
				testleak.FDs(t)
				server, client := pair(t, network, connwrap.Config{NoHalfOpen: true})
				must[int](t)(client.Write([]byte("request")))
				check(t, client.CloseWrite())
				if n, err := read(t, server); err != nil || n != 7 {
					t.Fatalf("server read %d bytes, %v", n, err)
				}
				if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("client read %d, %v; want the end", n, err)
				}
				for what, err := range map[string]error{
					"Write":        second(server.Write([]byte("x"))),
					"WriteBuffers": second(server.WriteBuffers(&net.Buffers{[]byte("x")})),
					"ReadFrom":     second(server.ReadFrom(bytes.NewReader([]byte("x")))),
				} {
					if !errors.Is(err, unix.EPIPE) {
						t.Errorf("%s after the end: %v, want EPIPE", what, err)
					}
				}
			})
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A Write that waits when the end arrives is finished first: Node's end() is queued
// behind what was written too.
func TestNoHalfOpenFinishesWrites(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			testleak.FDs(t)
			server, client := pair(t, network, connwrap.Config{NoHalfOpen: true})
			answer := bytes.Repeat([]byte("answer"), 4<<20)
			wrote := make(chan error, 1)
			go func() { _, err := server.Write(answer); wrote <- err }()
			// It has begun once something arrives, and can't end before more is read.
			first := make([]byte, 1)
			must[int](t)(io.ReadFull(client, first))
			check(t, client.CloseWrite())
			if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Fatalf("server read %d, %v", n, err)
			}
			if _, err := server.Write([]byte("late")); !errors.Is(err, unix.EPIPE) {
				t.Errorf("a Write that begins after the end: %v, want EPIPE", err)
			}
			rest, err := io.ReadAll(client)
			if err != nil || !bytes.Equal(append(first, rest...), answer) {
				t.Errorf("client read %d of %d bytes, %v", 1+len(rest), len(answer), err)
			}
			check(t, <-wrote)
		})
	}
}

func TestHalfOpenByDefault(t *testing.T) {
	testleak.FDs(t)
	server, client := pair(t, "tcp4", connwrap.Config{})
	check(t, client.CloseWrite())
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	must[int](t)(server.Write([]byte("still open")))
	check(t, server.Close())
	if p, err := io.ReadAll(client); err != nil || string(p) != "still open" {
		t.Errorf("client read %q, %v", p, err)
	}
}
