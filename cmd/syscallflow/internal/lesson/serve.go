package lesson

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// serve FD WAY accepts from now on, in a way of waiting: blocking in accept, or with
// epoll and a herd, or with EPOLLEXCLUSIVE. Each client gets the number of the
// process. It goes on until the process ends.
func serve(_ *server, w []string) (string, error) {
	fd, way := number(w, 1), strings.Join(w[2:], "")
	if way == "blocking" {
		go func() {
			for {
				conn, _, err := accept(fd)
				if err != nil {
					return // the listener is closed
				}
				reply(conn)
			}
		}()
		return "", nil
	}
	events := map[string]uint32{"epoll": unix.EPOLLIN, "exclusive": unix.EPOLLIN | unix.EPOLLEXCLUSIVE}[way]
	if events == 0 {
		return "", unix.EINVAL
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return "", err
	}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
		return "", err
	}
	go func() {
		ready := make([]unix.EpollEvent, 1)
		for {
			if _, err := unix.EpollWait(ep, ready, -1); err != nil && err != unix.EINTR {
				return
			}
			// Others may have been faster: then it is EAGAIN.
			if conn, _, err := accept(fd); err == nil {
				reply(conn)
			}
		}
	}()
	return "", nil
}

// reply reads a request and answers it. The client has sent it already, or has gone.
func reply(conn int) {
	defer unix.Close(conn)
	p := make([]byte, 256)
	if n, err := unix.Read(conn, p); err != nil || n == 0 {
		return
	}
	unix.Write(conn, fmt.Appendf(nil, "%d\n", os.Getpid()))
}
