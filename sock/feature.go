package sock

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// A Feature is something that a kernel may be too old for or built without.
type Feature struct {
	Name  string
	Since string // first Linux that has it, "5.6"

	probe   func() error
	lacking []error // what probe returns if the kernel certainly hasn't got it

	mu    sync.Mutex
	known bool
	err   error
}

// Features of the accept side.
var (
	HaveIPv6 = &Feature{Name: "IPv6", Since: "2.2",
		probe: canOpen(Inet6, 0), lacking: []error{unix.EAFNOSUPPORT}}
	// ENOPROTOOPT, which is not conclusive: net.mptcp.enabled is 0.
	HaveMPTCP = &Feature{Name: "MPTCP", Since: "5.6",
		probe: canOpen(Inet, MPTCP), lacking: []error{unix.EPROTONOSUPPORT, unix.EINVAL}}
	HavePeerPidfd = &Feature{Name: "SO_PEERPIDFD", Since: "6.5",
		probe: canGetPeerPidfd, lacking: []error{unix.ENOPROTOOPT}}
	HaveReusePort = &Feature{Name: "SO_REUSEPORT", Since: "3.9",
		probe:   canSet(func(fd FD) error { return ReusePort.Set(fd, true) }),
		lacking: []error{unix.ENOPROTOOPT}}
	HaveReusePortCBPF = &Feature{Name: "SO_ATTACH_REUSEPORT_CBPF", Since: "4.6",
		probe: canSet(canAttachCBPF), lacking: []error{unix.ENOPROTOOPT}}
	HaveReusePortEBPF = &Feature{Name: "SO_ATTACH_REUSEPORT_EBPF", Since: "4.6",
		probe: canSet(canAttachEBPF), lacking: []error{unix.ENOPROTOOPT, unix.EOPNOTSUPP}}
	HaveVsock = &Feature{Name: "AF_VSOCK", Since: "3.9",
		probe: canOpen(Vsock, 0), lacking: []error{unix.EAFNOSUPPORT}}
)

// Probe asks the kernel, once it has a conclusive answer no more. It returns nil
// if the kernel has the feature, and an error that is [errors.ErrUnsupported] if
// it has not. Any other error, such as EMFILE or EPERM, leaves it open.
func (f *Feature) Probe() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known {
		return f.err
	}
	err := f.probe()
	switch {
	case err == nil:
		f.known = true
	case slices.ContainsFunc(f.lacking, func(lack error) bool { return errors.Is(err, lack) }):
		f.known = true
		f.err = fmt.Errorf("this kernel has no %s, which needs Linux %s or newer: %w (%w)", f.Name, f.Since, errors.ErrUnsupported, err)
		return f.err
	default:
		return fmt.Errorf("probing %s: %w", f.Name, err)
	}
	return nil
}

func canOpen(f Family, p Protocol) func() error {
	return func() error {
		fd, err := Socket(f, Stream, p)
		if err != nil {
			return err
		}
		return fd.Close()
	}
}

func canSet(set func(FD) error) func() error {
	return func() error {
		fd, err := Socket(Inet, Stream, 0)
		if err != nil {
			return err
		}
		defer fd.Close()
		return set(fd)
	}
}

func canAttachCBPF(fd FD) error {
	if err := ReusePort.Set(fd, true); err != nil {
		return err
	}
	return AttachReusePortCBPF.Set(fd, []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}})
}

// canAttachEBPF has no program: a kernel that looks for it says EBADF.
func canAttachEBPF(fd FD) error {
	err := AttachReusePortEBPF.Set(fd, None)
	if errors.Is(err, unix.EBADF) {
		return nil
	}
	return err
}

func canGetPeerPidfd() error {
	a, b, err := Pair(Stream)
	if err != nil {
		return err
	}
	defer a.Close()
	defer b.Close()
	fd, err := PeerPidfd.Get(a)
	if err != nil {
		return err
	}
	return fd.Close()
}
