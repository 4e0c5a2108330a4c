package netns

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Delay joins two namespaces as Link does, but by TUN devices called tun0, whose
// packets the test carries across: each takes oneWay at least. It skips the test
// where there is no TUN.
func Delay(t testing.TB, a, b *Namespace, addrA, addrB netip.Prefix, oneWay time.Duration) {
	t.Helper()
	tunA, tunB := a.tun(addrA), b.tun(addrB)
	var wg sync.WaitGroup
	wg.Go(func() { carry(tunA, tunB, oneWay) })
	wg.Go(func() { carry(tunB, tunA, oneWay) })
	t.Cleanup(func() {
		tunA.Close()
		tunB.Close()
		wg.Wait()
	})
}

// tun makes the device of one side. It lives as long as the file.
func (n *Namespace) tun(addr netip.Prefix) (file *os.File) {
	n.t.Helper()
	n.Do(func() {
		n.t.Helper()
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			n.t.Skip("needs TUN devices: ", os.NewSyscallError("open /dev/net/tun", err))
		}
		r, err := unix.NewIfreq("tun0")
		if err == nil {
			r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = os.NewSyscallError("ioctl TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, r))
		}
		if err == nil {
			err = errors.Join(setQueue("tun0", 10_000), setAddress("tun0", addr), up("tun0"))
		}
		if err != nil {
			unix.Close(fd)
			n.t.Fatal(err)
		}
		file = os.NewFile(uintptr(fd), "tun") // not before TUNSETIFF: the poller asks the device
	})
	return file
}

// carry takes packets from one device to the other until one is closed.
func carry(from, to *os.File, delay time.Duration) {
	type packet struct {
		due  time.Time
		data []byte
	}
	packets := make(chan packet, 1<<14)
	var wg sync.WaitGroup
	wg.Go(func() {
		for p := range packets {
			time.Sleep(time.Until(p.due))
			to.Write(p.data) // a packet may be lost, as on any network
		}
	})
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			break
		}
		select {
		case packets <- packet{time.Now().Add(delay), append([]byte(nil), buf[:n]...)}:
		default: // the queue of a router is full
		}
	}
	close(packets)
	wg.Wait()
}
