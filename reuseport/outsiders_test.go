package reuseport

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

func TestOutsiders(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	for _, c := range []struct {
		group, other string
		v6only       bool
		want         Relation
		none         bool
	}{
		{group: "127.0.0.1:80", other: "127.0.0.1:80", want: Shares},
		{group: "0.0.0.0:80", other: "127.0.0.1:80", want: Hides},
		{group: "127.0.0.1:80", other: "0.0.0.0:80", want: Behind},
		{group: "[::]:80", other: "0.0.0.0:80", want: Hides},
		{group: "0.0.0.0:80", other: "[::]:80", want: Behind},
		{group: "[::]:80", other: "[::1]:80", want: Hides},
		{group: "127.0.0.1:80", other: "127.0.0.2:80", none: true},
		{group: "127.0.0.1:80", other: "127.0.0.1:81", none: true},
		{group: "0.0.0.0:80", other: "[::]:80", v6only: true, none: true},
	} {
		t.Run(c.group+" and "+c.other, func(t *testing.T) {
			ns.Do(func() {
				cfg := Config{Listener: listen.Config{ReusePort: true}}
				g, err := cfg.Listen(context.Background(), "tcp", c.group, 2)
				if err != nil {
					t.Fatal(err)
				}
				defer g.Close()
				options := []func(sock.FD) error{shareable}
				if strings.HasPrefix(c.other, "[") {
					options = append(options, func(fd sock.FD) error { return sock.V6Only.Set(fd, c.v6only) })
				}
				other := socketOf(t, c.other, options...)
				defer other.Close()
				all, err := g.Outsiders()
				if err != nil {
					t.Fatal(err)
				}
				if c.none {
					if len(all) != 0 {
						t.Errorf("outsiders: %v", all)
					}
					return
				}
				if len(all) != 1 || all[0].Relation != c.want || len(all[0].Owners) == 0 || all[0].Owners[0].PID != os.Getpid() {
					t.Fatalf("outsiders: %+v", all)
				}
				if s := all[0].String(); !strings.Contains(s, "this process") {
					t.Error(s)
				}
				// The kernel agrees.
				address := "127.0.0.1:80"
				if c.other == "[::1]:80" {
					address = c.other
				}
				for range 40 {
					conn, err := net.Dial("tcp", address)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
				}
				theirs := accepts(t, other)
				switch {
				case c.want == Hides && theirs != 40, c.want == Behind && theirs != 0, c.want == Shares && (theirs == 0 || theirs == 40):
					t.Errorf("%v, but the other got %d of 40", c.want, theirs)
				}
			})
		})
	}
}

func accepts(t *testing.T, fd sock.FD) (n int) {
	t.Helper()
	for {
		c, _, err := fd.Accept()
		if err != nil {
			return n
		}
		c.Close()
		n++
	}
}
