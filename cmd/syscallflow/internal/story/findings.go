package story

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"onconn/internal/words"
)

// findings say how the program shares its connections, and what went wrong.
func (t *teller) findings() (findings []Finding) {
	say := func(state State, format string, values ...any) {
		findings = append(findings, Finding{fmt.Sprintf(format, values...), state})
	}
	accepts := map[int]int{} // process: connections
	served := map[int]int{}
	failed := map[string]int{}
	for i := range t.r.Calls {
		c := &t.r.Calls[i]
		if (c.Name == "accept" || c.Name == "accept4") && c.Errno == "" && c.New != nil {
			accepts[c.PID]++
			if s := c.New.Socket; len(t.passed[s]) == 0 {
				served[c.PID]++
			}
		}
		if c.Errno != "" && (c.Name == "bind" || c.Name == "listen") {
			failed[c.Name+": "+c.Errno]++
		}
	}
	handed := 0
	for id, ways := range t.passed {
		if t.class[id] != accepted {
			continue
		}
		handed++
		last := 0
		for _, to := range ways {
			if len(t.passed[id]) == 1 || ways[to] == 0 {
				last = to
			}
		}
		served[last]++
	}
	for _, what := range sorted(failed) {
		say(Failed, "%s (%s).", what, words.Count(failed[what], "time"))
	}
	switch groups := t.groups(); {
	case handed > 0:
		var idle []int
		for pid := range served {
			if pid != 0 && accepts[pid] == 0 && t.idle(pid) {
				idle = append(idle, pid)
			}
		}
		say(Well, "Handed over: %s accepted and passed on %s.", t.names(accepts), words.Count(handed, "connection"))
		if len(idle) > 0 {
			slices.Sort(idle)
			say(Well, "%s never called bind, listen or accept.", t.list(idle))
		}
	case len(groups) > 0 && len(accepts) > 1:
		say(Well, "SO_REUSEPORT: %s have a queue each; the kernel's hash shared the connections out.", groups)
	case len(accepts) > 1:
		way := "inherited"
		for id := range t.passed {
			if cl := t.class[id]; cl == listener || cl == bound {
				way = "passed by SCM_RIGHTS"
			}
		}
		say(Well, "Shared: %d processes accept from one queue, on a listener that was %s; whoever comes first gets the connection.", len(accepts), way)
	case len(accepts) == 1:
		for _, n := range accepts {
			say(Well, "One process: %s accepted %s and passed none on.", t.names(accepts), words.Count(n, "connection"))
		}
	}
	if len(served) > 1 {
		say(Well, "Connections served: %s.", t.shares(served))
	}
	herd := 0
	for i := range t.events {
		if t.events[i].sit == "herd" && !t.events[i].hidden {
			herd += t.events[i].times
		}
	}
	if herd > 0 {
		say(Odd, "%s woke for nothing: EAGAIN.", words.Count(herd, "accept"))
	}
	refused, overflow := 0, 0
	for _, c := range t.conns {
		if c.syns > 1 {
			refused++
		}
		if c.overflow {
			overflow++
		}
	}
	if refused > 0 {
		say(Odd, "%s had to send SYN again.", words.Count(refused, "client"))
	}
	if overflow > 0 {
		say(Failed, "%s overflowed the accept queue: connected, as they believe, and not known to the server.", words.Count(overflow, "handshake"))
	}
	return findings
}

// groups describes addresses on which several sockets listen.
func (t *teller) groups() string {
	n := map[string]int{}
	for _, s := range t.listeners {
		if s.Local != "" && strings.HasPrefix(s.Family, "AF_INET") {
			n[s.Local]++
		}
	}
	for _, address := range sorted(n) {
		if n[address] > 1 {
			return fmt.Sprintf("%d sockets on %s", n[address], port(address))
		}
	}
	return ""
}

// names are processes with their parts: "node primary 12", "node workers 13 and 14".
func (t *teller) names(set map[int]int) string {
	var pids []int
	for pid := range set {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return t.list(pids)
}

func (t *teller) list(pids []int) string {
	var parts []string
	same := len(pids) > 1
	for _, pid := range pids {
		same = same && t.name(pid) == t.name(pids[0])
	}
	for i, pid := range pids {
		if i == 4 && len(pids) > 5 {
			parts = append(parts, fmt.Sprintf("%d more", len(pids)-i))
			break
		}
		part := fmt.Sprint(pid)
		if !same {
			part = t.name(pid) + " " + part
		}
		parts = append(parts, part)
	}
	text := strings.Join(parts, "")
	if n := len(parts); n > 1 {
		text = strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
	if same {
		text = t.name(pids[0]) + "s " + text
	}
	return text
}

// shares is who served how many: "12 ×5, 13 ×4".
func (t *teller) shares(served map[int]int) string {
	var pids []int
	for pid := range served {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	var parts []string
	for i, pid := range pids {
		if i == 8 && len(pids) > 9 {
			parts = append(parts, fmt.Sprintf("%d more", len(pids)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%d ×%d", pid, served[pid]))
	}
	return strings.Join(parts, ", ")
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
