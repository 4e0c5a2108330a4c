package control_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"onconn/cluster"
	"onconn/cluster/control"
)

// idle stands for a cluster.Primary.
type idle struct{}

func (idle) Status() cluster.Status {
	return cluster.Status{PID: os.Getpid(), Mode: cluster.RoundRobin, Target: 4}
}
func (idle) Reload(context.Context) error         { return nil }
func (idle) Scale(_ context.Context, n int) error { fmt.Println("scaled to", n); return nil }
func (idle) Upgrade(context.Context) error        { return cluster.ErrBusy }

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "control.sock")
	server, err := control.Listen(path, idle{}, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	// In another process:
	client, err := control.Dial(path)
	if err != nil {
		log.Fatal(err)
	}
	status, err := client.Status(context.Background())
	fmt.Println(status.Target, "workers are wanted", err)
	err = client.Scale(context.Background(), 8)
	fmt.Println(err)
	// Output:
	// 4 workers are wanted <nil>
	// scaled to 8
	// <nil>
}
