package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// isNode reports whether a command is Node, or a script that is run by it.
func isNode(command []string) bool {
	if len(command) == 0 {
		return false
	}
	if isNodeName(command[0]) {
		return true
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return false // New tells
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
	interpreter, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return false
	}
	words := strings.Fields(interpreter)
	if len(words) > 1 && filepath.Base(words[0]) == "env" {
		words = words[1:]
		if words[0] == "-S" {
			words = words[1:]
		}
	}
	return len(words) > 0 && isNodeName(words[0])
}

func isNodeName(path string) bool {
	name := filepath.Base(path)
	return name == "node" || name == "nodejs"
}
