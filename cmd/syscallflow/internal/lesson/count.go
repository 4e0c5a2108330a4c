package lesson

import (
	"slices"

	"onconn/cmd/syscallflow/internal/recording"
)

// count is how many calls of these names processes made that returned without an error,
// on IP sockets.
func count(r *recording.Recording, pids []int, names ...string) (n int) {
	for _, c := range find(r, pids, names...) {
		if c.Errno == "" && c.End != 0 {
			n++
		}
	}
	return n
}

// find is all calls of these names on IP sockets, in the processes; nil: in all.
func find(r *recording.Recording, pids []int, names ...string) (calls []recording.Call) {
	families := map[recording.SocketID]string{}
	for _, s := range r.Sockets {
		families[s.ID] = s.Family
	}
	for _, c := range r.Calls {
		if !slices.Contains(names, c.Name) || pids != nil && !slices.Contains(pids, c.PID) {
			continue
		}
		fd := c.FD
		if fd == nil {
			fd = c.New
		}
		if fd == nil || families[fd.Socket] != "AF_INET" && families[fd.Socket] != "AF_INET6" {
			continue
		}
		calls = append(calls, c)
	}
	return calls
}

// passed counts the descriptors of IP sockets that a process sent by SCM_RIGHTS: of
// listeners all, of connections each once, since one that a worker doesn't take is
// sent to another.
func passed(r *recording.Recording, pid int, listeners bool) (n int) {
	kind := map[recording.SocketID]recording.Socket{}
	for _, s := range r.Sockets {
		kind[s.ID] = s
	}
	seen := map[recording.SocketID]bool{}
	for _, c := range r.Calls {
		if c.Name != "sendmsg" || c.Errno != "" || c.PID != pid {
			continue
		}
		for _, fd := range c.Passed {
			s := kind[fd.Socket]
			ip := s.Family == "AF_INET" || s.Family == "AF_INET6"
			if ip && (s.From == 0) == listeners && (listeners || !seen[s.ID]) {
				n++
				seen[s.ID] = true
			}
		}
	}
	return n
}

// family is the program that was started, and its children.
func family(r *recording.Recording) (primary int, children []int) {
	for _, p := range r.Processes {
		switch {
		case p.Parent == 0:
			primary = p.PID
		case p.Parent == primary:
			children = append(children, p.PID)
		}
	}
	return primary, children
}

// listening is the socket that listens, the first one.
func listening(r *recording.Recording) (l recording.Socket) {
	for _, s := range r.Sockets {
		if s.Listens && (s.Family == "AF_INET" || s.Family == "AF_INET6") {
			return s
		}
	}
	return l
}
