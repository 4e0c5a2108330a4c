package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/internal/chaos"
	"onconn/internal/cli"
)

func TestChaosJSON(t *testing.T) {
	code, stdout, stderr := result(t, "chaos", "--mode", "shared", "--connections", "2000", "--seed", "5", "--json")
	var r chaos.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	if code != 0 || !r.Passed || r.Connections != 2000 || r.Seed != 5 || stderr != "" {
		t.Errorf("exit code %d, %+v, standard error %q", code, r, stderr)
	}
	if !strings.Contains(r.Repeat, "--mode shared --seed 5") {
		t.Errorf("to repeat it: %q", r.Repeat)
	}
}

func TestChaosUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--mode", "x"}, {"--workers", "1"}, {"--connections", "-1"}, {"--connections", "0"}, {"--keep-alive-share", "2"}, {"--time", "-1s"}, {"extra"},
	} {
		if code, _, stderr := result(t, append([]string{"chaos"}, args...)...); code != cli.WrongUsage {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

// Ctrl-C ends the run with a report, and nothing of it is left; so does a kill.
func TestChaosIsInterrupted(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd := command("chaos", "--seed", "5")
			cmd.Env = append(cmd.Env, "CHAOS_TEST="+t.Name())
			var out bytes.Buffer
			cmd.Stdout = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer time.AfterFunc(tooLong, func() { cmd.Process.Kill() }).Stop()
			await(t, "it runs", func() bool { return len(having("CHAOS_TEST="+t.Name())) >= 7 })
			cmd.Process.Signal(sig)
			cmd.Wait()
			if sig == syscall.SIGINT && (cmd.ProcessState.ExitCode() != 0 || !strings.Contains(out.String(), "again: onconn chaos")) {
				t.Errorf("exit code %d, %s", cmd.ProcessState.ExitCode(), &out)
			}
			await(t, "nothing is left", func() bool { return len(having("CHAOS_TEST="+t.Name())) == 0 })
		})
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(tooLong); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// having are the processes with a variable in their environment.
func having(variable string) (pids []string) {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		env, _ := os.ReadFile(path)
		if bytes.Contains(env, []byte(variable+"\x00")) {
			pids = append(pids, path)
		}
	}
	return pids
}
