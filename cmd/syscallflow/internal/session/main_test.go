package session

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/tracer"
	"onconn/internal/testleak"
)

// The test binary is a program under test when envRole names one of roles.
const envRole = "SYSCALLFLOW_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		roles[role]()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// program is the command that plays a role.
func program(role string) tracer.Command {
	return tracer.Command{
		Args: []string{"/proc/self/exe"},
		Env:  append(os.Environ(), envRole+"="+role, "GORACE=atexit_sleep_ms=0"),
	}
}

// record records a run of a role to its end.
func record(t *testing.T, role string, c Config) Result {
	t.Helper()
	c.Command = program(role)
	return recordCommand(t, c)
}

func recordCommand(t *testing.T, c Config) Result {
	t.Helper()
	testleak.FDs(t)
	testleak.Zombies(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := Record(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatal("the program didn't end in a minute")
	}
	whole(t, r.Recording)
	return r
}

// whole checks what holds for every recording that ended by itself.
func whole(t *testing.T, r *recording.Recording) {
	t.Helper()
	pids := map[int]bool{}
	for _, p := range r.Processes {
		pids[p.PID] = true
		if p.End == 0 || p.Status == "" {
			t.Errorf("process %d has no end", p.PID)
		}
		if p.Parent != 0 && !pids[p.Parent] {
			t.Errorf("process %d has an unknown parent %d", p.PID, p.Parent)
		}
	}
	for i, c := range r.Calls {
		if !pids[c.PID] {
			t.Errorf("%s by unknown process %d", c.Name, c.PID)
		}
		if i > 0 && c.Begin < r.Calls[i-1].Begin {
			t.Errorf("call %d begins before the one before it", i)
		}
		if c.End != 0 && c.End < c.Begin {
			t.Errorf("%s ends before it begins", c.Name)
		}
	}
	for i, s := range r.Sockets {
		if int(s.ID) != i+1 {
			t.Errorf("socket %d has number %d", i+1, s.ID)
		}
	}
}

// calls are those of a name.
func calls(r Result, name string) (all []recording.Call) {
	for _, c := range r.Calls {
		if c.Name == name {
			all = append(all, c)
		}
	}
	return all
}

// socketOf is the one with a number.
func socketOf(t *testing.T, r Result, id recording.SocketID) recording.Socket {
	t.Helper()
	i := slices.IndexFunc(r.Sockets, func(s recording.Socket) bool { return s.ID == id })
	if i < 0 {
		t.Fatalf("there is no socket %d", id)
	}
	return r.Sockets[i]
}
