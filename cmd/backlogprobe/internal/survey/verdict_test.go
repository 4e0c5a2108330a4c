package survey

import (
	"slices"
	"strings"
	"testing"
	"time"

	"onconn/backlog"
)

func number[T any](n T) *T { return &n }

// sample is a report of one listener that was looked at for 2 s.
func sample(change func(n *Namespace, row *Row)) *Report {
	r := &Report{
		Sampled:  2 * time.Second,
		Interval: 10 * time.Millisecond,
		Namespaces: []Namespace{{
			Name:    host,
			Sysctls: backlog.Sysctls{Somaxconn: 4096, SynCookies: 1},
			Delta:   backlog.Counters{},
		}},
		Listeners: []Row{{
			Netns: host, Proto: "tcp", Local: "0.0.0.0:8080", Port: 8080, Limit: 511, Capacity: 512,
			Owners: []Owner{{PID: 27605, Command: "node", FD: 21}},
		}},
	}
	change(&r.Namespaces[0], &r.Listeners[0])
	return r
}

// fill makes the queue full for the whole look, with refusals per second.
func fill(n *Namespace, row *Row, refused uint32) {
	row.Depth, row.Peak, row.Fulls, row.Full = row.Capacity, row.Capacity, 1, 2*time.Second
	row.Drops, row.Dropped = 3378, 2*refused
	row.Hurt = &Hurt{Clients: int(refused), How: "estimated"}
	n.Delta["TcpExtListenDrops"], n.Delta["TcpExtListenOverflows"] = uint64(2*refused), uint64(2*refused)
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name   string
		change func(n *Namespace, row *Row)
		codes  string   // the worst first
		says   []string // somewhere
		not    []string // nowhere
	}{
		{"quiet", func(*Namespace, *Row) {}, "", nil, nil},
		{"full", func(n *Namespace, row *Row) {
			fill(n, row, 38)
			row.OldestWait = number(9400 * time.Millisecond)
		}, "full-now default-limit", []string{
			"Accept queue full: 512 of 512 places are taken, the oldest for 9.4s.",
			"38 refusals in the last second, so about 38 clients wait outside",
			"A limit of 511 is the default of Node; net.core.somaxconn, now 4096, is not the cap.",
			"backlogprobe advise :8080", "backlogprobe set :8080 4096",
		}, []string{"nginx"}},
		{"full of those who left", func(n *Namespace, row *Row) {
			fill(n, row, 0)
			row.GivenUp = 12
		}, "full-now default-limit", []string{"Nobody was refused in the last 2.0s.", "12 of those that wait were closed by their clients"}, nil},
		{"clients of before", func(n *Namespace, row *Row) {
			fill(n, row, 0)
			row.Hurt = nil
		}, "full-now default-limit", []string{"Nobody was refused in the last 2.0s; clients that were before it try ever more seldom."}, []string{"clients wait"}},
		{"connected, but not served", func(_ *Namespace, row *Row) {
			row.Depth, row.Peak, row.OldestWait = 139, 139, number(7900*time.Millisecond)
			row.Arrivals, row.Accepts = number(70.0), number(0.0)
		}, "waiting", []string{"139 connections wait to be accepted, the oldest for 7.9s", "node[27605] accepted nothing", "backlogprobe top :8080"}, []string{"full"}},
		{"served soon", func(_ *Namespace, row *Row) {
			row.Depth, row.Peak, row.OldestWait = 139, 139, number(70*time.Millisecond)
		}, "", nil, nil},
		{"one member is full", func(n *Namespace, row *Row) {
			one, other := *row, *row
			one.Owners, other.Owners = []Owner{{PID: 1, Command: "a", FD: 3, Stopped: true}}, []Owner{{PID: 2, Command: "b", FD: 3}}
			fill(n, row, 38)
			one.Depth, one.Peak = one.Capacity, one.Capacity
			row.Members, row.Owners = []Row{one, other}, []Owner{one.Owners[0], other.Owners[0]}
			row.Arrivals, row.Accepts = number(54.0), number(54.0)
		}, "full-now slow-member asked-limit", []string{"1 of 2 sockets", "The other socket has room", "held by a[1] fd 3", "is stopped"},
			[]string{"too slow", "backlogprobe set", "backlogprobe advise"}},
		{"an estimate has two digits", func(n *Namespace, row *Row) { fill(n, row, 12345) },
			"full-now default-limit", []string{"12345 refusals", "about 12000 clients wait"}, nil},
		{"captured", func(n *Namespace, row *Row) {
			fill(n, row, 38)
			row.Hurt = &Hurt{Clients: 7, FinalACKs: 2, Longest: 3 * time.Second, How: "captured"}
		}, "full-now final-ack default-limit", []string{"7 clients wait outside, the longest for 3.0s or more", "2 handshakes the final ACK was refused"}, []string{"so about"}},
		{"one reading", func(n *Namespace, row *Row) { fill(n, row, 38); row.Hurt = nil },
			"full-now default-limit", []string{"clients try again after a second"}, []string{"in the last"}},
		{"nothing is accepted", func(n *Namespace, row *Row) {
			fill(n, row, 38)
			row.Arrivals, row.Accepts = number(0.0), number(0.0)
		}, "full-now not-accepting default-limit", []string{"node[27605] accepted nothing in the last 2.0s: it is blocked", "backlogprobe top :8080", "helps only if it goes on soon"}, []string{"backlogprobe advise"}},
		{"stopped", func(n *Namespace, row *Row) {
			fill(n, row, 38)
			row.Arrivals, row.Accepts = number(0.0), number(0.0)
			row.Owners[0].Stopped = true
		}, "full-now not-accepting default-limit", []string{"it is stopped"}, []string{"blocked"}},
		{"too slow", func(n *Namespace, row *Row) {
			fill(n, row, 38)
			row.Arrivals, row.Accepts = number(54.0), number(54.0)
		}, "full-now too-slow default-limit", []string{"node[27605] accepts 54/s, while about 92/s try, retries included: it is too slow.",
			"While that goes on no backlog is enough: one of 4096 would be full 94s later, or somewhat more"}, nil}, // (4096-511)/38
		{"fast enough but for a moment", func(n *Namespace, row *Row) {
			fill(n, row, 38)
			row.Full = 500 * time.Millisecond
			row.Arrivals, row.Accepts = number(54.0), number(54.0)
		}, "full-now default-limit", nil, []string{"too slow"}},
		{"full unseen", func(n *Namespace, row *Row) {
			fill(n, row, 3)
			row.Depth, row.Fulls, row.Full = 2, 3, 120*time.Millisecond
		}, "full-unseen default-limit", []string{"Full 3 times in 2.0s, for 120ms in all", "misses it 94 times in 100", "about 3 clients"}, nil},
		{"full but for moments", func(n *Namespace, row *Row) {
			fill(n, row, 38)
			row.Depth, row.Fulls, row.Full = 511, 90, 1800*time.Millisecond
			row.Arrivals, row.Accepts = number(54.0), number(54.0)
		}, "full-mostly too-slow default-limit", []string{"Full 90 times in 2.0s, for 1.8s in all", "it is too slow"}, []string{"in 100"}},
		{"full too briefly for a sample", func(n *Namespace, row *Row) {
			fill(n, row, 3)
			row.Depth, row.Peak, row.Fulls, row.Full = 0, 400, 0, 0
		}, "refusing default-limit", []string{"6 refusals in the last 2.0s, though no sample saw the queue full: it is full for shorter than the 10ms"}, nil},
		{"stray segments", func(n *Namespace, row *Row) { row.Drops, row.Dropped = 3, 1 },
			"drops default-limit", []string{"3 refusals since the socket was made"}, []string{"clients", "overflow"}},
		{"drops in the past", func(n *Namespace, row *Row) { row.Drops = 42 },
			"drops default-limit", []string{"42 refusals since the socket was made, none in the last 2.0s. They are packets, retries included."}, []string{"client", "overflow"}},
		{"final ACKs", func(n *Namespace, row *Row) {
			fill(n, row, 38)
			n.Delta["TcpExtListenDrops"] = 60 // of 76: 16 counted twice
			row.HalfOpen, row.resent = 9, 8
		}, "full-now final-ack default-limit", []string{"about 8 handshakes the final ACK was refused"}, nil},
		{"SYN-ACKs sent again alone don't tell", func(n *Namespace, row *Row) {
			fill(n, row, 38)
			row.HalfOpen, row.resent = 9, 8
		}, "full-now default-limit", nil, []string{"final ACK"}},
		{"clamped, or Go", func(n *Namespace, row *Row) {
			fill(n, row, 1)
			row.Limit, row.Capacity, row.Depth = 4096, 4097, 4097
		}, "full-now clamped", []string{"Its limit, 4096, is net.core.somaxconn", "changes nothing until listen is called again"}, []string{"backlogprobe set :"}},
		{"clamped low", func(n *Namespace, row *Row) {
			fill(n, row, 1)
			n.Sysctls.Somaxconn = 128
			row.Limit, row.Capacity, row.Depth = 128, 129, 129
		}, "full-now clamped", []string{"sysctl -w net.core.somaxconn=4096", "backlogprobe set :8080 4096"}, nil},
		{"somaxconn was lowered", func(n *Namespace, row *Row) {
			fill(n, row, 1)
			n.Sysctls.Somaxconn = 128
		}, "full-now somaxconn-lowered", []string{"511, is above net.core.somaxconn, 128"}, nil},
		{"somaxconn is hidden", func(n *Namespace, row *Row) {
			fill(n, row, 1)
			n.Sysctls.Somaxconn = -1
		}, "full-now", nil, []string{"somaxconn"}},
		{"asked for", func(n *Namespace, row *Row) {
			fill(n, row, 1)
			row.Limit, row.Capacity, row.Depth = 77, 78, 78
		}, "full-now asked-limit", []string{"Listen was last called with 77, its limit, or somaxconn was 77 then; net.core.somaxconn, now 4096, is not the cap."}, nil},
		{"somebody else's default", func(n *Namespace, row *Row) {
			fill(n, row, 1)
			row.Limit, row.Capacity, row.Depth = 5, 6, 6
		}, "full-now asked-limit", []string{"Listen was last called with 5, its limit"}, []string{"Python"}},
		{"a hidden owner", func(n *Namespace, row *Row) {
			fill(n, row, 1)
			row.Owners = nil
		}, "full-now default-limit", []string{"default of Node, nginx, Redis and Apache"}, nil},
		{"a group", func(n *Namespace, row *Row) {
			full, free := *row, *row
			fill(n, &full, 10)
			free.Depth = 3
			fill(n, row, 10)
			row.Members = []Row{free, full}
			row.Depth, row.Limit, row.Capacity = 515, 1022, 1024
		}, "full-now default-limit", []string{"1 of 2 sockets have a full accept queue, and what is hashed to them is refused: 512 of 512 places"}, nil},
		{"unix", func(n *Namespace, row *Row) {
			fill(n, row, 0)
			row.Local, row.Port, row.Hurt, row.Proto = "/run/x", 0, nil, "unix"
		}, "full-now default-limit", []string{"connect(2) waits until a place is free", "backlogprobe set /run/x 4096"}, []string{"SYN"}},
		{"uneven", func(n *Namespace, row *Row) {
			row.Owners = []Owner{{PID: 1, Command: "nginx"}}
			for i, n := range []float64{97, 2, 1, 0} {
				row.Owners = append(row.Owners, Owner{PID: 2 + i, Parent: 1, Command: "nginx", Accepts: number(n), Share: number(n / 100), How: "counted"})
			}
			row.Owners[0].Accepts, row.Owners[0].Share, row.Owners[0].How = number(0.0), number(0.0), "counted"
		}, "uneven", []string{"4 processes share it: 97/2/1/0 % of the accepts", "Jain index 0.27", "nginx[5] takes least", "EPOLLEXCLUSIVE"}, nil},
		{"uneven, but of few", func(n *Namespace, row *Row) {
			row.Owners = []Owner{
				{PID: 1, Accepts: number(9.0), Share: number(1.0), How: "counted"},
				{PID: 2, Accepts: number(0.0), Share: number(0.0), How: "counted"},
			}
		}, "", nil, nil},
		{"SYN cookies", func(n *Namespace, row *Row) {
			n.Delta["TcpExtSyncookiesSent"] = 271
			row.HalfOpen = 512
		}, "cookies", []string{"271 SYN cookies sent", "Nobody is refused by that"}, nil},
		{"always cookies", func(n *Namespace, row *Row) {
			n.Delta["TcpExtSyncookiesSent"] = 271
			n.Sysctls.SynCookies = 2
		}, "", nil, nil},
		{"no cookies", func(n *Namespace, row *Row) {
			n.Sysctls.SynCookies = 0
			n.Delta["TcpExtTCPReqQFullDrop"], n.Delta["TcpExtListenDrops"] = 271, 271
			row.Drops, row.Dropped = 271, 271
		}, "syn-queue refusing default-limit", []string{"271 SYNs dropped", "sysctl -w net.ipv4.tcp_syncookies=1", "the accept queue is not what refused them"}, nil},
		{"abort on overflow", func(n *Namespace, row *Row) { n.Sysctls.AbortOnOverflow = 1 },
			"abort-on-overflow", []string{"gets a reset", "SYNs are dropped in silence"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := sample(tt.change)
			judge(r)
			var codes, text []string
			for _, f := range r.Findings {
				codes = append(codes, f.Code)
				text = append(append(text, f.Lines...), f.Try...)
			}
			if got := strings.Join(codes, " "); got != tt.codes {
				t.Errorf("found %q, want %q", got, tt.codes)
			}
			all := strings.Join(text, "\n")
			for _, want := range tt.says {
				if !strings.Contains(all, want) {
					t.Errorf("it doesn't say %q:\n%s", want, all)
				}
			}
			for _, no := range tt.not {
				if strings.Contains(all, no) {
					t.Errorf("it says %q:\n%s", no, all)
				}
			}
		})
	}
}

func TestTarget(t *testing.T) {
	r := &Report{Listeners: []Row{
		{Netns: host, Local: "0.0.0.0:80", Port: 80},
		{Netns: host, Local: "*:443", Port: 443},
		{Netns: "blue", Local: "0.0.0.0:81", Port: 81},
		{Netns: "pid:12(nginx)", Local: "0.0.0.0:80", Port: 80},
		{Netns: host, Local: "[::1]:82", Port: 82},
		{Netns: host, Local: "127.0.0.1:82", Port: 82},
		{Netns: host, Local: "/run/x.sock"},
	}}
	var got []string
	for i := range r.Listeners {
		got = append(got, r.Target(&r.Listeners[i]))
	}
	want := []string{":80", ":443", ":81 -N blue", ":80 -N 12", "'src [::1]:82'", "src 127.0.0.1:82", "/run/x.sock"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPermanent(t *testing.T) {
	for _, d := range defaults {
		for _, command := range d.commands {
			if command != "sshd" && !strings.Contains(Permanent(Owner{Command: command}, 4096), "4096") {
				t.Errorf("%s: %q", command, Permanent(Owner{Command: command}, 4096))
			}
		}
	}
}
