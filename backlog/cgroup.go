package backlog

import "strings"

// cgroupNames reads the systemd unit and the container of a process from its
// /proc/PID/cgroup, in version 1 (the hierarchy called systemd) or 2.
func cgroupNames(text string) (unit, container string) {
	for line := range strings.Lines(text) {
		// hierarchy-ID:controllers:path, cgroups(7)
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok || controllers != "" && controllers != "name=systemd" {
			continue
		}
		u, c := cgroupPath(strings.TrimSuffix(path, " (deleted)"))
		if unit == "" {
			unit = u
		}
		if container == "" {
			container = c
		}
	}
	return unit, container
}

// cgroupPath finds the innermost service, else the innermost scope or socket
// that isn't just a container's, and the innermost container.
func cgroupPath(path string) (unit, container string) {
	var other string
	for name := range strings.SplitSeq(path, "/") {
		id := containerID(name)
		switch {
		case id != "":
			container = id
		case strings.HasSuffix(name, ".service"):
			unit = name
		case strings.HasSuffix(name, ".scope"), strings.HasSuffix(name, ".socket"):
			other = name
		}
	}
	if unit == "" {
		unit = other
	}
	return unit, container
}

// containerID is the first 12 of the 64 digits that container engines end their
// cgroup's name with: "ID", "docker-ID.scope", "cri-containerd-ID.scope",
// "pod.slice:cri-containerd:ID". Of the processes that only attend to a
// container, conmon, it is empty.
func containerID(name string) string {
	const digits = 64
	name = strings.TrimSuffix(name, ".scope")
	at := len(name) - digits
	if at < 0 || strings.HasSuffix(name[:at], "conmon-") || strings.Trim(name[at:], "0123456789abcdef") != "" {
		return ""
	}
	if at > 0 && name[at-1] != '-' && name[at-1] != ':' {
		return ""
	}
	return name[at : at+12]
}
