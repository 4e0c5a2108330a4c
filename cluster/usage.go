package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// usage is the CPU time of a process and its resident memory in bytes, from
// proc_pid_stat(5); zero for one that is gone.
func usage(pid int) (cpu time.Duration, rss int64) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// The name, in parentheses, may contain anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime, resident = 14 - 3, 15 - 3, 24 - 3 // from the third one on
	if len(fields) <= resident {
		return 0, 0
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(string(fields[i]), 10, 64)
		return n
	}
	const perTick = time.Second / 100 // USER_HZ
	return time.Duration(number(utime)+number(stime)) * perTick, number(resident) * int64(os.Getpagesize())
}
