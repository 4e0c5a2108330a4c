package fdpass

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

func passed(control []byte) (fds []sock.FD) {
	for fd, ok := range descriptors(control) {
		if ok {
			fds = append(fds, fd)
		}
	}
	return fds
}

func TestRightsAreWhatTheKernelHas(t *testing.T) {
	for _, n := range []int{1, 2, 3, MaxFDs} {
		fds := make([]sock.FD, n)
		ints := make([]int, n)
		for i := range fds {
			fds[i], ints[i] = sock.FD(i*7), i*7
		}
		var r rights
		got, want := r.encode(fds), unix.UnixRights(ints...)
		if !bytes.Equal(got, want) {
			t.Errorf("%d descriptors: encoded as %x, want %x", n, got, want)
		}
		if !slices.Equal(passed(got), fds) {
			t.Errorf("%d descriptors: read back as %v", n, passed(got))
		}
	}
	var r rights
	if b := r.encode(nil); len(b) != 0 {
		t.Errorf("no descriptors: encoded as %x", b)
	}
}

// message is one control message whose header says it is size bytes long.
func message(level, kind int32, size int, data ...int32) []byte {
	h := unix.Cmsghdr{Level: level, Type: kind}
	h.SetLen(size)
	b := slices.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofCmsghdr))
	for _, v := range data {
		b = binary.NativeEndian.AppendUint32(b, uint32(v))
	}
	return b
}

func TestDescriptorsInControlData(t *testing.T) {
	full := func(level, kind int32, data ...int32) []byte {
		b := message(level, kind, unix.CmsgLen(4*len(data)), data...)
		return append(b, make([]byte, unix.CmsgSpace(4*len(data))-len(b))...)
	}
	rights := func(fds ...int32) []byte { return full(unix.SOL_SOCKET, unix.SCM_RIGHTS, fds...) }
	creds := full(unix.SOL_SOCKET, unix.SCM_CREDENTIALS, 10, 20, 30)
	pidfd := full(unix.SOL_SOCKET, unix.SCM_PIDFD, 9)
	for _, tt := range []struct {
		name    string
		control []byte
		want    []sock.FD
		closed  []sock.FD
	}{
		{name: "none"},
		{name: "two messages", control: slices.Concat(rights(3, 4), rights(5)), want: []sock.FD{3, 4, 5}},
		{name: "behind credentials", control: slices.Concat(creds, rights(3)), want: []sock.FD{3}},
		{name: "a pidfd is not passed", control: slices.Concat(rights(3), pidfd), want: []sock.FD{3}, closed: []sock.FD{9}},
		{name: "an errno for a pidfd", control: full(unix.SOL_SOCKET, unix.SCM_PIDFD, -24)},
		{name: "another level", control: full(unix.SOL_TCP, unix.SCM_RIGHTS, 3)},
		{name: "no padding at the end", control: rights(3)[:unix.CmsgLen(4)], want: []sock.FD{3}},
		{name: "cut header", control: rights(3)[:unix.SizeofCmsghdr-1]},
		{name: "longer than the buffer", control: message(unix.SOL_SOCKET, unix.SCM_RIGHTS, unix.CmsgLen(8), 3)},
		{name: "shorter than its header", control: message(unix.SOL_SOCKET, unix.SCM_RIGHTS, unix.SizeofCmsghdr-1, 3)},
		{name: "half a descriptor", control: message(unix.SOL_SOCKET, unix.SCM_RIGHTS, unix.CmsgLen(6), 3, 4), want: []sock.FD{3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got, closed []sock.FD
			for fd, ok := range descriptors(tt.control) {
				if ok {
					got = append(got, fd)
				} else {
					closed = append(closed, fd)
				}
			}
			if !slices.Equal(got, tt.want) || !slices.Equal(closed, tt.closed) {
				t.Errorf("passed %v, others %v; want %v and %v", got, closed, tt.want, tt.closed)
			}
		})
	}
	if c := credentials(slices.Concat(rights(3), creds)); c != (Cred{10, 20, 30}) {
		t.Errorf("credentials are %v", c)
	}
	if c := credentials(rights(3)); c != nobody {
		t.Errorf("credentials that aren't there are %v", c)
	}
}

// FuzzControl reads arbitrary control data, and closes nothing.
func FuzzControl(f *testing.F) {
	var r rights
	f.Add(slices.Clone(r.encode([]sock.FD{1, 2, 3})))
	f.Add(message(unix.SOL_SOCKET, unix.SCM_RIGHTS, 1<<30, 3))
	f.Add(message(unix.SOL_SOCKET, unix.SCM_RIGHTS, unix.CmsgLen(6), 3, 4))
	f.Add(message(unix.SOL_SOCKET, unix.SCM_CREDENTIALS, unix.CmsgLen(12), 1, 2, 3))
	f.Add(append(message(unix.SOL_SOCKET, unix.SCM_PIDFD, unix.CmsgLen(4), 7), 1, 2, 3))
	f.Fuzz(func(t *testing.T, control []byte) {
		credentials(control)
		fds := passed(control)
		if len(fds) > len(control)/4 {
			t.Fatalf("%d descriptors in %d bytes", len(fds), len(control))
		}
		for _, fd := range fds {
			if fd < 0 || !bytes.Contains(control, binary.NativeEndian.AppendUint32(nil, uint32(fd))) {
				t.Fatalf("descriptor %d is not in the data", fd)
			}
		}
		msgs, err := unix.ParseSocketControlMessage(slices.Clone(control))
		if err != nil {
			return
		}
		var want []sock.FD
		for _, m := range msgs {
			if len(m.Data)%4 != 0 {
				return // x/sys panics
			}
			ints, err := unix.ParseUnixRights(&m)
			if err != nil {
				continue
			}
			for _, fd := range ints {
				if int32(fd) >= 0 {
					want = append(want, sock.FD(int32(fd)))
				}
			}
		}
		if !slices.Equal(fds, want) {
			t.Fatalf("descriptors %v; x/sys reads %v", fds, want)
		}
	})
}
