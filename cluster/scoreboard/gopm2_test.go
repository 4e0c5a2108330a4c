package scoreboard

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"onconn/cluster"
	"onconn/cluster/httpserve"
)

func init() { roles["port"] = portRole }

// portRole is a worker that knows nothing of PM2.
func portRole() error {
	ln, err := cluster.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		return err
	}
	return httpserve.Serve(&http.Server{Handler: handler()}, ln)
}

// TestNodePM2Go has PM2 run a Go program in cluster mode, by the shim. What it
// scales and reloads loses nothing (S6 to S6c).
func TestNodePM2Go(t *testing.T) {
	needNode(t)
	dir := t.TempDir()
	npm := exec.Command("npm", "install", "--no-audit", "--no-fund", "--prefix", dir, "pm2@7.0.4")
	if out, err := npm.CombinedOutput(); err != nil {
		t.Skipf("needs pm2 from npm: %v\n%s", err, out)
	}
	shim, err := filepath.Abs("../nodeipc/js/shim.js")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, load := range loads {
		t.Run(name, func(t *testing.T) {
			port, home := freePort(t), t.TempDir()
			pm2 := func(args ...string) {
				cmd := exec.Command(filepath.Join(dir, "node_modules/.bin/pm2"), args...)
				cmd.Env = append(os.Environ(), "PM2_HOME="+home, "PORT="+port, envRole+"=port", fastExit)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("pm2 %v: %v\n%s", args, err, out)
				}
			}
			defer pm2("kill")
			pm2("start", shim, "--name", "app", "-i", "2", "--kill-timeout", "10000", "--", self)
			addr := "127.0.0.1:" + port
			eventually(t, "it listens", func() bool {
				c, err := net.Dial("tcp", addr)
				if err == nil {
					c.Close()
				}
				return err == nil
			})
			load.Timeout = nodeTimeout
			run := ask(addr, load)
			busy(t, run, 64)
			pm2("scale", "app", "3")
			for range 2 {
				busy(t, run, 64)
				pm2("reload", "app")
			}
			busy(t, run, 64)
			if got := run.Stop(); got.Lost() > 0 {
				t.Error(got)
			} else {
				t.Log(got)
			}
		})
	}
}
