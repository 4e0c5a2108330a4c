// Package serve has onconn's servers as they are measured, and net/http and package
// net beside them: each as a user would write it. A program that calls [Main] for
// its argument "serve" can start all of them from itself.
package serve

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"onconn/cluster"
	_ "onconn/internal/linux"
)

// A server serves on addr until ctx is done.
type server func(ctx context.Context, addr string, workers int) error

// The servers by their names in tables.
var servers = map[string]server{
	"loop-close":   loopClose,
	"loop-hold":    loopHold,
	"loop-http":    loopHTTP,
	"listen-close": closing(ours),
	"net-close":    closing(net.Listen),
	"listen-hold":  holding(ours),
	"net-hold":     holding(net.Listen),

	"listen-nethttp": netHTTP(ours),
	"net-nethttp":    netHTTP(net.Listen),

	"handoff":           handoff,
	"handoff-worker":    handoffWorker, // which handoff starts
	"rr-loop":           clustered(cluster.RoundRobin, answering),
	"rr-node":           scripts,
	"rr-nethttp":        clustered(cluster.RoundRobin, withHTTP),
	"shared-nethttp":    clustered(cluster.Shared, withHTTP),
	"reuseport-nethttp": clustered(cluster.ReusePort, withHTTP),
}

// Main runs the server NAME ADDRESS WORKERS of args until SIGTERM. It returns the
// exit code.
func Main(args []string) int {
	if len(args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: serve NAME ADDRESS WORKERS")
		return 2
	}
	serve, ok := servers[args[0]]
	workers, err := strconv.Atoi(args[2])
	if !ok || err != nil || workers < 1 {
		fmt.Fprintf(os.Stderr, "serve: no server %q with %s workers\n", args[0], args[2])
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := serve(ctx, args[1], workers); err != nil {
		fmt.Fprintf(os.Stderr, "serve %s: %v\n", args[0], err)
		return 1
	}
	return 0
}
