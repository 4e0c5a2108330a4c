package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// split gives servers and clients their CPUs.
func split(how string) (servers, clients unix.CPUSet, err error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return servers, clients, err
	}
	switch how {
	case "all":
		return all, all, nil
	case "split":
	default:
		return servers, clients, fmt.Errorf("--cpus is split or all, not %q", how)
	}
	half := (all.Count() + 1) / 2
	for cpu, n := 0, 0; n < all.Count(); cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		if n < half {
			servers.Set(cpu)
		} else {
			clients.Set(cpu)
		}
		n++
	}
	if clients.Count() == 0 { // there is but one
		clients = all
	}
	return servers, clients, nil
}

// machine says on what the figures were measured.
func machine(cpus string) string {
	var u unix.Utsname
	unix.Uname(&u)
	pinned := "servers on one half of them, the client on the other"
	if cpus == "all" {
		pinned = "servers and client on all of them"
	}
	parts := []string{
		fmt.Sprintf("%d CPUs, %s", runtime.NumCPU(), pinned),
		"Linux " + unix.ByteSliceToString(u.Release[:]), runtime.Version(),
	}
	for _, tool := range []struct{ name, flag, trim string }{
		{"cc", "--version", ""}, {"node", "--version", ""}, {"nginx", "-v", "nginx version: "}, {"haproxy", "-v", ""},
	} {
		if out, err := exec.Command(tool.name, tool.flag).CombinedOutput(); err == nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
			first = strings.TrimPrefix(first, tool.trim)
			if tool.name == "node" {
				first = "Node " + first
			}
			parts = append(parts, first)
		}
	}
	return strings.Join(parts, "; ") + "."
}

// when says when a table was measured, of which commit.
func when(rounds int) string {
	commit := "unknown"
	if out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil { // go run leaves it out of the binary
		commit = strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("%s, commit %s, %d windows of each server in a run.", time.Now().UTC().Format("2 January 2006"), commit, rounds)
}
