package main

import (
	"os"
	"path/filepath"
	"testing"
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
