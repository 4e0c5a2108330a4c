package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"onconn/listen"
	"onconn/sock"
)

// packetSocket is a UDP socket that all workers have, in every mode: the kernel
// gives each datagram to one of those that wait, and there is nothing to hand over.
type packetSocket struct {
	conn  *net.UDPConn
	lines map[*Worker]*line
}

// isPacket reports whether a network's sockets have datagrams.
func isPacket(network string) bool {
	return network == "udp" || network == "udp4" || network == "udp6"
}

// openPacket opens the socket of k, or takes the one that was inherited.
func (p *Primary) openPacket(ctx context.Context, k key, cfg listen.Config) (sharing, error) {
	var conn net.PacketConn
	var err error
	if fd := p.takeInherited(k, 0); fd != sock.None {
		conn, err = ownPacket(fd)
	} else {
		conn, err = listenPacket(ctx, cfg, k.Network, k.Address)
	}
	if err != nil {
		return nil, err
	}
	return &packetSocket{conn.(*net.UDPConn), map[*Worker]*line{}}, nil
}

// listenPacket opens a UDP socket of this process's own.
func listenPacket(ctx context.Context, cfg listen.Config, network, address string) (net.PacketConn, error) {
	if !isPacket(network) {
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) { err = controlPacket(cfg, sock.FD(fd)) }); e != nil {
			return e
		}
		return err
	}}
	return lc.ListenPacket(ctx, network, address)
}

// controlPacket sets what a Config says about UDP.
func controlPacket(cfg listen.Config, fd sock.FD) error {
	if a, err := fd.Getsockname(); err == nil && a.Family() == sock.Inet6 && cfg.V6Only != listen.Default {
		if err := sock.V6Only.Set(fd, cfg.V6Only == listen.On); err != nil {
			return err
		}
	}
	if cfg.Control != nil {
		return cfg.Control(fd)
	}
	return nil
}

// ownPacket makes a connection of a descriptor, of which it takes ownership.
func ownPacket(fd sock.FD) (net.PacketConn, error) {
	f := os.NewFile(uintptr(fd), "udp")
	defer f.Close() // net has a duplicate
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	if _, ok := conn.(*net.UDPConn); !ok {
		conn.Close()
		return nil, fmt.Errorf("a socket of network %s came, not udp", conn.LocalAddr().Network())
	}
	return conn, nil
}

func (s *packetSocket) address() net.Addr { return s.conn.LocalAddr() }

func (s *packetSocket) join(w *Worker, l *line) ([]sock.FD, error) {
	s.lines[w] = l
	l.waiting.Store(1) // it has all that it needs to be ready
	return []sock.FD{descriptorOf(s.conn)}, nil
}

func (s *packetSocket) leave(w *Worker, _ bool) {
	if l := s.lines[w]; l != nil {
		l.waiting.Store(0)
		delete(s.lines, w)
	}
}

func (s *packetSocket) forListenFDs(*Worker) (sock.FD, error) {
	return sock.None, errors.New("a program that knows only LISTEN_FDS gets no UDP sockets")
}

func (s *packetSocket) sockets() map[int]sock.FD { return map[int]sock.FD{0: descriptorOf(s.conn)} }

func (s *packetSocket) image(i *serverImage) {
	for w := range s.lines {
		i.Seats = append(i.Seats, seatImage{Worker: w.ID})
	}
}

func (s *packetSocket) revive(w *Worker, l *line, _ seatImage) error {
	s.lines[w] = l
	return nil
}

func (s *packetSocket) inherit(serverImage, map[int]*Worker) error { return nil }

// stop leaves what waits in the socket to the workers, which have it too.
func (s *packetSocket) stop()  { s.close() }
func (s *packetSocket) close() { s.conn.Close() }

func (s *packetSocket) vacate(int)                            {}
func (s *packetSocket) quiet(int) func(context.Context) error { return nil }
func (s *packetSocket) waiting() int64                        { return 0 }
func (s *packetSocket) held(map[*Worker]int64) int            { return 0 }
func (s *packetSocket) room()                                 {}
func (s *packetSocket) look(time.Time) time.Duration          { return never }
func (s *packetSocket) onWait(func())                         {}
func (s *packetSocket) hold()                                 {}
func (s *packetSocket) release()                              {}
