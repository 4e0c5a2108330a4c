package main

import (
	"errors"
	"strings"
	"testing"

	"onconn/internal/cli"
	"onconn/internal/testleak"
)

func TestTopMistakes(t *testing.T) {
	testleak.FDs(t)
	for _, tt := range []struct {
		args  []string
		usage bool
		want  string
	}{
		{[]string{"--json"}, true, "backlogprobe -w --json"},
		{[]string{"--interval", "0s"}, true, "it is 1ms to 1s"},
		{[]string{"--color", "maybe"}, true, "auto, always or never"},
		{[]string{"nonsense="}, true, "filter"},
		{nil, false, "top needs a terminal"}, // the test's output is none
	} {
		err := alone(newTop(), tt.args...).Execute()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
		if _, ok := errors.AsType[cli.UsageError](err); ok != tt.usage {
			t.Errorf("%q: %v is a usage error: %v", tt.args, err, ok)
		}
	}
}
