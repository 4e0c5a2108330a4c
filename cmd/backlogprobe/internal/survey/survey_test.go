package survey

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

func look(t *testing.T, s *Survey, d time.Duration) *Report {
	t.Helper()
	r, err := s.Look(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFull(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	listen(t, n, "127.0.0.1:8080", 5, false)
	listen(t, n, "127.0.0.1:9090", 100, false)
	s := open(t, n, Options{Owners: true, Sum: true})
	connect(t, n, "127.0.0.1:8080", 9)
	r := look(t, s, 1500*time.Millisecond)
	full := row(t, r, "127.0.0.1:8080")
	if full.Depth != 6 || full.Limit != 5 || full.Capacity != 6 || full.Peak != 6 || full.Fulls != 1 || full.Full == 0 {
		t.Errorf("the queue: %+v", full)
	}
	// Three SYNs were refused at once, and again after a second.
	if full.Drops < 6 || full.Dropped < 3 || full.Hurt == nil || full.Hurt.Clients < 3 || full.Hurt.How != "estimated" {
		t.Errorf("%d drops, %d in the look, hurt %+v", full.Drops, full.Dropped, full.Hurt)
	}
	if full.OldestWait == nil || *full.OldestWait < time.Second || len(full.Waiters) != 6 {
		t.Errorf("oldest %v, waiters %v", full.OldestWait, full.Waiters)
	}
	if len(full.Owners) != 1 || full.Owners[0].PID != os.Getpid() || full.Owners[0].Parent != os.Getppid() {
		t.Errorf("owners %+v", full.Owners)
	}
	if codes := findings(r, "127.0.0.1:8080"); codes[0] != "full-now" {
		t.Errorf("findings %v", codes)
	}
	quiet := row(t, r, "127.0.0.1:9090")
	if quiet.Depth+quiet.Peak+int(quiet.Drops)+quiet.Fulls != 0 || quiet.Hurt.Clients != 0 || len(findings(r, "127.0.0.1:9090")) > 0 {
		t.Errorf("the quiet one: %+v", quiet)
	}
	if r.Sampled < 1500*time.Millisecond || r.Interval < 10*time.Millisecond || len(r.Namespaces) != 1 {
		t.Errorf("the report: %+v", r)
	}
}

func TestOnce(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	listen(t, n, "127.0.0.1:8080", 0, false)
	s := open(t, n, Options{Once: true})
	connect(t, n, "127.0.0.1:8080", 1)
	var r *Report
	until(t, "the connection is in the queue", func() bool {
		r = look(t, s, 0)
		return r.Listeners[0].Depth == 1
	})
	if r.Listeners[0].Owners != nil || r.UnknownWhy["owners"] == "" || r.Listeners[0].Hurt != nil || r.UnknownWhy["clients_hurt"] == "" {
		t.Errorf("%+v", r)
	}
	if codes := findings(r, "127.0.0.1:8080"); codes[0] != "full-now" {
		t.Errorf("findings %v", codes)
	}
}

// Two sockets share a port; the kernel chooses by a hash.
func TestGroup(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	listen(t, n, "0.0.0.0:8080", 3, true)
	listen(t, n, "0.0.0.0:8080", 7, true)
	connect(t, n, "127.0.0.1:8080", 6)
	folded, each := open(t, n, Options{Sum: true, Owners: true}), open(t, n, Options{})
	until(t, "all connections are in queues", func() bool {
		return len(look(t, folded, 0).Listeners[0].Waiters) >= 4 // the smaller may be full
	})
	group := row(t, look(t, folded, 0), "0.0.0.0:8080")
	if len(group.Members) != 2 || group.Limit != 10 || group.Capacity != 12 || group.Inode != 0 || len(group.Owners) != 1 {
		t.Errorf("the group: %+v", group)
	}
	if group.Depth != group.Members[0].Depth+group.Members[1].Depth {
		t.Errorf("%d connections in queues of %d and %d", group.Depth, group.Members[0].Depth, group.Members[1].Depth)
	}
	r := look(t, each, 0)
	if len(r.Listeners) != 2 || r.Listeners[0].Members != nil || r.Listeners[0].Inode == 0 {
		t.Errorf("not folded: %+v", r.Listeners)
	}
}

func TestLocal(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	listen(t, n, "[::]:8080", 1, false)
	listen(t, n, "0.0.0.0:8081", 1, false)
	listen(t, n, "[::1]:8082", 1, false)
	listen(t, n, "[::ffff:127.0.0.1]:8083", 1, false)
	var got []string
	for _, row := range look(t, open(t, n, Options{Once: true}), 0).Listeners {
		got = append(got, row.Local)
	}
	want := []string{"*:8080", "0.0.0.0:8081", "[::1]:8082", "[::ffff:127.0.0.1]:8083"} // as of ss
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRatesAndAccepts(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	fd := listen(t, n, "127.0.0.1:8080", 100, false)
	s := open(t, n, Options{Accepts: true})
	counted := s.accepts != nil
	if !counted {
		t.Log("accepts aren't counted: no CAP_PERFMON, or no tracepoints of syscalls")
	}
	var took atomic.Int64
	stop, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if c, _, err := fd.Accept(); err == nil {
				took.Add(1)
				c.Close()
			} else {
				time.Sleep(time.Millisecond) // EAGAIN
			}
		}
	}()
	defer func() { close(stop); <-done }()
	sent := 0
	until(t, "a look counts all connections", func() bool {
		before := took.Load()
		connect(t, n, "127.0.0.1:8080", 20)
		sent += 20
		until(t, "all are accepted", func() bool { return took.Load() == int64(sent) })
		var since time.Time // the beginning of the look, for accepts
		if counted {
			since = s.accepts.since
		}
		least := time.Since(since).Seconds()
		r := look(t, s, 0)
		most := time.Since(since).Seconds()
		row := r.Listeners[0]
		if counted && before > 0 {
			o := row.Owners[0]
			if o.Accepts == nil || o.How != "counted" || *o.Share != 1 {
				t.Fatalf("the owner: %+v", o)
			}
			if *o.Accepts*least > 20.001 || *o.Accepts*most < 19.999 {
				t.Fatalf("%v accepts per second in %v to %v s, and 20 done", *o.Accepts, least, most)
			}
		}
		return row.Arrivals != nil && *row.Arrivals > 0 && *row.Accepts > 0
	})
}

func TestUnix(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	name := "@survey-test-" + strings.ReplaceAll(t.TempDir(), "/", "-")
	n.Do(func() {
		fd, err := sock.Socket(sock.Unix, sock.Stream, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fd.Close() })
		if err := fd.Bind(sock.UnixAddr(name)); err != nil {
			t.Fatal(err)
		}
		if err := fd.Listen(4); err != nil {
			t.Fatal(err)
		}
	})
	filter, err := ParseFilter([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	r := look(t, open(t, n, Options{Filter: filter}), 600*time.Millisecond)
	if len(r.Listeners) != 1 || r.Listeners[0].Proto != "unix" || r.Listeners[0].Hurt != nil || r.UnknownWhy["clients_hurt"] == "" {
		t.Errorf("%+v", r)
	}
}

// A look ends early with its context, and a reset begins peaks anew.
func TestLookEnds(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	fd := listen(t, n, "127.0.0.1:8080", 10, false)
	s := open(t, n, Options{})
	connect(t, n, "127.0.0.1:8080", 4)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	begin := time.Now()
	if _, err := s.Look(ctx, time.Hour); err != nil || time.Since(begin) > time.Minute {
		t.Fatal(err)
	}
	until(t, "the peak is 4", func() bool { return look(t, s, 0).Listeners[0].Peak == 4 })
	for range 4 {
		c, _, err := fd.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	until(t, "a sample saw the empty queue", func() bool { return look(t, s, 0).Listeners[0].Depth == 0 })
	s.Reset()
	if peak := look(t, s, 0).Listeners[0].Peak; peak != 0 {
		t.Errorf("after Reset the peak is %d", peak)
	}
}

func TestOpenMistakes(t *testing.T) {
	testleak.FDs(t)
	for _, o := range []Options{{Interval: -1}, {Netns: []string{"survey-test-none"}}, {Netns: []string{"/dev/null"}}} {
		if s, err := Open(o); err == nil {
			s.Close()
			t.Errorf("%+v opens", o)
		}
	}
}

// The names of the JSON form are a promise.
func TestJSON(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	listen(t, n, "127.0.0.1:8080", 0, true)
	listen(t, n, "127.0.0.1:8080", 0, true)
	connect(t, n, "127.0.0.1:8080", 40)
	s := open(t, n, Options{Sum: true, Owners: true})
	var r *Report
	until(t, "both queues are full", func() bool {
		r = look(t, s, 0)
		return len(r.Findings) > 0 && r.Listeners[0].Depth == 2
	})
	r.Listeners[0].Hurt = &Hurt{Worst: []Client{{}}}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	netns := v["namespaces"].([]any)[0].(map[string]any)
	listener := v["listeners"].([]any)[0].(map[string]any)
	for name, have := range map[string]any{
		"report":    v,
		"namespace": netns,
		"sysctls":   netns["sysctls"],
		"listener":  listener,
		"waiter":    listener["waiters"].([]any)[0],
		"owner":     listener["owners"].([]any)[0],
		"hurt":      listener["clients_hurt"],
		"client":    listener["clients_hurt"].(map[string]any)["worst"].([]any)[0],
		"finding":   v["findings"].([]any)[0],
	} {
		var keys []string
		for k := range have.(map[string]any) {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		if got := strings.Join(keys, " "); got != schema[name] {
			t.Errorf("%s has the fields\n\t%s\nwant\n\t%s", name, got, schema[name])
		}
	}
	if v["schema"] != Schema || listener["accept_queue"] != 2.0 || v["findings"].([]any)[0].(map[string]any)["severity"] != "critical" {
		t.Errorf("%s", b)
	}
	var back Report
	if err := json.Unmarshal(b, &back); err == nil && back.Findings[0].Severity != Critical {
		t.Errorf("read back: %+v", back.Findings[0])
	}
}

var schema = map[string]string{
	"report":    "findings interval_ns listeners namespaces sampled_ns schema time unknown_why",
	"namespace": "counters counters_delta id name sysctls",
	"sysctls":   "net.core.somaxconn net.ipv4.tcp_abort_on_overflow net.ipv4.tcp_fastopen net.ipv4.tcp_max_syn_backlog net.ipv4.tcp_migrate_req net.ipv4.tcp_synack_retries net.ipv4.tcp_syncookies",
	"listener":  "accept_queue accepts_per_second arrivals_per_second bytes_waiting capacity clients_hurt cookie drops drops_delta full_ns given_up half_open inode limit local longest_stall_ns members netns oldest_wait_ns owners peak port proto times_full waiters",
	"waiter":    "addr bytes given_up waits_ns",
	"owner":     "accepts_per_second command fd parent_pid pid share stopped",
	"hurt":      "clients final_acks_refused how longest_wait_ns worst",
	"client":    "addr path tries waits_ns",
	"finding":   "code lines local netns severity try",
}

// Containers come and go while we look.
func TestNamespacesComeAndGo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make a network namespace")
	}
	testleak.FDs(t)
	testleak.Zombies(t)
	s, err := Open(Options{AllNetns: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	spaces := func() (names []string) {
		r, err := s.Look(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range r.Namespaces {
			names = append(names, n.Name)
		}
		return names
	}
	spaces()
	child := exec.Command("sleep", "60")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("pid:%d(sleep)", child.Process.Pid)
	if got := spaces(); !slices.Contains(got, name) {
		t.Errorf("%v without %s", got, name)
	}
	child.Process.Kill()
	child.Wait()
	if got := spaces(); slices.Contains(got, name) {
		t.Errorf("%v still with %s", got, name)
	}
}
