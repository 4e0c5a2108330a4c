package export

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/testleak"
)

// serve runs Serve until the test ends, and returns its URL.
func serve(t *testing.T, c *Collector) string {
	t.Helper()
	testleak.FDs(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + ln.Addr().String()
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestPages(t *testing.T) {
	url := serve(t, New(&script{reports: []*survey.Report{report(full())}}, false))
	for path, text := range map[string]string{
		"/":        `<a href="/metrics">`,
		"/metrics": "backlog_accept_queue_length{",
		"/healthz": "ok",
	} {
		if status, body := get(t, url+path); status != 200 || !strings.Contains(body, text) {
			t.Errorf("%s: status %d\n%s", path, status, body)
		}
	}
	if status, _ := get(t, url+"/other"); status != 404 {
		t.Errorf("/other: status %d", status)
	}
}

// A look that fails is a scrape that fails, and health says why.
func TestFailure(t *testing.T) {
	s := &script{err: errors.New("netlink: no buffer")}
	url := serve(t, New(s, false))
	for _, path := range []string{"/metrics", "/healthz"} {
		if status, body := get(t, url+path); status < 500 || !strings.Contains(body, "no buffer") {
			t.Errorf("%s: status %d\n%s", path, status, body)
		}
	}
	s.mu.Lock()
	s.err, s.reports = nil, []*survey.Report{report(full())}
	s.mu.Unlock()
	for _, path := range []string{"/metrics", "/healthz"} {
		if status, body := get(t, url+path); status != 200 {
			t.Errorf("%s: status %d after it is well again\n%s", path, status, body)
		}
	}
}

// Two Prometheus servers at once: no drop is lost or counted twice.
func TestConcurrentScrapes(t *testing.T) {
	s := &script{}
	for i := range uint32(200) {
		r := full()
		r.Drops = i
		s.reports = append(s.reports, report(r))
	}
	url := serve(t, New(s, false))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if status, body := get(t, url+"/metrics"); status != 200 {
					t.Errorf("status %d\n%s", status, body)
				}
			}
		})
	}
	wg.Wait()
	_, body := get(t, url+"/metrics")
	want(t, body, map[string]string{
		`backlog_listener_drops_total{local="0.0.0.0:8080",netns="host",proto="tcp"}`:            "199",
		`backlog_accept_queue_full_seconds_total{local="0.0.0.0:8080",netns="host",proto="tcp"}`: "1.5",
	})
}

// A scrape that runs when Serve is told to end gets its answer.
func TestScrapeFinishes(t *testing.T) {
	slow := &slowSource{script: &script{reports: []*survey.Report{report(full())}}, begun: make(chan bool), end: make(chan bool)}
	testleak.FDs(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served, got := make(chan error, 1), make(chan int, 1)
	go func() { served <- New(slow, false).Serve(ctx, ln) }()
	go func() {
		status, _ := get(t, "http://"+ln.Addr().String()+"/metrics")
		got <- status
	}()
	<-slow.begun
	cancel()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			break // nobody listens any more
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("it goes on listening")
		}
	}
	close(slow.end)
	if status := <-got; status != 200 {
		t.Errorf("status %d", status)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

type slowSource struct {
	*script
	begun, end chan bool
}

func (s *slowSource) Look(ctx context.Context, d time.Duration) (*survey.Report, error) {
	s.begun <- true
	<-s.end
	return s.script.Look(ctx, d)
}
