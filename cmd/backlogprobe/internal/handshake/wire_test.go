package handshake

import (
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
)

// wire joins two namespaces by a pair of tun(4) devices called veth0. What the
// far one sends arrives so much later.
func wire(t *testing.T, near, far *netns.Namespace, nearIP, farIP netip.Prefix, delay time.Duration) {
	t.Helper()
	a, b := tun(t, near, nearIP), tun(t, far, farIP)
	forward(t, a, b, 0)
	forward(t, b, a, delay)
}

func tun(t *testing.T, n *netns.Namespace, p netip.Prefix) (f *os.File) {
	t.Helper()
	n.Do(func() {
		t.Helper()
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Skip("no /dev/net/tun: ", err)
		}
		r, err := unix.NewIfreq("veth0")
		if err != nil {
			t.Fatal(err)
		}
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
			unix.Close(fd)
			t.Skip("TUNSETIFF: ", err)
		}
		f = os.NewFile(uintptr(fd), "tun")
		for _, args := range [][]string{{"addr", "add", p.String(), "dev", "veth0"}, {"link", "set", "veth0", "up"}} {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				f.Close()
				t.Fatalf("ip %v: %v: %s", args, err, out)
			}
		}
	})
	return f
}

// forward carries packets until the end of the test.
func forward(t *testing.T, from, to *os.File, delay time.Duration) {
	type packet struct {
		due  time.Time
		data []byte
	}
	under := make(chan packet, 1024)
	done := make(chan struct{})
	go func() {
		defer close(under)
		for {
			buf := make([]byte, 2048)
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			under <- packet{time.Now().Add(delay), buf[:n]}
		}
	}()
	go func() {
		defer close(done)
		for p := range under {
			time.Sleep(time.Until(p.due))
			to.Write(p.data)
		}
	}()
	t.Cleanup(func() {
		from.Close()
		<-done
	})
}
