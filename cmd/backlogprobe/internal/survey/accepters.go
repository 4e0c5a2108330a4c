package survey

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"time"
)

// accepters says which share of the connections each owner takes: by its
// accepts, or where those aren't counted by the connections that it holds.
func (s *Survey) accepters(rows []Row, r *Report) {
	if !s.options.Accepts || s.options.Once {
		return
	}
	seconds := 0.0
	if s.accepts != nil {
		seconds = time.Since(s.accepts.since).Seconds()
	}
	for i := range rows {
		row := &rows[i]
		counted := s.accepts != nil && seconds > 0 && s.counted(row, seconds)
		if !counted && len(row.Owners) > 1 && row.Port != 0 {
			held(row)
		}
		if !counted && len(row.Owners) > 0 {
			r.UnknownWhy["owners.accepts_per_second"] = "needs CAP_PERFMON: run as root"
		}
	}
}

// counted fills in the accepts of all owners, if they are all known.
func (s *Survey) counted(row *Row, seconds float64) bool {
	counts := make([]float64, len(row.Owners))
	total := 0.0
	for i, o := range row.Owners {
		s.accepts.follow(o.PID)
		n, ok := s.accepts.count(o.PID)
		if !ok {
			return false
		}
		counts[i] = float64(n)
		total += counts[i]
	}
	for i := range row.Owners {
		o := &row.Owners[i]
		perSecond := counts[i] / seconds
		o.Accepts, o.How = &perSecond, "counted"
		if total > 0 {
			share := counts[i] / total
			o.Share = &share
		}
	}
	return true
}

// held fills in the shares of the port's connections that each owner holds.
func held(row *Row) {
	inodes := connections(row.Owners[0].PID, row.Port)
	if len(inodes) == 0 {
		return
	}
	counts := make([]float64, len(row.Owners))
	total := 0.0
	for i, o := range row.Owners {
		counts[i] = float64(holds(o.PID, inodes))
		total += counts[i]
	}
	if total == 0 {
		return
	}
	for i := range row.Owners {
		share := counts[i] / total
		row.Owners[i].Share, row.Owners[i].How = &share, "held"
	}
}

// connections are the accepted connections of a port, as a process sees them: in
// its network namespace, which anybody may read.
func connections(pid, port int) map[string]bool {
	inodes := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/net/" + table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			const local, state, inode = 1, 3, 9
			if len(fields) <= inode || fields[state] == "0A" || fields[inode] == "0" {
				continue // a listener, or not accepted
			}
			_, hex, _ := strings.Cut(fields[local], ":")
			if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
				inodes["socket:["+fields[inode]+"]"] = true
			}
		}
		f.Close()
	}
	return inodes
}

// holds counts the descriptors of a process that are among some sockets.
func holds(pid int, inodes map[string]bool) (n int) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	fds, _ := os.ReadDir(dir)
	for _, fd := range fds {
		if target, err := os.Readlink(dir + "/" + fd.Name()); err == nil && inodes[target] {
			n++
		}
	}
	return n
}
