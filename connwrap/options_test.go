package connwrap_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/internal/testleak"
	"onconn/sock"
)

func TestOptions(t *testing.T) {
	testleak.FDs(t)
	fd, peer := fds(t, "tcp4")
	defer peer.Close()
	// Paused, since an option needs no poller.
	c := wrap(t, fd, connwrap.Config{PauseOnConnect: true})

	flag := func(name string, o sock.Option[bool], set func(bool) error) {
		for _, want := range []bool{true, false} {
			check(t, set(want))
			if got := must[bool](t)(o.Get(fd)); got != want {
				t.Errorf("%s(%v): %v", name, want, got)
			}
		}
	}
	flag("SetNoDelay", sock.NoDelay, c.SetNoDelay)
	flag("SetKeepAlive", sock.KeepAlive, c.SetKeepAlive)

	for _, tt := range []struct{ set, want time.Duration }{
		{0, 15 * time.Second}, {20 * time.Second, 20 * time.Second}, {-1, 20 * time.Second}, {1500 * time.Millisecond, 2 * time.Second},
	} {
		check(t, c.SetKeepAlivePeriod(tt.set))
		if got := must[time.Duration](t)(sock.KeepIdle.Get(fd)); got != tt.want {
			t.Errorf("SetKeepAlivePeriod(%v): %v, want %v", tt.set, got, tt.want)
		}
	}

	keepAlive := func() net.KeepAliveConfig {
		return net.KeepAliveConfig{
			Enable:   must[bool](t)(sock.KeepAlive.Get(fd)),
			Idle:     must[time.Duration](t)(sock.KeepIdle.Get(fd)),
			Interval: must[time.Duration](t)(sock.KeepIntvl.Get(fd)),
			Count:    must[int](t)(sock.KeepCnt.Get(fd)),
		}
	}
	all := net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 4}
	defaults := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 9}
	for _, tt := range []struct{ set, want net.KeepAliveConfig }{
		{all, all},
		{net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}, all},
		{net.KeepAliveConfig{Enable: true}, defaults},
		{net.KeepAliveConfig{}, net.KeepAliveConfig{Idle: defaults.Idle, Interval: defaults.Interval, Count: defaults.Count}},
	} {
		check(t, c.SetKeepAliveConfig(tt.set))
		if got := keepAlive(); got != tt.want {
			t.Errorf("SetKeepAliveConfig(%+v): %+v", tt.set, got)
		}
	}

	for _, tt := range []struct {
		set  int
		want sock.LingerConfig
	}{
		{3, sock.LingerConfig{On: true, Timeout: 3 * time.Second}}, {0, sock.LingerConfig{On: true}}, {-1, sock.LingerConfig{}},
	} {
		check(t, c.SetLinger(tt.set))
		if got := must[sock.LingerConfig](t)(sock.Linger.Get(fd)); got != tt.want {
			t.Errorf("SetLinger(%d): %+v, want %+v", tt.set, got, tt.want)
		}
	}

	check(t, c.SetReadBuffer(8192))
	check(t, c.SetWriteBuffer(16384))
	if r, w := must[int](t)(sock.RcvBuf.Get(fd)), must[int](t)(sock.SndBuf.Get(fd)); r != 2*8192 || w != 2*16384 {
		t.Errorf("buffers %d, %d: want twice what was set", r, w)
	}
	if watched(t, fd) {
		t.Error("options have ended the pause")
	}
}

func TestOptionsOfOtherFamilies(t *testing.T) {
	testleak.FDs(t)
	c, _ := pair(t, "unix", connwrap.Config{})
	check(t, c.SetWriteBuffer(16384))
	if err := c.SetNoDelay(true); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("SetNoDelay on a unix socket: %v", err)
	}
}
