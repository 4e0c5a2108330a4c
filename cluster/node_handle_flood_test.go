package cluster_test

import (
	"encoding/json"
	"errors"
	"os"
	"sync"
	"testing"

	"onconn/cluster"
	"onconn/sock"
)

// A program that sends descriptors all the time keeps no connection from a worker.
func TestNodeHandlesBesideConnections(t *testing.T) {
	cfg := cluster.Config{Workers: 1, Exec: nodeProgram(t), Args: []string{"testdata/node/handles.js"}}
	cfg.OnMessageFD = func(_ *cluster.Worker, _ json.RawMessage, fd sock.FD) { fd.Close() }
	r := startNode(t, cfg, `{"port":0,"host":"127.0.0.1"}`)
	addr := r.serving(1)
	w := r.Workers()[0]
	client, server := aPair(t)
	defer client.Close()
	defer server.Close()
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := w.SendFD(0, server); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		if who, err := tryAsk(addr); who != "js 1" || err != nil {
			t.Error(who, err)
			break
		}
	}
	close(stop)
	group.Wait()
}
