package reuseport

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// IncomingCPU gives a connection to a member that asked for the CPU that the SYN
// came by (SO_INCOMING_CPU), members taking CPUs in turn. It needs no program.
// With fewer members than CPUs, connections by the other CPUs go by the hash,
// and none may be away, since the hash is over all. A CPU that comes online
// later counts at the next change of the group. Linux 6.2.
type IncomingCPU struct{}

// String is "incoming-cpu".
func (IncomingCPU) String() string { return "incoming-cpu" }

// The kernel takes any int for SO_INCOMING_CPU and doesn't ask whether there is
// such a CPU.
const (
	noCPU  = 1 << 30
	anyCPU = -1 // what a socket has at first
)

// Steer implements [Steering].
func (IncomingCPU) Steer(places []Place) error {
	if err := sinceIncomingCPU(); err != nil {
		return err
	}
	cpus, err := onlineCPUs()
	if err != nil {
		return err
	}
	return steerByCPU(places, cpus)
}

func steerByCPU(places []Place, cpus []int) error {
	if err := detach(places[0].Socket); err != nil { // a program goes first
		return err
	}
	now := make([]int, len(places))
	for i, p := range places {
		var err error
		if now[i], err = sock.IncomingCPU.Get(p.Socket); err != nil {
			return err
		}
	}
	next, err := assign(places, now, cpus)
	if err != nil {
		return err
	}
	// Those that are away come last: by then others have their CPUs.
	for _, away := range []bool{false, true} {
		for i, p := range places {
			if p.Away == away && next[i] != now[i] {
				if err := sock.IncomingCPU.Set(p.Socket, next[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// assign gives each place its CPU. One keeps what it has unless too many have
// that, so that no CPU is without a member while they change.
func assign(places []Place, now, cpus []int) ([]int, error) {
	staying := 0
	for _, p := range places {
		if !p.Away {
			staying++
		}
	}
	if staying < len(places) && staying < len(cpus) {
		return nil, fmt.Errorf("%d members for %d CPUs: SO_INCOMING_CPU can steer away from a member only if each CPU has another; Hash and ByCPU can: %w",
			staying, len(cpus), unix.EINVAL)
	}
	next := make([]int, len(places))
	members := make([]int, len(cpus)) // of each CPU
	most := (staying + len(cpus) - 1) / len(cpus)
	var undecided []int
	for i, p := range places {
		c := slices.Index(cpus, now[i])
		switch {
		case p.Away:
			next[i] = noCPU
		case c >= 0 && members[c] < most:
			members[c]++
			next[i] = now[i]
		default:
			undecided = append(undecided, i)
		}
	}
	for _, i := range undecided {
		c := slices.Index(members, slices.Min(members))
		members[c]++
		next[i] = cpus[c]
	}
	return next, nil
}

// Stop implements [Steering].
func (IncomingCPU) Stop(places []Place) error {
	for _, p := range places {
		if err := sock.IncomingCPU.Set(p.Socket, anyCPU); err != nil {
			return err
		}
	}
	return nil
}

// sinceIncomingCPU: before 6.2 groups don't look at the option, and nothing but
// the version tells.
func sinceIncomingCPU() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return os.NewSyscallError("uname", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("kernel release %q: %w", release, err)
	}
	if major < 6 || major == 6 && minor < 2 {
		return fmt.Errorf("SO_INCOMING_CPU steers groups since Linux 6.2, this is %s; ByCPU works: %w", release, unix.EOPNOTSUPP)
	}
	return nil
}

func onlineCPUs() ([]int, error) {
	b, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, err
	}
	return parseCPUs(strings.TrimSpace(string(b)))
}

// parseCPUs reads a list like "0-3,5".
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		if err != nil {
			return nil, err
		}
		last, err := strconv.Atoi(to)
		if err != nil {
			return nil, err
		}
		for c := first; c <= last; c++ {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}
