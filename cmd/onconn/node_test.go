package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A command that speaks as Node is told by its name, or by its first line.
func TestIsNode(t *testing.T) {
	script := func(first string) string {
		path := filepath.Join(t.TempDir(), "server.js")
		if err := os.WriteFile(path, []byte(first+"\nserve()\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for command, want := range map[string]bool{
		"node":                                 true,
		"/opt/node/bin/nodejs":                 true,
		script("#!/usr/bin/env node"):          true,
		script("#!/usr/bin/env -S node --a"):   true,
		script("#! /usr/local/bin/node --one"): true,
		script("#!/bin/sh"):                    false,
		script("#!/usr/bin/env"):               false,
		script("#!/usr/bin/env -S"):            false,
		script("// no first line"):             false,
		"/no/such/program":                     false,
	} {
		if got := isNode([]string{command, "x"}); got != want {
			t.Errorf("%s: %v", command, got)
		}
	}
	if isNode(nil) {
		t.Error("nothing is Node")
	}
}

// A script for Node serves as it is, with the listener of --listen too.
func TestNodeServer(t *testing.T) {
	need(t, "node")
	script := filepath.Join(t.TempDir(), "server.js")
	const text = `#!/usr/bin/env node
const cluster = require('cluster');
require('http').createServer((q, r) => r.end('node ' + cluster.worker.id)).listen(+process.argv[2], '127.0.0.1');`
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"rr", "shared"} {
		s := serve(t, "-n", "2", "-m", mode, "-l", "127.0.0.1:0", "--", script, "0")
		addr := s.line(`listening on (\S+)`)[1]
		got := map[string]int{}
		for end := time.Now().Add(20 * time.Second); got["node 1"] == 0 || got["node 2"] == 0; {
			for answer, n := range answers(t, addr, 10) {
				got[answer] += n
			}
			if time.Now().After(end) {
				t.Fatalf("%s: the answers are %v, never from both", mode, got)
			}
		}
		if len(got) != 2 {
			t.Error(got)
		}
		if code := s.stop(syscall.SIGINT); code != 0 {
			t.Errorf("%s: exit code %d", mode, code)
		}
	}
	for _, args := range []string{"-m reuseport", "--max-conns 3", "--notify"} {
		if err := serveArgs(args); err == nil || !strings.Contains(err.Error(), "Node workers") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// serveArgs is what is wrong with the flags for a script.
func serveArgs(args string) error {
	cmd := newRun("run")
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append(strings.Fields(args), "--node", "--", "true"))
	return cmd.Execute()
}
