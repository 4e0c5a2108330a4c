package probe

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A tun is a network interface whose other end is this process: what the kernel
// routes to it we read, and what we write it receives. Its subnet has no hosts
// but those that we play, so nothing answers a SYN-ACK with a RST. It vanishes
// with its descriptor, whatever ends us.
type tun struct {
	fd     sock.FD
	name   string
	subnet netip.Prefix
}

// ErrNoTUN is the error of a probe that may not make the interface it needs.
var ErrNoTUN = errors.New("bare SYNs need root (CAP_NET_ADMIN) and /dev/net/tun")

// openTUN makes the interface, with the first address of a free subnet. The
// caller closes it.
func openTUN() (*tun, error) {
	subnet, err := freeSubnet()
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: /dev/net/tun: %w", ErrNoTUN, err)
	}
	t := &tun{fd: sock.FD(fd), subnet: subnet}
	if err := t.setUp(); err != nil {
		t.close()
		if errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w: %w", ErrNoTUN, err)
		}
		return nil, err
	}
	return t, nil
}

func (t *tun) setUp() error {
	ifr, err := unix.NewIfreq("probe%d")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(int(t.fd), unix.TUNSETIFF, ifr); err != nil {
		return os.NewSyscallError("ioctl TUNSETIFF", err)
	}
	t.name = ifr.Name()
	// Thousands of SYN-ACKs may be sent again within a moment.
	if err := configure(t.name, unix.SIOCSIFTXQLEN, func(r *unix.Ifreq) error { r.SetUint32(2 * maxSYNs); return nil }); err != nil {
		return err
	}
	own, mask := t.subnet.Addr().Next().As4(), net.CIDRMask(t.subnet.Bits(), 32)
	if err := configure(t.name, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(own[:]) }); err != nil {
		return err
	}
	if err := configure(t.name, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask) }); err != nil {
		return err
	}
	return setUp(t.name)
}

// routeLocalnet lets 127.0.0.0/8 be reached through this interface, and through
// no other.
func (t *tun) routeLocalnet() error {
	err := os.WriteFile("/proc/sys/net/ipv4/conf/"+t.name+"/route_localnet", []byte("1"), 0)
	if err != nil {
		return fmt.Errorf("a loopback listener needs route_localnet on %s: %w", t.name, err)
	}
	return nil
}

func setUp(name string) error {
	return configure(name, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return nil
	})
}

// configure makes one request of netdevice(7).
func configure(name string, request uint, fill func(*unix.Ifreq) error) error {
	fd, err := sock.Socket(sock.Inet, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer fd.Close()
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := fill(ifr); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(int(fd), request, ifr); err != nil {
		return fmt.Errorf("interface %s: %w", name, os.NewSyscallError("ioctl", err))
	}
	return nil
}

// read returns the next packet, or nil when none came in time. The packet is
// valid until the next call.
func (t *tun) read(buf []byte, timeout time.Duration) ([]byte, error) {
	for {
		n, err := t.fd.Read(buf)
		if !errors.Is(err, unix.EAGAIN) {
			return buf[:max(n, 0)], err
		}
		if timeout <= 0 {
			return nil, nil
		}
		deadline := time.Now().Add(timeout)
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}, int((timeout+time.Millisecond-1)/time.Millisecond))
		if err != nil && err != unix.EINTR {
			return nil, os.NewSyscallError("poll", err)
		}
		timeout = time.Until(deadline)
	}
}

func (t *tun) write(packet []byte) error {
	_, err := t.fd.Write(packet)
	return err
}

func (t *tun) close() { t.fd.Close() }

// freeSubnet chooses a /24 of the range that is set aside for measurements (RFC
// 2544) and that nothing here is routed to.
func freeSubnet() (netip.Prefix, error) {
	taken, err := routes()
	if err != nil {
		return netip.Prefix{}, err
	}
	first := rand.N(512)
	for i := range 512 {
		n := (first + i) % 512
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(18 + n/256), byte(n), 0}), 24)
		free := true
		for _, r := range taken {
			free = free && !r.Overlaps(subnet)
		}
		if free {
			return subnet, nil
		}
	}
	return netip.Prefix{}, errors.New("all of 198.18.0.0/15, which the probe takes its addresses from, is routed here already")
}

// routes lists the IPv4 routes of the main table but the default ones.
func routes() ([]netip.Prefix, error) {
	f, err := os.Open("/proc/thread-self/net/route")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []netip.Prefix
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var iface, dst, gateway, flags, refs, use, metric, mask string
		fmt.Sscan(lines.Text(), &iface, &dst, &gateway, &flags, &refs, &use, &metric, &mask)
		ip, err1 := hex.DecodeString(dst)
		m, err2 := hex.DecodeString(mask)
		if errors.Join(err1, err2) != nil || len(ip) != 4 || len(m) != 4 {
			continue // the header
		}
		// Both are in the byte order of the host.
		binary.BigEndian.PutUint32(ip, binary.NativeEndian.Uint32(ip))
		binary.BigEndian.PutUint32(m, binary.NativeEndian.Uint32(m))
		if bits, _ := net.IPMask(m).Size(); bits > 0 {
			found = append(found, netip.PrefixFrom(netip.AddrFrom4([4]byte(ip)), bits))
		}
	}
	return found, nil
}
