package serve_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"onconn/internal/testleak"
)

// A path is a server, and what each of its processes needs for a connection: of the one
// that is started, and of its worker.
type path struct {
	name   string
	http   bool
	limits []string
}

// What was measured, with one connection at a time. That is the dearest case: each costs a
// wait, and where no loop asks epoll instead an accept4 (or recvmsg) that finds nothing,
// which connections share in bursts.
// When a path gets cheaper, lower its numbers: they are what keeps it so. C's epoll loop
// needs "accept4 2 close 1 epoll_wait 1", and for HTTP "read 1 write 1" besides.
//
// Waits of the runtime's poller come in several for each connection: a loop asks its own
// epoll instance before and after it sleeps, the runtime asks its own twice. A primary
// looks after its workers up to a hundred times a second, connections or not.
// net/http's read in the background joins the runtime's poller (epoll_ctl, fcntl, read) if
// it begins before the answer has been written.
var paths = []path{
	{"loop-close", false, []string{"accept4 1 close 1 epoll_pwait 4"}},
	{"listen-close", false, []string{"accept4 2 fcntl 1 getsockopt 1 close 1 epoll_pwait 1.5"}},
	{"loop-http", true, []string{"accept4 1 read 1 write 1 close 1 epoll_pwait 4"}},
	{"listen-nethttp", true, []string{"accept4 2 fcntl 1.5 epoll_ctl 1 read 2 write 1 getsockopt 1 close 1 epoll_pwait 3"}},
	{"handoff", true, []string{
		"accept4 1 sendmsg 1 close 1 epoll_pwait 4",
		"recvmsg 1 getrlimit 1 fstat 1 read 1 write 1 close 1 epoll_pwait 4"}},
	{"rr-loop", true, []string{
		"accept4 1 sendmsg 1 close 1 epoll_pwait 4.5",
		"recvmsg 2 getrlimit 2 fstat 1 getsockopt 1 read 1 write 1 close 1 epoll_pwait 2"}},
	{"rr-nethttp", true, []string{
		"accept4 1 sendmsg 1 close 1 epoll_pwait 4.5",
		"recvmsg 2 getrlimit 2 fstat 1.5 fcntl 1 epoll_ctl 1 read 2 write 1 getsockopt 2 close 1 epoll_pwait 4"}},
	{"shared-nethttp", true, []string{
		"epoll_pwait 2 getsockopt 0.5",
		"accept4 2 fcntl 1 epoll_ctl 3 read 2 write 1 getsockopt 1 close 1 epoll_pwait 3"}},
	{"reuseport-nethttp", true, []string{
		"epoll_pwait 2 getsockopt 0.5",
		"accept4 2 recvmsg 2 getrlimit 2 fstat 1.5 fcntl 1 epoll_ctl 1 read 2 write 1 getsockopt 2 close 1 epoll_pwait 4"}},
}

// slack is for what isn't done for connections. A call more for each of them is more.
const slack = 0.6

// TestSyscalls counts the system calls of each of our paths, and fails when one needs
// more than it did. Unlike times, counts don't depend on what else the machine does, or
// little: one good count of three is enough.
func TestSyscalls(t *testing.T) {
	for _, p := range paths {
		t.Run(p.name, func(t *testing.T) {
			var excess []string
			for range 3 {
				if excess = p.excess(t); len(excess) == 0 {
					return
				}
			}
			t.Errorf("more than before: %s", strings.Join(excess, ", "))
		})
	}
}

// excess counts, and returns what is over the limits.
func (p path) excess(t *testing.T) (excess []string) {
	testleak.FDs(t)
	testleak.Zombies(t)
	s := start(t, p.name)
	ask := s.closed
	if p.http {
		ask = s.answered
	}
	ask(t)
	pids := append([]int{s.pid}, children(t, s.pid)...)
	if len(pids) != len(p.limits) {
		t.Fatalf("it is %d processes, limits are for %d", len(pids), len(p.limits))
	}
	counters := make([]*counter, len(pids))
	for i, pid := range pids {
		counters[i] = attach(t, pid)
	}
	const n = 300
	for range n {
		ask(t)
	}
	for i, c := range counters {
		got, limit := c.perConnection(t, n), parseCalls(t, p.limits[i])
		t.Logf("process %d: %s", i, got)
		for name, k := range got {
			if k > limit[name]+slack {
				excess = append(excess, fmt.Sprintf("%s %.2f in process %d", name, k, i))
			}
		}
	}
	return excess
}

// calls are numbers for each connection.
type calls map[string]float64

func (c calls) sum() (sum float64) {
	for _, n := range c {
		sum += n
	}
	return sum
}

func (c calls) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.2f:", c.sum())
	for _, name := range slices.SortedFunc(maps.Keys(c), func(x, y string) int { return cmp.Compare(c[y], c[x]) }) {
		if c[name] >= 0.01 {
			fmt.Fprintf(&b, " %s %.2f", name, c[name])
		}
	}
	return b.String()
}

// ofTheRuntime are calls with which Go manages threads, time and memory. How many
// there are depends on how long everything takes.
var ofTheRuntime = strings.Fields(`futex nanosleep clock_nanosleep sched_yield sched_getaffinity madvise mmap
	munmap mprotect rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack tgkill getpid gettid clone clone3 exit
	restart_syscall set_robust_list rseq setitimer timer_create timer_settime timer_delete prctl`)

// parseCalls parses "accept4 2 close 1".
func parseCalls(t *testing.T, s string) calls {
	t.Helper()
	c := calls{}
	words := strings.Fields(s)
	for i := 0; i < len(words); i += 2 {
		k, err := strconv.ParseFloat(words[i+1], 64)
		check(t, err)
		c[words[i]] = k
	}
	return c
}

// otherNames are those of the same work elsewhere: on other architectures, and with flags.
var otherNames = map[string]string{
	"epoll_wait": "epoll_pwait", "prlimit64": "getrlimit", "newfstatat": "fstat", "statx": "fstat", "recvfrom": "read", "sendto": "write",
}
