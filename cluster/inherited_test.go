package cluster_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"onconn/cluster"
	"onconn/sock"
)

// A primary that is given the sockets of one before it goes on with them, and with
// what waits there. It closes those that it has no use for.
func TestInherited(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			cfg := cluster.Config{
				Workers: 3, Mode: mode, Env: on("tcp", "127.0.0.1:0"), Listen: []cluster.Address{{Network: "tcp", Address: "127.0.0.1:0"}},
			}
			r := start(t, "name", cfg)
			a := r.listening(3)
			kept := map[string]sock.FD{}
			for name, fd := range r.Sockets() {
				if strings.ContainsAny(name, ":\n") || len(name) > 255 {
					t.Errorf("%q is no FDNAME", name)
				}
				dup, err := fd.Dup()
				if err != nil {
					t.Fatal(err)
				}
				kept[name] = dup
			}
			if want := map[cluster.Mode]int{cluster.ReusePort: 3}[mode]; want > 0 && len(kept) != want {
				t.Fatalf("%d sockets", len(kept))
			}
			r.Shutdown(t.Context())
			var conns []net.Conn
			for range 20 { // nobody is there
				c := dial(t, a)
				defer c.Close()
				conns = append(conns, c)
			}
			surplus, err := kept[firstOf(kept)].Dup()
			if err != nil {
				t.Fatal(err)
			}
			kept["surplus"] = surplus
			cfg.Workers, cfg.Inherited = 2, kept
			second := start(t, "name", cfg)
			if got := second.listening(2); got.String() != a.String() {
				t.Errorf("it listens on %v, not %v", got, a)
			}
			for _, c := range conns {
				readID(t, c)
			}
		})
	}
}

func firstOf(m map[string]sock.FD) string {
	for name := range m {
		return name
	}
	return ""
}

// The file of an inherited unix socket goes with its last primary.
func TestInheritedUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	cfg := cluster.Config{Workers: 1, Env: on("unix", path), Listen: []cluster.Address{{Network: "unix", Address: path}}}
	r := start(t, "name", cfg)
	r.listening(1)
	cfg.Inherited = map[string]sock.FD{}
	for name, fd := range r.Sockets() {
		dup, err := fd.Dup()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Inherited[name] = dup
	}
	second := start(t, "name", cfg)
	second.listening(1)
	ask(t, &net.UnixAddr{Net: "unix", Name: path})
	second.Shutdown(t.Context())
	if left, _ := filepath.Glob(path); left != nil {
		t.Error("the file is left")
	}
}
