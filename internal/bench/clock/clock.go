// Package clock says what CPU time and memory processes have used, from outside.
package clock

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	_ "onconn/internal/linux"
)

// Tree is a process and all that descend from it.
func Tree(pid int) []int {
	pids := []int{pid}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for _, s := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(s); err == nil {
				pids = append(pids, Tree(child)...)
			}
		}
	}
	slices.Sort(pids)
	return pids
}

// CPU is what the processes have used since they began, threads that ended included,
// in nanoseconds as the scheduler counts them: /proc/PID/stat has only ticks of 10 ms.
// See clock_getcpuclockid(3).
func CPU(pids []int) (total time.Duration, err error) {
	for _, pid := range pids {
		const sched = 2 // CPUCLOCK_SCHED
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
			return 0, fmt.Errorf("the clock of process %d: %w", pid, err)
		}
		total += time.Duration(t.Nano())
	}
	return total, nil
}

// Anonymous is the memory that the processes have for themselves, in bytes: RssAnon of
// proc(5), that is without files and without what is the kernel's.
func Anonymous(pids []int) (total int64, err error) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		_, after, found := strings.Cut(string(text), "\nRssAnon:")
		if !found {
			return 0, fmt.Errorf("/proc/%d/status has no RssAnon", pid)
		}
		var kB int64
		if _, err := fmt.Sscan(after, &kB); err != nil {
			return 0, err
		}
		total += kB << 10
	}
	return total, nil
}

// A Machine is the time that CPUs together have spent, see proc(5), /proc/stat.
type Machine struct{ Busy, Stolen time.Duration }

// Now reads it for the given CPUs, in ticks of 10 ms each.
func Now(cpus *unix.CPUSet) (m Machine, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m, err
	}
	const tick = 10 * time.Millisecond
	found := 0
	for line := range strings.Lines(string(text)) {
		var cpu int
		var user, nice, system, idle, iowait, irq, softirq, steal time.Duration
		_, err := fmt.Sscanf(line, "cpu%d %d %d %d %d %d %d %d %d", &cpu, &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal)
		if err != nil || !cpus.IsSet(cpu) { // the first line is the sum
			continue
		}
		found++
		m.Busy += (user + nice + system + irq + softirq) * tick
		m.Stolen += steal * tick
	}
	if found != cpus.Count() {
		return m, fmt.Errorf("/proc/stat has %d of %d CPUs", found, cpus.Count())
	}
	return m, nil
}
