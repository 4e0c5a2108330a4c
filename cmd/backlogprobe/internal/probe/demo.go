package probe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"

	"onconn/backlog"
)

// A Demo shows one phenomenon on a listener of its own.
type Demo struct {
	Name  string
	Title string

	// own: it changes sysctls or plays clients by raw packets, and so needs a
	// network namespace of its own.
	own bool
	run func(context.Context, *stage) error
}

// Demos lists them, the main one first.
func Demos() []Demo {
	return []Demo{
		{"full", "the accept queue is full: SYNs vanish, clients wait", false, demoFull},
		{"slow", "a server that stalls 80 ms, and the backlog that it needs", false, demoSlow},
		{"half-open", "handshakes that their clients never finish", true, demoHalfOpen},
		{"cookies", "more handshakes than the queue holds: SYN cookies, or drops", true, demoCookies},
		{"rst", "the final ACK finds no place: silence, or RST (tcp_abort_on_overflow)", true, demoRST},
		{"unix", "a unix socket says EAGAIN", false, demoUnix},
		{"closed", "nobody listens: refused at once", false, demoClosed},
	}
}

// A Step is one thing that a demo did or saw, in words, with the queues as the
// kernel showed them then.
type Step struct {
	Says  string      `json:"says"`
	Queue *QueueFacts `json:"queue,omitempty"`
}

// QueueFacts are the queues of the demo's listener.
type QueueFacts struct {
	Depth    int  `json:"accept_queue"`
	Limit    int  `json:"limit"`
	Capacity int  `json:"capacity"`
	HalfOpen *int `json:"half_open"` // null: a unix socket
	Drops    *int `json:"drops"`     // likewise
}

// RunDemo plays a demo and passes on its steps. It runs in a child with a
// network namespace of its own, whose counters and sysctls are its own too; if
// we may not make one, on this host's loopback, where that will do. When ctx
// ends, the child is killed, and the namespace goes with it.
func RunDemo(ctx context.Context, name string, show func(Step)) error {
	all := Demos()
	i := slices.IndexFunc(all, func(d Demo) bool { return d.Name == name })
	if i < 0 {
		return fmt.Errorf("no demo %q", name)
	}
	steps, wait, err := startDemo(ctx, name)
	if err != nil {
		if all[i].own {
			return fmt.Errorf("demo %s needs a network namespace of its own, which we may not make (run as root): %w", name, err)
		}
		err := all[i].play(ctx, func(s Step) {
			if ctx.Err() == nil {
				show(s)
			}
		})
		return cmp.Or(ctx.Err(), err)
	}
	defer steps.Close()
	var said struct {
		Step
		Error string `json:"error"`
	}
	for in := json.NewDecoder(steps); ; {
		said.Step, said.Error = Step{}, ""
		if err = in.Decode(&said); err != nil || said.Error != "" {
			break
		}
		show(said.Step)
	}
	waitErr := wait()
	switch {
	case said.Error != "":
		return errors.New(said.Error)
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.Is(err, io.EOF):
		return err
	}
	return waitErr
}

// startDemo starts the child; the function that it returns waits for its end.
func startDemo(ctx context.Context, name string) (io.ReadCloser, func() error, error) {
	flags := []uintptr{syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET}
	if os.Geteuid() == 0 {
		flags = []uintptr{syscall.CLONE_NEWNET, flags[0]}
	}
	// The death signal is tied to the thread that forks.
	runtime.LockOSThread()
	var err error
	for _, f := range flags {
		child := exec.CommandContext(ctx, "/proc/self/exe")
		child.Args = []string{demoName, name}
		child.Stderr = os.Stderr
		child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: f, Pdeathsig: syscall.SIGKILL}
		if f&syscall.CLONE_NEWUSER != 0 {
			child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
			child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
		}
		var out io.ReadCloser
		if out, err = child.StdoutPipe(); err != nil {
			break
		}
		if err = child.Start(); err == nil {
			return out, func() error {
				defer runtime.UnlockOSThread()
				return child.Wait()
			}, nil
		}
	}
	runtime.UnlockOSThread()
	return nil, nil, err
}

// demoChild is the child: it has the namespace, and writes steps as NDJSON.
func demoChild(args []string) int {
	out := json.NewEncoder(os.Stdout)
	err := func() error {
		if err := setUp("lo"); err != nil {
			return err
		}
		for _, d := range Demos() {
			if d.Name == args[0] {
				return d.play(context.Background(), func(s Step) { out.Encode(s) })
			}
		}
		return fmt.Errorf("no demo %q", args[0])
	}()
	if err != nil {
		out.Encode(map[string]string{"error": err.Error()})
	}
	return 0
}

func (d Demo) play(ctx context.Context, show func(Step)) error {
	ns, err := backlog.OpenNamespace("")
	if err != nil {
		return err
	}
	defer ns.Close()
	s := &stage{show: show, ns: ns}
	defer s.clear()
	return d.run(ctx, s)
}
