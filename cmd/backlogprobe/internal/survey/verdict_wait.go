package survey

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"onconn/internal/words"
)

// patience is how long a connection may wait before somebody should know.
const patience = time.Second

// waiting is about a queue with room, whose connections wait all the same: their
// clients are connected, and hear nothing.
func (j *judgement) waiting(row *Row) {
	if row.OldestWait == nil || *row.OldestWait < patience {
		return
	}
	queued := fmt.Sprintf("%d connections wait", row.Depth)
	if row.Depth == 1 {
		queued = "1 connection waits"
	}
	held := ""
	if row.Members != nil {
		busy := slices.DeleteFunc(slices.Clone(row.Members), func(m Row) bool { return m.Depth == 0 })
		held = fmt.Sprintf(" in %d of %d sockets", len(busy), len(row.Members)) + heldBy(busy)
	}
	f := found(Warning, row, "waiting", fmt.Sprintf("%s to be accepted%s, the oldest for %s; the clients are connected already.",
		queued, held, words.Duration(*row.OldestWait)))
	if j.r.Sampled >= time.Second/2 && row.Accepts != nil && *row.Accepts == 0 {
		f.Lines = append(f.Lines, j.nothingAccepted(row))
	} else if stopped(row) {
		f.Lines = append(f.Lines, "A process that holds it is stopped, by a signal or a debugger.")
	}
	f.Try = []string{"backlogprobe top " + j.target(row)}
	j.add(f)
}

// slowMember is about a group in which others have room: what it accepts in all
// says nothing about the member that is full.
func (j *judgement) slowMember(row *Row, full []Row) Finding {
	holders := heldBy(full)
	if holders != "" {
		holders += ","
	}
	f := found(Critical, row, "slow-member", fmt.Sprintf("The other %s room, but the kernel goes on sending what is full%s its share.",
		have(len(row.Members)-len(full)), holders))
	if slices.ContainsFunc(full, func(m Row) bool { return stopped(&m) }) {
		f.Lines = append(f.Lines, "A process that holds it is stopped, by a signal or a debugger.")
	}
	f.Lines = append(f.Lines, "A larger backlog only lets more clients wait there, until its holder accepts again.")
	f.Try = []string{"backlogprobe top " + j.target(row)}
	return f
}

func fullMembers(row *Row) (full []Row) {
	for _, m := range row.Members {
		if m.Depth >= m.Capacity {
			full = append(full, m)
		}
	}
	return full
}

func have(sockets int) string {
	if sockets == 1 {
		return "socket has"
	}
	return fmt.Sprintf("%d have", sockets)
}

// heldBy names the holders of a few sockets.
func heldBy(sockets []Row) string {
	const most = 4
	var names []string
	for _, m := range sockets {
		for _, o := range m.Owners {
			names = append(names, fmt.Sprintf("%s[%d] fd %d", o.Command, o.PID, o.FD))
		}
	}
	if len(names) == 0 || len(names) > most {
		return ""
	}
	return ", held by " + strings.Join(names, ", ")
}

func stopped(row *Row) bool {
	return slices.ContainsFunc(row.Owners, func(o Owner) bool { return o.Stopped })
}
