package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onconn/internal/cli"
	"onconn/internal/testleak"
)

// run executes a command of the tree, and returns what it printed.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}

func TestReplay(t *testing.T) {
	testleak.FDs(t)
	const file = "testdata/made/node-rr.json"
	text, err := run(t, "replay", "--ascii", "--width", "90", file)
	if err != nil || !strings.Contains(text, "SCM_RIGHTS 22 *D") || strings.Contains(text, "│") {
		t.Errorf("%v: %s", err, text)
	}
	verbose, err := run(t, "replay", "-v", file)
	if err != nil || strings.Count(verbose, "\n") < strings.Count(text, "\n")+10 {
		t.Errorf("%v: -v has %d lines, without it are %d", err, strings.Count(verbose, "\n"), strings.Count(text, "\n"))
	}
	if mermaid, err := run(t, "replay", "--mermaid", file); err != nil || !strings.HasPrefix(mermaid, "sequenceDiagram\n") {
		t.Errorf("%v: %s", err, mermaid)
	}
	calls, err := run(t, "replay", "--calls", "--ascii", file)
	for _, want := range []string{"26657 listen(21, 511) = 0 <0.000030>  *C\n", "127.0.0.1:49222 > 127.0.0.1:8000: Flags [S], seq 1000, ack 0, length 0  *"} {
		if err != nil || !strings.Contains(calls, want) {
			t.Errorf("%v: no %q in\n%s", err, want, calls)
		}
	}
	dir := t.TempDir()
	html, trace, pcapng := filepath.Join(dir, "a.html"), filepath.Join(dir, "a.trace"), filepath.Join(dir, "a.pcapng")
	if out, err := run(t, "replay", "--html", html, "--trace", trace, "--pcapng", pcapng, file); err != nil || out != "" {
		t.Errorf("%v: %s", err, out)
	}
	for name, want := range map[string]string{html: "<!DOCTYPE html>", trace: `"traceEvents"`, pcapng: "\x0a\x0d\x0d\x0a"} {
		if b, err := os.ReadFile(name); err != nil || !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What --json prints is a recording again.
	json, err := run(t, "replay", "--json", file)
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(dir, "again.json")
	if err := os.WriteFile(again, []byte(json), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, "replay", "--ascii", "--width", "90", again); err != nil || out != text {
		t.Errorf("%v: drawn from --json it is\n%s", err, out)
	}
}

func TestCompare(t *testing.T) {
	testleak.FDs(t)
	out, err := run(t, "compare", "testdata/made/node-rr.json", "testdata/made/python.json")
	if err != nil || !strings.Contains(out, "passes connections on by SCM_RIGHTS") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestDrawingUsage(t *testing.T) {
	testleak.FDs(t)
	for _, args := range [][]string{
		{"replay"}, {"compare", "one.json"}, {"replay", "--width", "10", "testdata/made/python.json"},
		{"replay", "--mermaid", "--json", "testdata/made/python.json"}, {"replay", "--color", "blue", "testdata/made/python.json"},
	} {
		_, err := run(t, args...)
		if _, ok := errors.AsType[cli.UsageError](err); !ok {
			t.Errorf("%v: %v is no error of usage", args, err)
		}
	}
	if _, err := run(t, "replay", "testdata/programs"); err == nil {
		t.Error("a directory is drawn")
	}
	if _, err := run(t, "replay", "output_test.go"); err == nil || !strings.Contains(err.Error(), "output_test.go: no recording") {
		t.Errorf("%v", err)
	}
}
