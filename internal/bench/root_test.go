package main

import (
	"errors"
	"os"
	"testing"

	"onconn/internal/cli"
)

func TestSplit(t *testing.T) {
	servers, clients, err := split("split")
	all, everyone, _ := split("all")
	if err != nil || servers.Count() == 0 || clients.Count() == 0 || all != everyone {
		t.Fatal(servers.Count(), clients.Count(), err)
	}
	if all.Count() > 1 && servers.Count()+clients.Count() != all.Count() {
		t.Errorf("%d and %d of %d CPUs", servers.Count(), clients.Count(), all.Count())
	}
	if _, _, err := split("none"); err == nil {
		t.Error("none")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--tables", "no-such"}, {"--runs", "0"}, {"--cpus", "none"}, {"extra"}, {"compare", "c-http"},
		{"compare", "no-such", "c-http"}, {"compare", "--work", "dance", "c-http", "loop-http"},
	} {
		root := newRoot()
		root.SetArgs(args)
		if err := root.Execute(); !errors.As(err, new(cli.UsageError)) {
			t.Errorf("%v: %v", args, err)
		}
	}
	root := newRoot()
	root.SetArgs([]string{"--tables", "memory", "--write", t.TempDir() + "/none"})
	if err := root.Execute(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("into a file that isn't there: %v", err)
	}
}
