package survey

import (
	"os"
	"strconv"
	"strings"
)

// A process is what /proc says of an owner besides its name.
type process struct {
	parent  int
	stopped bool
}

// processes reads each process once.
type processes map[int]process

func (p processes) get(pid int) process {
	known, ok := p[pid]
	if !ok {
		known = stat(pid)
		p[pid] = known
	}
	return known
}

// stat reads /proc/PID/stat. The name there may hold anything, even parentheses.
func stat(pid int) process {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	text := string(b)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return process{}
	}
	parent, _ := strconv.Atoi(fields[1])
	return process{parent: parent, stopped: fields[0] == "T" || fields[0] == "t"}
}
