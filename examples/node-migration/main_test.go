package main

import (
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/examples/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The service moves under load, and no request fails.
func TestMigration(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs node: ", err)
	}
	path := exampletest.Build(t)
	p := exampletest.Start(t, node, "migrate.js", path, "127.0.0.1:0", "2", "0.3")
	url := p.Line(`^2 workers serve at (http://\S+)$`)[1]

	var mu sync.Mutex
	by := map[string]int{}
	var lost []error
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
				body, err := get(url)
				who, _, _ := strings.Cut(body, ",")
				mu.Lock()
				by[who]++
				if err != nil {
					lost = append(lost, err)
				}
				mu.Unlock()
			}
		})
	}
	p.Line(`^worker 1, Node, is replaced by worker 3, Go$`)
	p.Line(`^worker 2, Node, is replaced by worker 4, Go$`)
	p.Line(`^moved$`)
	exampletest.Eventually(t, "only Go answers", func() bool {
		for range 4 {
			if body, _ := get(url); !strings.HasPrefix(body, "Go, ") {
				return false
			}
		}
		return true
	})
	close(stop)
	group.Wait()
	t.Logf("%v, lost %v", by, lost)
	if len(lost) > 0 || by["Node"] == 0 || by["Go"] == 0 || len(by) != 2 {
		t.Errorf("%v, lost %v", by, lost)
	}
	p.Interrupt()
	p.End()
}

// get asks over a connection of its own.
func get(url string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	r, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return string(body), err
}
