package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/internal/cli"
	"onconn/internal/testleak"
)

// TestOrdinaryUser: it all works without a capability, but for the packets.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the other tests run as an ordinary user already")
	}
	python := tool(t, "python3")
	if real, err := exec.Command(python, "-c", "import os, sys; print(os.path.realpath(sys.executable))").Output(); err == nil {
		python = strings.TrimSpace(string(real))
	}
	dir := t.TempDir()
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	os.Chmod(dir, 0o777)
	port := freePort(t)
	file := filepath.Join(dir, "recording.json")
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := (&exec.Cmd{Path: python, Args: []string{python, "-c", ""}, SysProcAttr: nobody}).Run(); err != nil {
		python = "/usr/bin/python3"
		if err := (&exec.Cmd{Path: python, Args: []string{python, "-c", ""}, SysProcAttr: nobody}).Run(); err != nil {
			t.Skipf("nobody may run no python: %v", err)
		}
	}
	cmd := command(t, "record", "-o", file, "--ready", "90s", "--requests", "2", "--url", "http://127.0.0.1:"+port+"/", "--",
		python, "-m", "http.server", "--bind", "127.0.0.1", port)
	cmd.Dir = dir
	cmd.SysProcAttr = nobody
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := read(t, file)
	if len(r.Packets) > 0 || !slices.ContainsFunc(r.Unseen, func(s string) bool { return strings.Contains(s, "CAP_NET_RAW") }) {
		t.Errorf("%d packets, unseen %q", len(r.Packets), r.Unseen)
	}
	for _, q := range r.Requests {
		if q.Err != "" || !slices.ContainsFunc(r.Sockets, func(s recording.Socket) bool { return s.Peer == q.From.String() && s.Cookie != 0 }) {
			t.Errorf("%+v was not seen", q)
		}
	}
	if len(r.Depths) == 0 {
		t.Error("no accept queue was seen")
	}
}

// TestKilled: when syscallflow is killed, its program goes too.
func TestKilled(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	cmd := command(t, "record", "-o", os.DevNull, "--", "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child := 0
	until(t, "sleep runs", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		for _, word := range append(strings.Fields(string(b)), childrenOfThreads(cmd.Process.Pid)...) {
			comm, _ := os.ReadFile("/proc/" + word + "/comm")
			if strings.TrimSpace(string(comm)) == "sleep" {
				fmt.Sscan(word, &child)
			}
		}
		return child != 0
	})
	cmd.Process.Kill()
	cmd.Wait()
	until(t, "sleep has gone", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(b), ") Z ")
	})
}

func childrenOfThreads(pid int) (all []string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		all = append(all, strings.Fields(string(b))...)
	}
	return all
}

// until polls for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in 30 s it never held that ", what)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{nil, cli.WrongUsage, "no program"},
		{[]string{"--no-such-flag"}, cli.WrongUsage, "unknown flag"},
		{[]string{"--requests", "3", "--", "true"}, cli.WrongUsage, "--url"},
		{[]string{"--requests", "3", "--url", "ftp://x/", "--", "true"}, cli.WrongUsage, "http://"},
		{[]string{"-p", "1", "--", "true"}, cli.WrongUsage, "either"},
		{[]string{"record", "--", "true"}, cli.WrongUsage, "-o"},
		{[]string{"sched", "extra"}, cli.WrongUsage, "flags only"},
		{[]string{"--", "/no/such/program"}, cli.Failure, "no such file"},
		// Before it runs, not afterwards.
		{[]string{"--json", "--mermaid", "--", "/no/such/program"}, cli.WrongUsage, "choose one"},
		{[]string{"--width", "10", "--", "/no/such/program"}, cli.WrongUsage, "40 columns"},
		{[]string{"--html", "/no/such/page", "--", "/no/such/program"}, cli.Failure, "/no/such/page"},
		{[]string{"record", "-o", "/no/such/recording", "--", "/no/such/program"}, cli.Failure, "/no/such/recording"},
		{[]string{"lesson", "1", "--html", "/no/such/page"}, cli.Failure, "/no/such/page"},
		{[]string{"--requests", "1", "--url", "http://127.0.0.1:1/", "--", "true"}, cli.Failure, "ended before it listened on port 1"},
		{[]string{"--requests", "1", "--ready", "100ms", "--url", "http://127.0.0.1:1/", "--", "sleep", "60"}, cli.Failure, "doesn't listen on port 1"},
		{[]string{"--", "sh", "-c", "exit 3"}, 0, "the program ended: exit status 3"},
		{[]string{"--help"}, 0, ""},
	} {
		cmd := command(t, test.args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != test.code || !strings.Contains(stderr.String(), test.says) {
			t.Errorf("%q: %d, %v, %s", test.args, code, err, stderr.String())
		}
		if slices.Contains(test.args, "/no/such/program") && stdout.Len() > 0 {
			t.Errorf("%q: nothing ran, and yet it draws\n%s", test.args, stdout.String())
		}
	}
}
