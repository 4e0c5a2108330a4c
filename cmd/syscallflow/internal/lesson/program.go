package lesson

import (
	"context"
	_ "embed" // of the program for Node
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/session"
	"onconn/cmd/syscallflow/internal/tracer"
	"onconn/sock"
)

//go:embed cluster.js
var clusterJS []byte

// cluster records a cluster of two workers and some requests: Node's, or ours where
// there is no Node. mode is "rr" or "none".
func (r *Run) cluster(ctx context.Context, mode string, requests int) (*recording.Recording, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	version, err := node(ctx)
	if err == nil {
		directory, err := os.MkdirTemp("", "syscallflow-lesson-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(directory)
		file := filepath.Join(directory, "cluster.js")
		if err := os.WriteFile(file, clusterJS, 0o644); err != nil {
			return nil, err
		}
		r.Program = "a Node cluster (" + version + "), two workers"
		return record(ctx, port, requests, "node", file, strconv.Itoa(port), mode)
	}
	ours := map[string]string{"rr": "rr", "none": "shared"}[mode]
	r.Program = fmt.Sprintf("a cluster of onconn in mode %s, two workers (Node isn't used: %v)", ours, err)
	return record(ctx, port, requests, self(), rolePrefix+"cluster", ours, strconv.Itoa(port))
}

// node is the version of Node, if it is there and runs.
func node(ctx context.Context) (string, error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return "", errors.New("there is no node in PATH")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("node --version: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func record(ctx context.Context, port, requests int, command ...string) (*recording.Recording, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	said, err := os.CreateTemp("", "syscallflow-lesson-")
	if err != nil {
		return nil, err
	}
	defer said.Close()
	if err := os.Remove(said.Name()); err != nil {
		return nil, err
	}
	result, err := session.Record(ctx, session.Config{
		Command: tracer.Command{Args: command, Stdin: null, Stdout: null, Stderr: said},
		Waits:   true, Packets: true, Requests: requests,
		URL:   &url.URL{Scheme: "http", Host: loopback(port).String(), Path: "/"},
		Ready: 10 * time.Second, Grace: time.Second,
	})
	if err != nil {
		text := make([]byte, 1000)
		n, _ := said.ReadAt(text, 0)
		return nil, fmt.Errorf("%w\n%s", err, text[:n])
	}
	rename(result.Recording)
	for i := range result.Processes { // we have ended them: that isn't worth a mark in the drawing
		if p := &result.Processes[i]; result.Ended && strings.HasPrefix(p.Status, "signal: ") {
			p.Status = ""
		}
	}
	return result.Recording, nil
}

// freePort is a port that nobody has at the moment.
func freePort() (int, error) {
	fd, err := sock.Socket(sock.Inet, sock.Stream, sock.TCP)
	if err != nil {
		return 0, err
	}
	defer fd.Close()
	if err := fd.Bind(sock.IPAddr(loopback(0))); err != nil {
		return 0, err
	}
	a, err := fd.Getsockname()
	return int(a.Port()), err
}
