package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/epoll"
	"onconn/sock"
)

// An attempt is one client.
type attempt struct {
	fd    sock.FD
	start time.Time
	took  time.Duration // until it was connected or refused
	syns  int           // that it sent until then, TCP only
	err   error         // the refusal
	done  bool
	reset bool // by the other side, after it was connected
}

func (a attempt) connected() bool { return a.done && a.err == nil }

// A dialer opens connections without waiting for them and holds them. Nothing
// is ever sent or read on them.
type dialer struct {
	target   sock.Addr
	source   netip.Addr // first of 16 to connect from; not valid: the kernel's choice
	reset    bool       // close with RST
	poll     *epoll.Poll
	attempts []attempt
	pending  int
	failed   int // with an error
}

func newDialer(target sock.Addr, reset bool) (*dialer, error) {
	poll, err := epoll.New()
	if err != nil {
		return nil, err
	}
	d := &dialer{target: target, reset: reset, poll: poll}
	if target.Family() == sock.Inet && target.AddrPort().Addr().IsLoopback() {
		// 28,000 ports each, though those of an earlier probe are in TIME_WAIT.
		d.source = netip.AddrFrom4([4]byte{127, 83, byte(rand.N(256)), byte(rand.N(15) * 16)})
	}
	return d, nil
}

// open starts one connection and takes note of what has happened to the others.
// Its error is one of this side, such as EMFILE or EADDRNOTAVAIL: it says
// nothing about the listener.
func (d *dialer) open() error {
	fd, err := sock.Socket(d.target.Family(), sock.Stream, 0)
	if err != nil {
		return err
	}
	if err := d.prepare(fd); err != nil {
		fd.Close()
		return err
	}
	a := attempt{fd: fd, start: time.Now()}
	err = fd.Connect(d.target)
	a.took = time.Since(a.start)
	switch {
	case err == nil:
		a.done = true
	case errors.Is(err, unix.EINPROGRESS):
		if err := d.poll.AddTag(fd, unix.EPOLLOUT|unix.EPOLLET, int32(len(d.attempts))); err != nil {
			fd.Close()
			return err
		}
		d.pending++
	case refusal(err, d.target.Family()):
		a.done, a.err, a.syns = true, err, 1
		d.failed++
	default:
		fd.Close()
		return explain(err, d.target)
	}
	d.attempts = append(d.attempts, a)
	// On loopback the handshake was part of connect.
	_, err = d.collect(0)
	return err
}

// explain adds to an error of connect(2) what it means for a target.
func explain(err error, target sock.Addr) error {
	switch {
	case errors.Is(err, unix.EPROTOTYPE):
		return fmt.Errorf("%s is not a stream socket (SOCK_SEQPACKET or SOCK_DGRAM), and only those are probed: %w", target, err)
	case target.Family() == sock.Unix:
		return fmt.Errorf("%s: %w", target, err)
	}
	return err
}

func (d *dialer) prepare(fd sock.FD) error {
	if d.reset {
		if err := sock.Linger.Set(fd, sock.LingerConfig{On: true}); err != nil {
			return err
		}
	}
	if !d.source.IsValid() {
		return nil
	}
	if err := sock.BindAddressNoPort.Set(fd, true); err != nil {
		return err
	}
	from := d.source.As4()
	from[3] += byte(len(d.attempts) % 16)
	return fd.Bind(sock.IPAddr(netip.AddrPortFrom(netip.AddrFrom4(from), 0)))
}

// refusal reports whether an error of connect is the listener's answer.
func refusal(err error, f sock.Family) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET) ||
		errors.Is(err, unix.ETIMEDOUT) || f == sock.Unix && errors.Is(err, unix.EAGAIN)
}

// collect waits for answers, and returns how many came.
func (d *dialer) collect(timeout time.Duration) (int, error) {
	var events [64]unix.EpollEvent
	n, err := d.poll.Wait(events[:], timeout)
	now := time.Now()
	for _, e := range events[:n] {
		a := &d.attempts[e.Pad]
		pendingErr, err := sock.SockError.Get(a.fd)
		if err != nil {
			return 0, err
		}
		a.done, a.err, a.took = true, pendingErr, now.Sub(a.start)
		a.syns = a.sentSYNs()
		d.pending--
		if pendingErr != nil {
			d.failed++
		}
		if err := d.poll.Del(a.fd); err != nil {
			return 0, err
		}
	}
	return n, err
}

// settle collects answers until none is missing, or until then.
func (d *dialer) settle(ctx context.Context, until time.Time) error {
	for d.pending > 0 && ctx.Err() == nil {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		// In slices, to see ctx end.
		if _, err := d.collect(min(left, 20*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// sentSYNs is how often the client sent its SYN; the kernel knows.
func (a *attempt) sentSYNs() int {
	info, err := sock.TCPInfo.Get(a.fd)
	if err != nil {
		return 0
	}
	return 1 + int(info.Total_retrans)
}

// finish asks the clients that are still waiting how often they tried, and the
// others whether they have been reset since, as tcp_abort_on_overflow does to
// those whose final ACK is refused.
func (d *dialer) finish() {
	for i := range d.attempts {
		a := &d.attempts[i]
		if !a.done {
			a.took, a.syns = time.Since(a.start), a.sentSYNs()
			continue
		}
		// After a handshake, so it isn't the answer to the SYN.
		pendingErr, err := sock.SockError.Get(a.fd)
		a.reset = errors.Is(a.err, unix.ECONNRESET) || err == nil && errors.Is(pendingErr, unix.ECONNRESET)
	}
}

// refused is how many are not connected.
func (d *dialer) refused() int { return d.pending + d.failed }

// refusal is what those met who were refused.
func (d *dialer) refusal() Refusal {
	for _, a := range d.attempts {
		switch {
		case a.reset:
			return LateReset
		case errors.Is(a.err, unix.EAGAIN):
			return TryAgain
		case a.err != nil && d.target.Family() == sock.Unix:
			return NoListener
		case a.err != nil:
			return Reset
		case !a.done, a.syns > 1:
			return Silence
		}
	}
	return NotRefused
}

func (d *dialer) closeAttempts() {
	for _, a := range d.attempts {
		a.fd.Close()
	}
	d.attempts, d.pending, d.failed = nil, 0, 0
}

func (d *dialer) close() {
	d.closeAttempts()
	d.poll.Close()
}

// maxConnections is how many descriptors we may still open, leaving some for
// the rest of the program. Go has raised the soft limit already.
func maxConnections() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 512
	}
	used, _ := os.ReadDir("/proc/self/fd")
	return max(0, int(min(limit.Cur, 1<<20))-len(used)-64)
}
