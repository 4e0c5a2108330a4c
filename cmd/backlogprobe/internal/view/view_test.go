package view

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
)

func number[T any](n T) *T { return &n }

func report() *survey.Report {
	nginx := survey.Row{Netns: "host", Proto: "tcp6", Local: "*:443", Port: 443, Limit: 8192, Capacity: 8194, Peak: 61, HalfOpen: 12, Accepts: number(8100.0)}
	for i := range 2 {
		nginx.Members = append(nginx.Members, survey.Row{Limit: 4096, Capacity: 4097, Peak: 61 * i, Inode: uint32(i)})
	}
	for i := range 4 {
		nginx.Owners = append(nginx.Owners, survey.Owner{PID: 812 + i, Command: "nginx"})
	}
	return &survey.Report{
		Sampled: 2 * time.Second, Interval: 10 * time.Millisecond,
		Namespaces: []survey.Namespace{{Name: "host", Sysctls: backlog.Sysctls{Somaxconn: 4096}}},
		Listeners: []survey.Row{
			nginx,
			{Netns: "host", Proto: "tcp6", Local: "[2001:db8:1234:5678:9abc:def0:1234:5678]:5432", Port: 5432, Limit: 4096, Capacity: 4097},
			{Netns: "host", Proto: "tcp", Local: "0.0.0.0:8080", Port: 8080, Depth: 512, Limit: 511, Capacity: 512, Peak: 512, Drops: 3378,
				HalfOpen: 9, Accepts: number(54.5), OldestWait: number(9400 * time.Millisecond),
				Hurt: &survey.Hurt{Clients: 38, How: "estimated"}, Owners: []survey.Owner{{PID: 27605, Command: "node\x1b[2J", FD: 21}}},
		},
		Findings: []survey.Finding{
			{Severity: survey.Critical, Netns: "host", Local: "0.0.0.0:8080", Code: "full-now", Lines: []string{strings.Repeat("Accept queue full. ", 9)}, Try: []string{"backlogprobe advise :8080"}},
			{Severity: survey.OK, Netns: "host", Local: "0.0.0.0:8080", Code: "default-limit", Lines: []string{"511 is a default."}, Try: []string{"backlogprobe advise :8080", "backlogprobe set :8080 4096"}},
			{Severity: survey.Warning, Netns: "host", Local: "*:443", Code: "uneven", Lines: []string{"Uneven."}},
			{Severity: survey.Warning, Netns: "host", Code: "cookies", Lines: []string{"Cookies."}},
		},
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	hidden := Table(&b, report(), Options{Style: terminal.Style{Width: 100}})
	want := `State  Recv-Q Send-Q Local Address:Port Peak Full Drops SynQ Conn/s Wait Process
LISTEN    512    511 0.0.0.0:8080        512 100%  3378    9   54.5 9.4s node?[2J[27605]           ✗
LISTEN      0   4096 *:443                61   1%     0   12   8100    - nginx[812..815] ×4, 2 so… !
`
	if b.String() != want || hidden != 1 {
		t.Errorf("%d hidden\n%s\nwant\n%s", hidden, b.String(), want)
	}
	b.Reset()
	Table(&b, report(), Options{Style: terminal.Style{Width: 100, ASCII: true}, NoHeader: true, SS: true, Fields: []string{"local", "hurt", "process"}})
	want = `0.0.0.0:8080 ~38 users:(("node?[2J",pid=27605,fd=21))                                              x
*:443          - users:(("nginx",pid=812,fd=0),("nginx",pid=813,fd=0),("nginx",pid=814,fd=0),("ng~ !
`
	if b.String() != want {
		t.Errorf("\n%s\nwant\n%s", b.String(), want)
	}
}

// If all is quiet, all is shown.
func TestTableQuiet(t *testing.T) {
	r := report()
	r.Listeners, r.Findings = r.Listeners[1:2], nil
	var b bytes.Buffer
	if hidden := Table(&b, r, Options{Style: terminal.Style{Width: 100}}); hidden != 0 || strings.Count(b.String(), "\n") != 2 {
		t.Errorf("%d hidden\n%s", hidden, b.String())
	}
}

// No line of anything is wider than the terminal, but for a word that is.
// Thousands of quiet listeners don't flood the screen.
func TestTableManyQuiet(t *testing.T) {
	var b strings.Builder
	r := &survey.Report{Listeners: make([]survey.Row, 250)}
	if hidden := Table(&b, r, Options{Style: terminal.Style{Width: 80}, NoHeader: true}); hidden != 150 || strings.Count(b.String(), "\n") != 100 {
		t.Errorf("%d hidden, %d shown", hidden, strings.Count(b.String(), "\n"))
	}
}

func TestWidth(t *testing.T) {
	for _, width := range []int{60, 80, 100, 132} {
		for _, colour := range []bool{false, true} {
			s := terminal.Style{Width: width, Colour: colour}
			for _, fields := range [][]string{nil, Fields()} {
				var b bytes.Buffer
				r := report()
				r.Listeners[2].Local = "/run/" + strings.Repeat("x", 90)
				Table(&b, r, Options{Style: s, All: true, Fields: fields})
				Footer(&b, r, s, 3)
				Findings(&b, r, s, true)
				Details(&b, r, s)
				for line := range strings.Lines(b.String()) {
					if n := terminal.Cells(strings.TrimSuffix(line, "\n")); n > width && len(strings.Fields(line)) > 1 {
						t.Errorf("width %d, but %d: %q", width, n, line)
					}
				}
				if colour != strings.Contains(b.String(), "\x1b[") {
					t.Errorf("colour %v: %q", colour, b.String())
				}
			}
		}
	}
}

func TestFindings(t *testing.T) {
	var b bytes.Buffer
	Findings(&b, report(), terminal.Style{Width: 80}, false)
	want := `✗ :8080       Accept queue full. Accept queue full. Accept queue full. Accept
              queue full. Accept queue full. Accept queue full. Accept queue
              full. Accept queue full. Accept queue full.
              511 is a default.
              try  backlogprobe advise :8080
                   backlogprobe set :8080 4096
! :443        Uneven.
! netns host  Cookies.
`
	if b.String() != want {
		t.Errorf("\n%s\nwant\n%s", b.String(), want)
	}
}

// What is not wrong is counted rather than told where there is much of it.
func TestFindingsCalm(t *testing.T) {
	r := &survey.Report{}
	for i := range mostCalm + 1 {
		r.Findings = append(r.Findings, survey.Finding{Local: fmt.Sprintf("0.0.0.0:%d", i), Code: "drops", Lines: []string{"3 refusals."}})
	}
	var few, all bytes.Buffer
	Findings(&few, r, terminal.Style{Width: 80}, false)
	Findings(&all, r, terminal.Style{Width: 80}, true)
	if !strings.HasPrefix(few.String(), "  6 listeners refused") || strings.Count(all.String(), "3 refusals") != 6 {
		t.Errorf("%s\n%s", few.String(), all.String())
	}
}

func TestProcesses(t *testing.T) {
	owners := func(pids ...int) (all []survey.Owner) {
		for _, pid := range pids {
			all = append(all, survey.Owner{PID: pid, Command: "w", FD: 3})
		}
		return all
	}
	for _, tt := range []struct {
		owners []survey.Owner
		want   string
	}{
		{nil, "-"},
		{owners(7), "w[7] fd=3"},
		{owners(7, 8), "w[7,8] ×2"},
		{owners(9, 7, 8), "w[7..9] ×3"},
		{owners(7, 9, 10, 11, 20), "w[7,9..11,20] ×5"},
		{append(owners(7), survey.Owner{PID: 1, Command: "systemd"}), "w[7] systemd[1] ×2"},
	} {
		if got := Processes(&survey.Row{Owners: tt.owners}, terminal.Style{}, true); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
