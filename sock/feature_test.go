package sock

import (
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

// The kernel must have what it is new enough for, but for what it can be built
// without or has switched off.
func TestFeatures(t *testing.T) {
	testleak.FDs(t)
	for _, f := range []*Feature{HaveIPv6, HaveMPTCP, HavePeerPidfd, HaveReusePort, HaveReusePortCBPF, HaveReusePortEBPF, HaveVsock} {
		t.Run(f.Name, func(t *testing.T) {
			err := f.Probe()
			optional := f == HaveIPv6 || f == HaveMPTCP || f == HaveVsock
			switch {
			case err == nil && kernelOlder(t, f.Since):
				t.Errorf("there, though the kernel is older than %s", f.Since)
			case err != nil && !kernelOlder(t, f.Since) && !optional:
				t.Errorf("not there, though the kernel isn't older than %s: %v", f.Since, err)
			case err != nil:
				t.Skip(err)
			}
		})
	}
}

func TestFeatureProbe(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer error
		cached bool
	}{
		{"there", nil, true},
		{"not there", unix.EAFNOSUPPORT, true},
		{"no descriptor left", unix.EMFILE, false},
		{"forbidden", unix.EPERM, false},
		{"another error", io.EOF, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			f := &Feature{Name: "telepathy", Since: "9.9", lacking: []error{unix.EAFNOSUPPORT},
				probe: func() error { asked++; return c.answer }}
			var first error
			for i := range 3 {
				err := f.Probe()
				if !errors.Is(err, c.answer) || errors.Is(err, errors.ErrUnsupported) != (c.answer == unix.EAFNOSUPPORT) {
					t.Errorf("Probe: %v", err)
				}
				if i == 0 {
					first = err
				} else if c.cached && err != first {
					t.Errorf("a cached answer changed from %v to %v", first, err)
				}
			}
			want := 3
			if c.cached {
				want = 1
			}
			if asked != want {
				t.Errorf("asked the kernel %d times, want %d", asked, want)
			}
		})
	}
	f := &Feature{Name: "telepathy", Since: "9.9", lacking: []error{unix.EAFNOSUPPORT}, probe: canOpen(99, 0)}
	want := "this kernel has no telepathy, which needs Linux 9.9 or newer: unsupported operation (socket: address family not supported by protocol)"
	if err := f.Probe(); err == nil || err.Error() != want {
		t.Errorf("%v, want %v", err, want)
	}
}
