package load

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Hold opens n connections, asks a request of each if ask is set, calls ready, and
// closes them when that has returned.
func Hold(addr string, n int, ask bool, ready func() error) error {
	to, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return err
	}
	from := newSource()
	fds := make([]sock.FD, 0, n)
	defer func() {
		for _, fd := range fds {
			fd.Close()
		}
	}()
	for range n {
		fd, err := holdOne(sock.FromNetAddr(to), &from, ask)
		if err != nil {
			return fmt.Errorf("connection %d of %d: %w", len(fds)+1, n, err)
		}
		fds = append(fds, fd)
	}
	return ready()
}

func holdOne(to sock.Addr, from *source, ask bool) (sock.FD, error) {
	c := client{cfg: Config{Work: KeepAlive}, to: to, from: *from}
	fd, err := c.connect()
	*from = c.from
	if err != nil {
		return sock.None, err
	}
	if err = await(fd, unix.POLLOUT); err == nil {
		err = connected(fd)
	}
	if err == nil && ask {
		err = askOne(fd)
	}
	if err != nil {
		fd.Close()
		return sock.None, err
	}
	return fd, nil
}

func connected(fd sock.FD) error {
	errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if errno != 0 {
		return os.NewSyscallError("connect", unix.Errno(errno))
	}
	return nil
}

func askOne(fd sock.FD) error {
	if _, err := fd.Send(get, unix.MSG_DONTWAIT); err != nil {
		return err
	}
	var answer [1024]byte
	for got := 0; !complete(answer[:got]); {
		if err := await(fd, unix.POLLIN); err != nil {
			return err
		}
		n, err := fd.Recv(answer[got:], unix.MSG_DONTWAIT)
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("closed before its answer")
		}
		got += n
	}
	return nil
}

func await(fd sock.FD, events int16) error {
	end := time.Now().Add(Grace)
	for {
		left := time.Until(end)
		if left <= 0 {
			return errors.New("no answer")
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, int(left/time.Millisecond)+1)
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
	}
}
