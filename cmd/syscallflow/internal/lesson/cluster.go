package lesson

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
	"onconn/cluster/httpserve"
)

// clusterRole MODE PORT is a cluster of two workers that serves HTTP on the loopback.
// It ends on a signal, or when its input does if that is a pipe. Told "reload", it
// replaces its workers; told "workers", it says which there are.
func clusterRole(args []string) error {
	if len(args) != 2 {
		return errors.New("cluster MODE PORT")
	}
	address := "127.0.0.1:" + args[1]
	if cluster.IsWorker() {
		return clusterWorker(address)
	}
	mode, err := cluster.ParseMode(args[0])
	if err != nil {
		return err
	}
	p, err := cluster.New(cluster.Config{
		Workers: 2, Mode: mode, DrainTimeout: 2 * time.Second, Exec: self(), Args: os.Args[1:],
		Listen: []cluster.Address{{Network: "tcp4", Address: address}},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := p.Start(ctx); err != nil {
		return err
	}
	defer p.Shutdown(context.Background())
	told := make(chan string)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			told <- in.Text()
		}
		if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
			stop()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-p.Failed():
			return err
		case word := <-told:
			fmt.Println(clusterAnswer(ctx, p, word))
		}
	}
}

func clusterAnswer(ctx context.Context, p *cluster.Primary, word string) string {
	switch word {
	case "reload":
		if err := p.Reload(ctx); err != nil {
			return "EIO"
		}
		return "ok"
	case "workers":
		var pids []string
		for _, w := range p.Status().Workers {
			if w.State == "online" {
				pids = append(pids, fmt.Sprint(w.PID))
			}
		}
		return "ok " + strings.Join(pids, " ")
	}
	return "ENOSYS"
}

func clusterWorker(address string) error {
	ln, err := cluster.Listen("tcp4", address)
	if err != nil {
		return err
	}
	answer := fmt.Sprintf("from %d\n", os.Getpid())
	return httpserve.Serve(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, answer)
	})}, ln)
}
