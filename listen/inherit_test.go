package listen_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

// The children are told LISTEN_PID by themselves, as systemd does after fork.
func init() {
	children["inherited"] = func() {
		os.Setenv("LISTEN_PID", os.Getenv("TEST_PID_PREFIX")+strconv.Itoa(os.Getpid()))
		fds, err := listen.Inherited()
		say(fds, err)
		for _, f := range fds {
			flags, err := unix.FcntlInt(uintptr(f.FD), unix.F_GETFD, 0)
			say(flags&unix.FD_CLOEXEC != 0, err)
		}
		for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
			if _, ok := os.LookupEnv(name); ok {
				say(name, "is left")
			}
		}
		fds, err = listen.Inherited()
		say("again", fds, err)
	}
	children["inherited by name"] = func() {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		fds, err := listen.InheritedNames(func(name string) bool { return strings.HasPrefix(name, "a") })
		say(fds, err)
		rest, err := listen.Inherited()
		say(rest, err)
	}
	children["fd network"] = func() {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		for _, address := range strings.Fields(os.Getenv("TEST_ADDRESSES")) {
			l, err := listen.Listen("fd", address)
			if err != nil {
				say(address, err)
				continue
			}
			say(address, l.Descriptor(), l.Addr().Network())
		}
		rest, err := listen.Inherited()
		say(rest, err)
	}
}

// threeSockets are two TCP listeners and, between them, a unix one.
func threeSockets(t *testing.T) []sock.FD {
	t.Helper()
	var fds []sock.FD
	for _, network := range []string{"tcp", "unix", "tcp"} {
		address := map[string]string{"tcp": "127.0.0.1:0", "unix": ""}[network]
		fds = append(fds, mustListen(t, listen.Config{}, network, address).Descriptor())
	}
	return fds
}

func TestInherited(t *testing.T) {
	testleak.FDs(t)
	for _, tt := range []struct {
		name string
		env  []string
		want string
	}{
		{"named", []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=web:admin"},
			"[{3 web} {4 admin}] <nil>\ntrue <nil>\ntrue <nil>\nagain [] <nil>\n"},
		{"without names", []string{"LISTEN_FDS=1"}, "[{3 unknown}] <nil>\ntrue <nil>\nagain [] <nil>\n"},
		{"none", []string{"LISTEN_FDS=0"}, "[] <nil>\nagain [] <nil>\n"},
		{"for another process", []string{"LISTEN_FDS=2", "TEST_PID_PREFIX=9"}, "[] <nil>\nagain [] <nil>\n"},
		{"not a number", []string{"LISTEN_FDS=x"}, "LISTEN_FDS is \"x\", not a number of descriptors\n"},
		{"names missing", []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=web"}, "LISTEN_FDNAMES has 1 names for 2 descriptors\n"},
		{"not open", []string{"LISTEN_FDS=200"}, ": fcntl: bad file descriptor\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runChild(t, "inherited", tt.env, threeSockets(t)...)
			if strings.Count(tt.want, "\n") == 1 {
				if !strings.Contains(got, tt.want) {
					t.Errorf("got:\n%swant an error with:\n%s", got, tt.want)
				}
			} else if got != tt.want {
				t.Errorf("got:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}

func TestFDNetwork(t *testing.T) {
	testleak.FDs(t)
	env := []string{"LISTEN_FDS=3", "LISTEN_FDNAMES=web:local:web"}
	for _, tt := range []struct{ addresses, want string }{
		{"3", "3 3 tcp\n[{4 local} {5 web}] <nil>\n"},
		{"fd:4 fd:4", "fd:4 4 unix\nfd:4 listen fd fd:4: fd 4 has been given out already\n[{3 web} {5 web}] <nil>\n"},
		{"fd:web web fd:web", "fd:web 3 tcp\nweb 5 tcp\n" +
			"fd:web listen fd fd:web: LISTEN_FDNAMES has no \"web\" left\n[{4 local}] <nil>\n"},
		{"none -1 fd: fd:fd:3", "none listen fd none: LISTEN_FDNAMES has no \"none\" left\n" +
			"-1 listen fd -1: LISTEN_FDNAMES has no \"-1\" left\n" +
			"fd: listen fd fd:: LISTEN_FDNAMES has no \"\" left\n" +
			"fd:fd:3 listen fd fd:fd:3: LISTEN_FDNAMES has no \"fd:3\" left\n" +
			"[{3 web} {4 local} {5 web}] <nil>\n"},
		{"0", "0 listen fd 0: getsockopt SO_ACCEPTCONN: socket operation on non-socket\n[{3 web} {4 local} {5 web}] <nil>\n"},
	} {
		t.Run(tt.addresses, func(t *testing.T) {
			got := runChild(t, "fd network", append(env, "TEST_ADDRESSES="+tt.addresses), threeSockets(t)...)
			if got != tt.want {
				t.Errorf("got:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}

// TestFDNetworkWithoutSystemd adopts a descriptor that the parent just left open.
func TestFDNetworkWithoutSystemd(t *testing.T) {
	testleak.FDs(t)
	got := runChild(t, "fd network", []string{"TEST_ADDRESSES=4 7"}, threeSockets(t)...)
	want := "4 4 unix\n7 listen fd 7: getsockopt SO_ACCEPTCONN: "
	if !strings.HasPrefix(got, want) {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestInheritedNames(t *testing.T) {
	testleak.FDs(t)
	got := runChild(t, "inherited by name", []string{"LISTEN_FDS=3", "LISTEN_FDNAMES=a:b:a2"}, threeSockets(t)...)
	if want := "[{3 a} {5 a2}] <nil>\n[{4 b}] <nil>\n"; got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
