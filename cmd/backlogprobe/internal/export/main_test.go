package export

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/survey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script answers each look with the next of its reports, and at its end with
// the last one again.
type script struct {
	mu      sync.Mutex
	reports []*survey.Report
	err     error
	looks   []time.Duration
}

func (s *script) Look(_ context.Context, d time.Duration) (*survey.Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks = append(s.looks, d)
	if s.err != nil {
		return nil, s.err
	}
	r := s.reports[0]
	if len(s.reports) > 1 {
		s.reports = s.reports[1:]
	}
	return r, nil
}

// start is when the reports of tests end.
var start = time.Date(2026, 11, 22, 14, 2, 30, 0, time.UTC)

func report(rows ...survey.Row) *survey.Report {
	return &survey.Report{
		Time:     start,
		Interval: 10 * time.Millisecond,
		Namespaces: []survey.Namespace{{
			Name:    "host",
			Sysctls: backlog.Sysctls{Somaxconn: 4096},
			Counters: backlog.Counters{
				"TcpExtListenOverflows": 40, "TcpExtListenDrops": 42, "TcpExtSyncookiesSent": 3,
				"TcpExtTCPReqQFullDoCookies": 3, "TcpExtTCPReqQFullDrop": 0,
			},
		}},
		Listeners: rows,
	}
}

// full is node's listener when its queue is full.
func full() survey.Row {
	wait := 9400 * time.Millisecond
	return survey.Row{
		Netns: "host", Proto: "tcp", Local: "0.0.0.0:8080", Port: 8080,
		Depth: 512, Limit: 511, Capacity: 512, Peak: 512, Full: 1500 * time.Millisecond, Fulls: 2,
		Drops: 3378, HalfOpen: 9, OldestWait: &wait,
		Hurt:        &survey.Hurt{Clients: 38, How: "captured"},
		Owners:      []survey.Owner{{PID: 27605, Command: "node", FD: 21, Unit: "web.service"}},
		Inode:       4711,
		Cookie:      1,
		Observation: backlog.Observation{Since: start.Add(-time.Minute), Arrived: 92, Accepted: 54},
	}
}

// group is nginx with a socket for each of its two workers.
func group() survey.Row {
	member := func(inode uint32, cookie uint64, drops uint32) survey.Row {
		return survey.Row{Netns: "host", Proto: "tcp6", Local: "*:443", Port: 443, Limit: 4096, Drops: drops, Inode: inode, Cookie: cookie,
			Observation: backlog.Observation{Since: start.Add(-time.Minute), Arrived: 100, Accepted: 100}}
	}
	return survey.Row{
		Netns: "host", Proto: "tcp6", Local: "*:443", Port: 443,
		Limit: 8192, Capacity: 8194, Peak: 61, Drops: 12,
		Owners:  []survey.Owner{{PID: 813, Command: "nginx"}, {PID: 812, Command: "nginx"}},
		Members: []survey.Row{member(10, 100, 5), member(11, 101, 7)},
	}
}
