package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/testleak"
	"onconn/reuseport"
	"onconn/reuseport/steer"
)

// upgradable is a primary of its own that prints each status it is asked for. It
// does what it reads: "upgrade", "reload", "status".
func upgradable(mode cluster.Mode) {
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	at := os.Getenv("CLUSTER_TEST_AT")
	cfg := cluster.Config{
		Workers: 2, Mode: mode, DrainTimeout: 5 * time.Second, ReadyTimeout: 5 * time.Second, MaxQueued: 5,
		Exec: os.Getenv("CLUSTER_TEST_WORKER"), Listen: []cluster.Address{{Network: "tcp", Address: at}},
		Env:    append(on("tcp", at), envRole+"=name", envPrimary+"=", fastExit),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if server := os.Getenv("CLUSTER_TEST_PYTHON"); server != "" {
		cfg.Exec, cfg.Args = "python3", []string{server}
	}
	if steer.Supported() == nil {
		cfg.Steering = func() reuseport.Steering {
			p, err := steer.New(steer.Config{Policy: steer.RoundRobin})
			if err != nil {
				panic(err)
			}
			return p
		}
	}
	p, err := cluster.New(cfg)
	if err == nil {
		err = p.Start(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	say := json.NewEncoder(os.Stdout)
	say.Encode(p.Status())
	in := bufio.NewReader(lineReader{})
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		err = nil
		switch strings.TrimSpace(line) {
		case "upgrade":
			err = p.Upgrade(context.Background())
		case "reload":
			err = p.Reload(context.Background())
		}
		if err != nil {
			fmt.Println(err)
		} else {
			say.Encode(p.Status())
		}
	}
	p.Shutdown(context.Background())
	os.Exit(0)
}

// lineReader reads one byte at a time, so that nothing is lost in a buffer when
// the process becomes another program.
type lineReader struct{}

func (lineReader) Read(p []byte) (int, error) { return os.Stdin.Read(p[:1]) }

// A program of its own that is a primary.
type program struct {
	t    *testing.T
	path string // of a copy of the test binary
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	addr string
}

func startProgram(t *testing.T, mode cluster.Mode) *program {
	t.Helper()
	testleak.FDs(t)
	p := &program{t: t, path: filepath.Join(t.TempDir(), "primary"), addr: freeAddr(t)}
	p.install(os.Args[0])
	p.cmd = exec.Command(p.path)
	p.cmd.Env = append(os.Environ(), envPrimary+"="+mode.String()+"+", fastExit,
		"CLUSTER_TEST_AT="+p.addr, "CLUSTER_TEST_WORKER="+os.Args[0])
	p.cmd.Stderr = testWriter{t}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(time.Minute, func() { p.cmd.Process.Kill() })
	t.Cleanup(func() {
		hung.Stop()
		p.in.Close()
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("the primary ended with %v", err)
		}
	})
	p.status()
	return p
}

// install puts a file in the place of the program.
func (p *program) install(from string) {
	p.t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(p.path+".new", b, 0o700)
	}
	if err == nil {
		err = os.Rename(p.path+".new", p.path)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// do has the program do something, and returns the line that it says.
func (p *program) do(what string) string {
	p.t.Helper()
	fmt.Fprintln(p.in, what)
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	return line
}

// ask is do for what is answered by a status.
func (p *program) ask(what string) cluster.Status {
	p.t.Helper()
	fmt.Fprintln(p.in, what)
	return p.status()
}

// httpOnce asks a server that answers requests only.
func httpOnce(addr string) error {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + addr)
	if err != nil {
		return err
	}
	return r.Body.Close()
}

func (p *program) status() (s cluster.Status) {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &s)
	}
	if err != nil {
		p.t.Fatalf("%v: %s", err, line)
	}
	return s
}

// A primary becomes a new program under load: the same process, the same workers,
// and no client notices. Afterwards it is as able as before.
func TestUpgrade(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			p := startProgram(t, mode)
			r := &running{t: t}
			eventually(t, "it serves", func() bool { return askOnce(p.addr) == nil })
			fmt.Fprintln(p.in, "status")
			before := p.status()
			stop := r.clients(4, p.addr)
			for i := range 3 {
				p.install(os.Args[0])
				fmt.Fprintln(p.in, "upgrade")
				now := p.status()
				if now.Upgrades != i+1 || now.PID != before.PID || now.PID != p.cmd.Process.Pid {
					t.Errorf("upgrade %d, process %d: %+v", i+1, p.cmd.Process.Pid, now)
				}
				if len(now.Workers) != 2 || now.Workers[0].PID != before.Workers[0].PID || now.Workers[1].PID != before.Workers[1].PID {
					t.Errorf("the workers are %+v, before %+v", now.Workers, before.Workers)
				}
				if l := now.Listeners[0]; l.Steering != before.Listeners[0].Steering || len(l.Away) > 0 {
					t.Errorf("the listener is %+v, before %+v", l, before.Listeners[0])
				}
				if !now.Started.Equal(before.Started) || now.Workers[0].Accepted < before.Workers[0].Accepted {
					t.Errorf("it has forgotten: %+v, before %+v", now, before)
				}
			}
			t.Logf("%d answers", stop())
			syscall.Kill(before.Workers[0].PID, syscall.SIGKILL) // what it had in hand would be lost
			eventually(t, "a killed worker is replaced", func() bool {
				fmt.Fprintln(p.in, "status")
				s := p.status()
				return len(s.Workers) == 2 && s.Workers[0].PID != before.Workers[0].PID && askOnce(p.addr) == nil
			})
			stop = r.clients(4, p.addr)
			fmt.Fprintln(p.in, "reload")
			p.status()
			stop()
			if c, err := net.Dial("tcp", p.addr); err == nil {
				c.Close()
			} else {
				t.Error(err)
			}
		})
	}
}

// A program that can't take over never does, and the old one goes on.
func TestBrokenUpgrade(t *testing.T) {
	for name, broken := range map[string]struct{ file, says string }{
		"no program":    {"nonsense\x00", "exec format error"},
		"ends at once":  {"#!/bin/sh\nexit 7\n", "exit status 7"},
		"never starts":  {"#!/bin/sh\nexec sleep 100\n", "has not come to Primary.Start"},
		"says nonsense": {"#!/bin/sh\nprintf nonsense >&4\n", "nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProgram(t, cluster.RoundRobin)
			eventually(t, "it serves", func() bool { return askOnce(p.addr) == nil })
			file := filepath.Join(t.TempDir(), "broken")
			if err := os.WriteFile(file, []byte(broken.file), 0o700); err != nil {
				t.Fatal(err)
			}
			p.install(file)
			if got := p.do("upgrade"); !strings.Contains(got, broken.says) || !strings.Contains(got, "nothing has changed") {
				t.Errorf("it says %s", got)
			}
			if err := askOnce(p.addr); err != nil {
				t.Error(err)
			}
			p.install(os.Args[0])
			fmt.Fprintln(p.in, "upgrade")
			if s := p.status(); s.Upgrades != 1 {
				t.Errorf("a good program: %+v", s)
			}
		})
	}
}
