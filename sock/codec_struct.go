package sock

import (
	"time"

	"golang.org/x/sys/unix"
)

// LingerConfig is the value of [Linger]. Off, close returns at once and the
// kernel goes on sending what is left. On with a Timeout of 0, close throws it
// away and resets the connection. On with a longer one, in whole seconds, close
// waits that long, even on a non-blocking socket.
type LingerConfig struct {
	On      bool
	Timeout time.Duration
}

var linger = object(
	func(v LingerConfig) (unix.Linger, error) {
		var k unix.Linger
		if v.On {
			k.Onoff = 1
		}
		s := v.Timeout / time.Second
		if v.Timeout%time.Second > 0 {
			s++
		}
		if v.Timeout < 0 || time.Duration(int32(s)) != s {
			return k, unix.EINVAL
		}
		k.Linger = int32(s)
		return k, nil
	},
	func(k unix.Linger) LingerConfig {
		return LingerConfig{On: k.Onoff != 0, Timeout: time.Duration(k.Linger) * time.Second}
	})

// PortRange is the value of [LocalPortRange], both ends included. A zero end is
// that of net.ipv4.ip_local_port_range.
type PortRange struct{ Low, High uint16 }

var portRange = object(
	func(v PortRange) (uint32, error) { return uint32(v.High)<<16 | uint32(v.Low), nil },
	func(k uint32) PortRange { return PortRange{Low: uint16(k), High: uint16(k >> 16)} })
