package clock

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"onconn/internal/testleak"
)

// TestCPU: a child that burns CPU time, in a thread that has ended too, is seen from
// outside as it is by wait4.
func TestCPU(t *testing.T) {
	testleak.Zombies(t)
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; read x; exit 0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := Tree(cmd.Process.Pid)
	before, err := CPU(pids)
	if err != nil {
		t.Error(err)
	}
	var b [8]byte
	out.Read(b[:]) // it has burnt
	after, err := CPU(pids)
	if err != nil {
		t.Error(err)
	}
	memory, err := Anonymous(pids)
	if err != nil || memory <= 0 || memory > 1<<30 {
		t.Errorf("memory of a shell: %d, %v", memory, err)
	}
	in.Close()
	cmd.Wait()
	total := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if after <= before || after > total+20*time.Millisecond || total-after > 20*time.Millisecond {
		t.Errorf("it had %v, then %v; wait4 says %v", before, after, total)
	}
	if _, err := CPU(pids); err == nil {
		t.Error("the clock of a process that has ended")
	}
	if _, err := Anonymous(pids); err == nil {
		t.Error("the memory of a process that has ended")
	}
}

func TestTree(t *testing.T) {
	testleak.Zombies(t)
	cmd := exec.Command("sh", "-c", "sleep 60 & echo $!; read x; kill $!; wait")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var b [16]byte
	out.Read(b[:])
	if pids := Tree(cmd.Process.Pid); len(pids) != 2 || !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("a shell and its child are %v", pids)
	}
	if !slices.Contains(Tree(os.Getpid()), cmd.Process.Pid) {
		t.Error("this process has no child")
	}
	in.Close()
	cmd.Wait()
}

func TestMachine(t *testing.T) {
	before, err := Now()
	if err != nil || before.Busy <= 0 {
		t.Fatal(before, err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		now, err := Now()
		if err != nil {
			t.Fatal(err)
		}
		if now.Busy > before.Busy {
			return
		}
		if time.Now().After(end) {
			t.Fatal("this loop takes no CPU time")
		}
	}
}
