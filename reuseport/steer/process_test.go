package steer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/fdpass"
	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/reuseport"
	"onconn/reuseport/internal/churn"
	"onconn/sock"
)

const nobody = 65534

func init() {
	children["unprivileged"] = unprivileged
	children["supported"] = func() { fmt.Println(Supported()) }
	children["worker"] = worker
}

// start runs the test binary in a role as nobody, with these capabilities.
func start(t *testing.T, role string, caps []uintptr, give ...*os.File) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	cmd := exec.Command(testBinary(t))
	cmd.Env = append(os.Environ(), "STEER_TEST_CHILD="+role)
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = give
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: caps,
	}
	return cmd
}

// testBinary is a copy of the test binary that any user can run.
func testBinary(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "steer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := dir + "/steer.test"
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(name, self, 0o755)); err != nil {
		t.Fatal(err)
	}
	return name
}

// What needs no privilege works for nobody; the rest says which it lacks.
func TestUnprivileged(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	out, err := start(t, "unprivileged", nil).Output()
	if err != nil || strings.TrimSpace(string(out)) != "fine" {
		t.Errorf("%s %v", out, err)
	}
}

func unprivileged() {
	fail := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	if err := Supported(); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_BPF") {
		fail(fmt.Errorf("supported for nobody: %w", err))
	}
	for _, s := range []reuseport.Steering{reuseport.Hash{}, reuseport.Weighted{}, reuseport.ByCPU{}, reuseport.IncomingCPU{}} {
		g, err := reuseport.Config{Steering: s}.Listen(context.Background(), "tcp", "127.0.0.1:0", 2+churn.Members())
		if errors.Is(err, unix.EOPNOTSUPP) {
			continue // IncomingCPU before Linux 6.2
		}
		fail(err)
		fail(g.SetAway(g.Member(2), true))
		r, err := g.Drain(context.Background(), g.Member(1), reuseport.Drain{Take: func(fd sock.FD, _ sock.Addr) { fd.Close() }})
		fail(err)
		if r.Queued+r.HalfOpen != 0 {
			fail(fmt.Errorf("%v", r))
		}
		_, err = g.Outsiders()
		fail(err)
		fail(g.Close())
	}
	fmt.Println("fine")
}

// CAP_BPF is enough.
func TestCapability(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	newProgram(t, Config{}) // or skip
	out, err := start(t, "supported", []uintptr{unix.CAP_BPF}).Output()
	if err != nil || strings.TrimSpace(string(out)) != "<nil>" {
		t.Errorf("with CAP_BPF: %s %v", out, err)
	}
	out, err = start(t, "supported", []uintptr{unix.CAP_NET_ADMIN}).Output()
	if err != nil || !strings.Contains(string(out), "needs CAP_BPF") {
		t.Errorf("with CAP_NET_ADMIN: %s %v", out, err)
	}
}

// A worker without privileges accepts, publishes and steers by what it received.
func TestWorkers(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	p := newProgram(t, Config{Policy: LeastLoaded, HangAfter: time.Hour})
	g := newGroup(t, p, 2)
	ours, theirs, err := sock.Pair(sock.SeqPacket)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	file := os.NewFile(uintptr(theirs), "channel")
	defer file.Close()
	cmd := start(t, "worker", nil, file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	slot, _ := p.Slot(1)
	fds := p.Descriptors()
	if err := fdpass.Send(ours, []byte{byte(slot)}, append(fds[:], g.Member(1).Descriptor(), g.Member(2).Descriptor())...); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := out.Read(buf)
	if err != nil || string(buf[:n]) != "ready\n" {
		t.Fatalf("the worker says %q, %v", buf[:n], err)
	}
	// It has beaten, and has said that it has five connections.
	if beat := p.board.find(1).beat.Load(); beat == 0 || beat > monotonic.now() {
		t.Errorf("the worker's heartbeat is %d, now is %d", beat, monotonic.now())
	}
	if n := p.Load(1); n != 5 {
		t.Errorf("the worker's load is %d", n)
	}
	for range 5 {
		burst(t, g, 1)
	}
	if q, err := g.Member(2).Queue(); err != nil || q.Depth != 5 {
		t.Errorf("of five, the other has %d, %v", q.Depth, err)
	}
	// Then it has steered away from its own member, and ends.
	if err := fdpass.Send(ours, []byte("x")); err != nil {
		t.Fatal(err)
	}
	n, err = out.Read(buf)
	if err != nil || string(buf[:n]) != "away\n" {
		t.Fatalf("the worker says %q, %v", buf[:n], err)
	}
	burst(t, g, 6)
	if q, err := g.Member(2).Queue(); err != nil || q.Depth != 11 {
		t.Errorf("of six, the other has %d, %v", q.Depth-5, err)
	}
	ours.Shutdown(unix.SHUT_RDWR)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func worker() {
	fail := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	var payload [10]byte
	fds := make([]sock.FD, 5)
	fail(unix.SetNonblock(3, false))
	_, n, err := fdpass.Receive(3, payload[:], fds)
	fail(err)
	if n != len(fds) {
		fail(fmt.Errorf("%d descriptors", n))
	}
	p, err := Open(fds[0], fds[1], fds[2])
	fail(err)
	pub, err := OpenPublisher(fds[2], int(payload[0]))
	fail(err)
	ln, err := listen.Config{Counters: pub.Counters()}.Own(fds[3])
	fail(err)
	defer ln.Close()
	pub.Beat()
	pub.Counters().Active.Store(5)
	fmt.Println("ready")

	_, _, err = fdpass.Receive(3, payload[:], nil)
	fail(err)
	fail(p.Steer([]reuseport.Place{
		{ID: 1, Socket: fds[3], Weight: 1, Away: true},
		{ID: 2, Socket: fds[4], Weight: 1},
	}))
	fmt.Println("away")
	fdpass.Receive(3, payload[:], nil) // the end
}

// Open refuses what is no board.
func TestOpenRefuses(t *testing.T) {
	testleak.FDs(t)
	p := newProgram(t, Config{Members: 3})
	fds := p.Descriptors()
	if _, err := OpenPublisher(fds[0], 0); err == nil {
		t.Error("a program is no board")
	}
	for _, slot := range []int{-1, 3} {
		if _, err := OpenPublisher(fds[2], slot); !errors.Is(err, unix.EINVAL) {
			t.Errorf("slot %d: %v", slot, err)
		}
	}
	dups := make([]sock.FD, 3)
	for i := range dups {
		var err error
		if dups[i], err = fds[i].Dup(); err != nil {
			t.Fatal(err)
		}
	}
	other, err := Open(dups[0], dups[1], dups[2])
	if err != nil || other.String() != p.String() {
		t.Fatalf("%v, %v", other, err)
	}
	if err := other.Close(); err != nil || !errors.Is(other.Close(), os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
