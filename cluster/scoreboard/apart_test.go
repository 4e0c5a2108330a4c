package scoreboard

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"onconn/internal/clients"
)

// apart is a run of clients in a process of their own: one that sends messages, too,
// would measure its own scheduler.
type apart struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Closer
	out io.Reader
}

// outcome is what such a process writes.
type outcome struct {
	All     int
	Lost    int
	Slowest time.Duration
	Text    string
}

func (r *running) clientsApart(c clients.Config) *apart {
	r.t.Helper()
	c.Address, c.Want = r.addr, "ok\n"
	config, err := json.Marshal(c)
	if err != nil {
		r.t.Fatal(err)
	}
	a := &apart{t: r.t, cmd: exec.Command(os.Args[0])}
	a.cmd.Env = append(os.Environ(), envClients+"="+string(config), fastExit)
	a.cmd.Stderr = os.Stderr
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		r.t.Fatal(err)
	}
	if a.out, err = a.cmd.StdoutPipe(); err != nil {
		r.t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	return a
}

// stop has the clients finish what they have begun.
func (a *apart) stop() outcome {
	a.in.Close()
	return a.wait()
}

// wait waits until they have made all their requests.
func (a *apart) wait() (o outcome) {
	a.t.Helper()
	err := json.NewDecoder(a.out).Decode(&o)
	a.in.Close()
	if ended := a.cmd.Wait(); err != nil || ended != nil {
		a.t.Fatalf("the clients: %v, %v", err, ended)
	}
	return o
}

// clientsRole is such a process. It ends with its standard input, at the latest.
func clientsRole(config string) error {
	var c clients.Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	run := clients.Start(c)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		run.Stop()
	}()
	got := run.Wait()
	return json.NewEncoder(os.Stdout).Encode(outcome{got.All(), got.Lost(), got.Slowest, fmt.Sprint(got)})
}
