package steer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Supported tries whether this process can make a [Program] here. The error says
// what is missing: a capability, or the kernel.
func Supported() error {
	p, err := New(Config{Policy: LeastLoaded, Members: 1})
	if err != nil {
		return err
	}
	return p.Close()
}

// explain adds what is missing to an error of bpf(2). In place of EPERM the
// library guesses at RLIMIT_MEMLOCK, which has nothing to do with it since 5.11.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM) && !capable(unix.CAP_BPF) && !capable(unix.CAP_SYS_ADMIN):
		return fmt.Errorf("making eBPF programs needs CAP_BPF, which this process (uid %d) lacks; reuseport.Weighted and the like need nothing: %w", os.Geteuid(), unix.EPERM)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("bpf(2) is refused though this process has CAP_BPF: in a user namespace it doesn't count, and seccomp or a security module may forbid it: %w", unix.EPERM)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("this kernel has no bpf(2), or seccomp hides it: %w", err)
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("this kernel doesn't load the program, which needs Linux 5.12: %w (%w)", errors.ErrUnsupported, err)
	}
	return err
}

// capable reports whether a capability is in effect.
func capable(c int) bool {
	b, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && mask>>c&1 == 1
		}
	}
	return false
}
