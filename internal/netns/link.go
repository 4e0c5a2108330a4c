package netns

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Link joins two namespaces by a pair of interfaces, each called veth0, with
// one address each: netip.MustParsePrefix("10.0.0.1/24").
func Link(t testing.TB, a, b *Namespace, addrA, addrB netip.Prefix) {
	t.Helper()
	a.Do(func() {
		t.Helper()
		peer := attr(unix.IFLA_NET_NS_FD, binary.NativeEndian.AppendUint32(nil, uint32(b.fd)))
		peer = append(attr(unix.IFLA_IFNAME, []byte("veth0\x00")), peer...)
		peer = append(make([]byte, unix.SizeofIfInfomsg), peer...)
		const vethInfoPeer = 1
		info := append(attr(unix.IFLA_INFO_KIND, []byte("veth")), attr(unix.IFLA_INFO_DATA, attr(vethInfoPeer, peer))...)
		body := append(make([]byte, unix.SizeofIfInfomsg), attr(unix.IFLA_IFNAME, []byte("veth0\x00"))...)
		err := rtnetlink(unix.RTM_NEWLINK, append(body, attr(unix.IFLA_LINKINFO, info)...))
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("this kernel has no veth: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	for n, addr := range map[*Namespace]netip.Prefix{a: addrA, b: addrB} {
		n.Do(func() {
			t.Helper()
			if err := errors.Join(setAddress("veth0", addr), up("veth0")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// setAddress gives an interface an address that is usable at once: without
// duplicate address detection.
func setAddress(name string, p netip.Prefix) error {
	index, err := ioctl(name, unix.SIOCGIFINDEX, func(*unix.Ifreq) {})
	if err != nil {
		return err
	}
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0] = unix.AF_INET
	if p.Addr().Is6() {
		body[0] = unix.AF_INET6
	}
	body[1] = uint8(p.Bits())
	body[2] = unix.IFA_F_NODAD
	binary.NativeEndian.PutUint32(body[4:], index)
	ip := p.Addr().AsSlice()
	body = append(body, attr(unix.IFA_LOCAL, ip)...)
	return rtnetlink(unix.RTM_NEWADDR, append(body, attr(unix.IFA_ADDRESS, ip)...))
}

func up(name string) error {
	_, err := ioctl(name, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) { r.SetUint16(unix.IFF_UP) })
	return err
}

// ioctl is netdevice(7) with one number, which set puts in.
func ioctl(name string, request uint, set func(*unix.Ifreq)) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	set(r)
	err = unix.IoctlIfreq(fd, request, r)
	return r.Uint32(), os.NewSyscallError("ioctl "+name, err)
}

// setQueue says how many packets wait for whoever reads a TUN device.
func setQueue(name string, packets uint32) error {
	_, err := ioctl(name, unix.SIOCSIFTXQLEN, func(r *unix.Ifreq) { r.SetUint32(packets) })
	return err
}

// rtnetlink has the kernel make something new.
func rtnetlink(kind uint16, body []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return os.NewSyscallError("socket NETLINK_ROUTE", err)
	}
	defer unix.Close(fd)
	msg := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	msg = binary.NativeEndian.AppendUint16(msg, kind)
	msg = binary.NativeEndian.AppendUint16(msg, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	msg = append(append(msg, make([]byte, 8)...), body...)
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto NETLINK_ROUTE", err)
	}
	answer := make([]byte, 8<<10)
	n, err := unix.Read(fd, answer)
	if err != nil {
		return os.NewSyscallError("read NETLINK_ROUTE", err)
	}
	if n < unix.SizeofNlMsghdr+4 {
		return errors.New("rtnetlink: truncated answer")
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return os.NewSyscallError("rtnetlink", unix.Errno(-code))
	}
	return nil
}

// attr encodes one netlink attribute.
func attr(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}
