package story

import (
	"slices"
	"strings"
	"testing"

	"onconn/cmd/syscallflow/internal/recording/recordingtest"
)

// TestRealServers tells the recordings of real servers, each of which answered
// four requests, and checks what is known of how they accept.
func TestRealServers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		workers  int
		findings []string // the beginnings
		steps    []string // parts, in this order
	}{
		{"node-rr", 2, []string{"Handed over: node primary ", "node workers "},
			[]string{"node worker>node primary: asks for a server", "node primary>kernel's queue: listen(", "kernel's queue>node primary: accept4", "node primary>node worker: SCM_RIGHTS", "node worker>client: write 200 OK"}},
		{"node-none", 2, []string{"Shared: 2 processes accept from one queue, on a listener that was passed by SCM_RIGHTS"},
			[]string{"node primary>kernel's queue: bind", "node primary>node worker: SCM_RIGHTS", "node worker>kernel's queue: listen(", "kernel's queue>node worker: accept4 =", "node worker>client: write 200 OK"}},
		{"python", 0, []string{"One process: python3 "},
			[]string{"python3>kernel's queue: listen(", "client>kernel's queue: ACK acceptq 0→1", "kernel's queue>python3: accept4 =", "python3>client: write 200 OK"}},
		{"nginx", 2, []string{"Shared: 2 processes accept from one queue, on a listener that was inherited"},
			[]string{"nginx primary>kernel's queue: listen(", "nginx primary>nginx worker: fork has fd", "nginx worker: epoll_ctl EPOLLEXCLUSIVE", "kernel's queue>nginx worker: accept4 =", "nginx worker>client: write 200 OK"}},
		{"onconn-rr", 2, []string{"Handed over: onconn primary ", "onconn workers "},
			[]string{"onconn primary>kernel's queue: listen(", "kernel's queue>onconn primary: accept4 =", "onconn primary>onconn worker: SCM_RIGHTS", "onconn worker>client: write 200 OK"}},
		{"onconn-shared", 2, []string{"Shared: 2 processes accept from one queue"},
			[]string{"onconn primary>kernel's queue: listen(", "onconn primary>onconn worker: SCM_RIGHTS", "onconn worker: epoll_ctl EPOLLEXCLUSIVE", "kernel's queue>onconn worker: accept4 ="}},
		{"onconn-reuseport", 2, []string{"SO_REUSEPORT: 2 sockets on "},
			[]string{"setsockopt SO_REUSEPORT", "onconn primary>kernel, 2 queues: listen(", "onconn primary>onconn worker: SCM_RIGHTS", "kernel, 2 queues>onconn worker: accept4 ="}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := recordingtest.Load(t, "recordings/"+tt.name)
			s := Tell(r, Options{})
			for _, want := range tt.findings {
				if !slices.ContainsFunc(s.Findings, func(f Finding) bool { return strings.HasPrefix(f.Text, want) }) {
					t.Errorf("no finding %q in %v", want, s.Findings)
				}
			}
			got, next := lines(s), 0
			for _, line := range got {
				if next < len(tt.steps) && strings.Contains(line, tt.steps[next]) {
					next++
				}
			}
			if next < len(tt.steps) {
				t.Errorf("no %q at its place in:\n%s", tt.steps[next], strings.Join(got, "\n"))
			}
			if n := len(newTeller(r, Options{}).workers()); n != tt.workers {
				t.Errorf("%d workers", n)
			}
			// Each connection is told, in full or as one like it.
			told := map[int]bool{}
			alike := 0
			for _, step := range s.Steps {
				switch {
				case step.Kind == Like:
					alike += step.Times
				case strings.HasPrefix(step.Label, "accept") && step.State == Well:
					told[step.Socket] = true
				}
			}
			if n := len(told) + alike; n != len(r.Requests) || n == 0 {
				t.Errorf("%d of %d connections are told", n, len(r.Requests))
			}
			if len(s.Steps) > 45 {
				t.Errorf("%d steps aren't quiet", len(s.Steps))
			}
		})
	}
}
