package sched

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// roleVariable says in a child's environment what it is.
const roleVariable = "ONCONN_SCHED"

// A role is what a child is told at its start.
type role struct {
	Client    bool          `json:"client,omitempty"`
	Way       Way           `json:"way,omitempty"`
	HangAfter time.Duration `json:"hang_after_ns,omitempty"`
}

func (r role) env() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // plain data
	}
	return roleVariable + "=" + string(b)
}

// IsChild reports whether this process was started as a child of [Run], and is
// to call [Child].
func IsChild() bool { return os.Getenv(roleVariable) != "" }

// Child does what a worker or client does, and returns at its end.
func Child() error {
	var r role
	if err := json.Unmarshal([]byte(os.Getenv(roleVariable)), &r); err != nil {
		return fmt.Errorf("%s: this command is started by another one: %w", roleVariable, err)
	}
	switch {
	case r.Client:
		return client(os.Stdin, os.Stdout)
	case r.Way == RoundRobin:
		return clusterWorker()
	}
	return worker(r)
}

// command is a child in a role, not started yet.
func command(argv []string, r role) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), r.env())
	cmd.Stderr = os.Stderr
	return cmd
}
