package peer

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// node runs a script of testdata/peers.
func node(script string, args ...string) func(context.Context, string) (Command, error) {
	return func(context.Context, string) (Command, error) {
		program, err := tool("node", "nodejs")
		if err != nil {
			return nil, err
		}
		path, err := source(script)
		if err != nil {
			return nil, err
		}
		return command(append([]string{program, path}, args...)...), nil
	}
}

// nodeOverGo is Node's cluster with our own program as its workers.
func nodeOverGo(ctx context.Context, dir string) (Command, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return node("http.js", address, processes, "rr", program, "serve", "rr-nethttp", address, processes)(ctx, dir)
}

// goOverNode is our own cluster with Node's script as its workers.
func goOverNode(context.Context, string) (Command, error) {
	if _, err := tool("node", "nodejs"); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	script, err := source("http.js")
	if err != nil {
		return nil, err
	}
	return command("env", "SCRIPT="+script, program, "serve", "rr-node", address, processes), nil
}

// nginx listens with more after the address.
func nginx(more string) func(context.Context, string) (Command, error) {
	return func(_ context.Context, dir string) (Command, error) {
		program, err := tool("nginx", "nginx-light")
		if err != nil {
			return nil, err
		}
		return configured(dir, "nginx.conf", more, func(path string) []string {
			return []string{program, "-p", filepath.Dir(path), "-e", "stderr", "-c", path}
		})
	}
}

func haproxy(_ context.Context, dir string) (Command, error) {
	program, err := tool("haproxy", "haproxy")
	if err != nil {
		return nil, err
	}
	return configured(dir, "haproxy.cfg", "", func(path string) []string {
		return []string{program, "-q", "-f", path}
	})
}

// configured is a server that wants a file, which is made of a template in
// testdata/peers, in a directory of its own.
func configured(dir, template, more string, argv func(path string) []string) (Command, error) {
	path, err := source(template)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var files unix.Rlimit // as many as are allowed, as Go's programs have
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return nil, err
	}
	dir, err = os.MkdirTemp(dir, template+"-")
	if err != nil {
		return nil, err
	}
	// For nginx's workers, which are nobody if it is started by root.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return func(addr string, workers int) []string {
		filled := strings.NewReplacer("{dir}", dir, "{address}", addr, "{workers}", strconv.Itoa(workers),
			"{more}", more, "{files}", strconv.FormatUint(min(files.Max, 1<<16), 10), "{body}", strings.Repeat("onconnecti", 10)).Replace(string(text))
		path := filepath.Join(dir, strings.ReplaceAll(addr, ":", "-")+".conf")
		os.WriteFile(path, []byte(filled), 0o644) // the server says so if that failed
		return argv(path)
	}, nil
}
