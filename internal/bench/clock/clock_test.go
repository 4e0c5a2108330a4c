package clock

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// shell runs a script in a process group, which ends with the test.
func shell(t *testing.T, script string) (pid int) {
	t.Helper()
	testleak.FDs(t)
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	return cmd.Process.Pid
}

func TestTree(t *testing.T) {
	pid := shell(t, `sh -c 'sleep 60; :' & sleep 60; :`)
	until(t, "it never has three descendants", func() bool { return len(Tree(pid)) == 4 })
}

func TestCPU(t *testing.T) {
	burns, sleeps := shell(t, "while :; do :; done"), shell(t, "sleep 60; :")
	until(t, "one that burns has no CPU time", func() bool {
		d, err := CPU([]int{burns})
		return err == nil && d > 50*time.Millisecond
	})
	idle, err := CPU([]int{sleeps})
	if err != nil {
		t.Fatal(err)
	}
	both, err := CPU([]int{burns, sleeps})
	if err != nil || both < 50*time.Millisecond+idle {
		t.Errorf("%v, of which one that sleeps has %v: %v", both, idle, err)
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	if d, err := CPU([]int{ended.Process.Pid}); err == nil {
		t.Errorf("one that has ended has used %v", d)
	}
}

// TestDeadThreads: what a thread has used isn't lost with it.
func TestDeadThreads(t *testing.T) {
	before, err := CPU([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	burnt, over := make(chan time.Duration), make(chan struct{})
	defer close(over)
	tid := 0
	var burn func()
	burn = func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if tid = unix.Gettid(); tid == os.Getpid() {
			defer runtime.UnlockOSThread() // but the first thread never ends
			go burn()
			<-over
			return
		}
		var began, now unix.Timespec // the thread may have run something else before
		unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &began)
		for now.Nano() < began.Nano()+int64(50*time.Millisecond) {
			unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now)
		}
		burnt <- time.Duration(now.Nano() - began.Nano())
	}
	go burn()
	d := <-burnt
	until(t, "the thread is still there", func() bool { return unix.Tgkill(os.Getpid(), tid, 0) == unix.ESRCH })
	after, err := CPU([]int{os.Getpid()})
	if err != nil || after-before < d {
		t.Errorf("%v, a thread had %v: %v", after-before, d, err)
	}
}

func TestAnonymous(t *testing.T) {
	before, err := Anonymous([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	const size = 256 << 20 // far more than the rest of this process
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	after, err := Anonymous([]int{os.Getpid()})
	if err != nil || after-before < size*3/4 || after-before > size*5/4 {
		t.Errorf("%d bytes more, want %d: %v", after-before, size, err)
	}
	if _, err := Anonymous([]int{0}); err == nil {
		t.Error("process 0 has memory")
	}
}

func TestNow(t *testing.T) {
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		t.Fatal(err)
	}
	shell(t, "while :; do :; done")
	before, err := Now(&cpus)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "a machine with a process that burns isn't busy", func() bool {
		now, err := Now(&cpus)
		return err == nil && now.Busy >= before.Busy+50*time.Millisecond
	})
	var none unix.CPUSet
	if now, err := Now(&none); err != nil || now != (Machine{}) {
		t.Errorf("no CPU has %v: %v", now, err)
	}
	none.Set(1023)
	if _, err := Now(&none); err == nil {
		t.Error("there is a CPU 1023")
	}
}
