package decode

import (
	"golang.org/x/sys/unix"
)

// kind says how an argument is read and printed.
type kind int

const (
	number         kind = iota // int
	size                       // unsigned
	pointer                    // an address, for itself
	descriptor                 // int
	family                     // AF_*
	socketType                 // SOCK_* with its flags
	socketFlags                // SOCK_NONBLOCK, SOCK_CLOEXEC
	protocol                   // IPPROTO_*
	how                        // SHUT_*
	level                      // SOL_*
	option                     // of the level before it
	optionIn                   // value; its size is the next argument
	optionOut                  // value; its size is where the next argument points to
	addressIn                  // struct sockaddr; its size is the next argument
	addressOut                 // struct sockaddr; its size is where the next argument points to
	sizeOut                    // unsigned, by pointer
	messageFlags               // MSG_*
	bytesIn                    // its size is the next argument
	bytesOut                   // its size is what the call returns
	vectorIn                   // struct iovec; their number is the next argument
	vectorOut                  // the same, filled with as much as the call returns
	messageIn                  // struct msghdr
	messageOut                 // struct msghdr
	messagesIn                 // struct mmsghdr; their number is the next argument
	messagesOut                // the same, as many as the call returns
	pair                       // int[2], written
	duplicateFlags             // O_CLOEXEC
	command                    // F_DUPFD...
	epollFlags                 // EPOLL_CLOEXEC
	epollOperation             // EPOLL_CTL_*
	epollEvent                 // struct epoll_event
	epollEvents                // as many as the call returns
	pollFDs                    // struct pollfd; their number is the next argument
	milliseconds               // -1: for ever
	timespec                   // struct timespec; NULL: for ever
)

type param struct {
	name string
	kind kind
}

// A Call is a system call that this package knows.
type Call struct {
	Name   string
	params []param
	fd     int // index of the descriptor that it is about; -1: none
}

// Descriptor is which argument is the descriptor that the call is about; -1: none.
func (c *Call) Descriptor() int { return c.fd }

// OnSockets reports whether the call can only be made on a socket.
func (c *Call) OnSockets() bool { return c.fd >= 0 && c.params[c.fd].name == "sockfd" }

// Polls reports whether the call has a timeout of 0 ms, so that it never waits.
func (c *Call) Polls(args [6]uint64) bool {
	for i, p := range c.params {
		if p.kind == milliseconds {
			return int32(args[i]) == 0
		}
	}
	return false
}

var (
	fdParam    = param{"fd", descriptor}
	sockfd     = param{"sockfd", descriptor}
	flagsParam = param{"flags", messageFlags}
)

// Calls are those of sockets, by their number on this architecture.
var Calls = map[uint64]*Call{
	unix.SYS_SOCKET:     {"socket", []param{{"domain", family}, {"type", socketType}, {"protocol", protocol}}, -1},
	unix.SYS_SOCKETPAIR: {"socketpair", []param{{"domain", family}, {"type", socketType}, {"protocol", protocol}, {"sv", pair}}, -1},
	unix.SYS_BIND:       {"bind", []param{sockfd, {"addr", addressIn}, {"addrlen", size}}, 0},
	unix.SYS_LISTEN:     {"listen", []param{sockfd, {"backlog", number}}, 0},
	unix.SYS_ACCEPT:     {"accept", []param{sockfd, {"addr", addressOut}, {"addrlen", sizeOut}}, 0},
	unix.SYS_ACCEPT4:    {"accept4", []param{sockfd, {"addr", addressOut}, {"addrlen", sizeOut}, {"flags", socketFlags}}, 0},
	unix.SYS_CONNECT:    {"connect", []param{sockfd, {"addr", addressIn}, {"addrlen", size}}, 0},
	unix.SYS_SHUTDOWN:   {"shutdown", []param{sockfd, {"how", how}}, 0},

	unix.SYS_GETSOCKNAME: {"getsockname", []param{sockfd, {"addr", addressOut}, {"addrlen", sizeOut}}, 0},
	unix.SYS_GETPEERNAME: {"getpeername", []param{sockfd, {"addr", addressOut}, {"addrlen", sizeOut}}, 0},
	unix.SYS_SETSOCKOPT:  {"setsockopt", []param{sockfd, {"level", level}, {"optname", option}, {"optval", optionIn}, {"optlen", size}}, 0},
	unix.SYS_GETSOCKOPT:  {"getsockopt", []param{sockfd, {"level", level}, {"optname", option}, {"optval", optionOut}, {"optlen", sizeOut}}, 0},

	unix.SYS_SENDTO:   {"sendto", []param{sockfd, {"buf", bytesIn}, {"len", size}, flagsParam, {"dest_addr", addressIn}, {"addrlen", size}}, 0},
	unix.SYS_RECVFROM: {"recvfrom", []param{sockfd, {"buf", bytesOut}, {"len", size}, flagsParam, {"src_addr", addressOut}, {"addrlen", sizeOut}}, 0},
	unix.SYS_SENDMSG:  {"sendmsg", []param{sockfd, {"msg", messageIn}, flagsParam}, 0},
	unix.SYS_RECVMSG:  {"recvmsg", []param{sockfd, {"msg", messageOut}, flagsParam}, 0},
	unix.SYS_SENDMMSG: {"sendmmsg", []param{sockfd, {"msgvec", messagesIn}, {"vlen", size}, flagsParam}, 0},
	unix.SYS_RECVMMSG: {"recvmmsg", []param{sockfd, {"msgvec", messagesOut}, {"vlen", size}, flagsParam, {"timeout", timespec}}, 0},

	unix.SYS_READ:     {"read", []param{fdParam, {"buf", bytesOut}, {"count", size}}, 0},
	unix.SYS_WRITE:    {"write", []param{fdParam, {"buf", bytesIn}, {"count", size}}, 0},
	unix.SYS_READV:    {"readv", []param{fdParam, {"iov", vectorOut}, {"iovcnt", number}}, 0},
	unix.SYS_WRITEV:   {"writev", []param{fdParam, {"iov", vectorIn}, {"iovcnt", number}}, 0},
	unix.SYS_SENDFILE: {"sendfile", []param{{"out_fd", descriptor}, {"in_fd", descriptor}, {"offset", pointer}, {"count", size}}, 0},

	unix.SYS_CLOSE:       {"close", []param{fdParam}, 0},
	unix.SYS_CLOSE_RANGE: {"close_range", []param{{"first", size}, {"last", size}, {"flags", size}}, -1},
	unix.SYS_DUP:         {"dup", []param{{"oldfd", descriptor}}, 0},
	unix.SYS_DUP3:        {"dup3", []param{{"oldfd", descriptor}, {"newfd", descriptor}, {"flags", duplicateFlags}}, 0},
	unix.SYS_FCNTL:       {"fcntl", []param{fdParam, {"op", command}, {"arg", number}}, 0},
	unix.SYS_PIDFD_GETFD: {"pidfd_getfd", []param{{"pidfd", descriptor}, {"targetfd", descriptor}, {"flags", size}}, 0},

	unix.SYS_EPOLL_CREATE1: {"epoll_create1", []param{{"flags", epollFlags}}, -1},
	unix.SYS_EPOLL_CTL:     {"epoll_ctl", []param{{"epfd", descriptor}, {"op", epollOperation}, fdParam, {"event", epollEvent}}, 2},
	unix.SYS_EPOLL_PWAIT:   {"epoll_pwait", []param{{"epfd", descriptor}, {"events", epollEvents}, {"maxevents", number}, {"timeout", milliseconds}}, 0},
	unix.SYS_EPOLL_PWAIT2:  {"epoll_pwait2", []param{{"epfd", descriptor}, {"events", epollEvents}, {"maxevents", number}, {"timeout", timespec}}, 0},
	unix.SYS_PPOLL:         {"ppoll", []param{{"fds", pollFDs}, {"nfds", size}, {"tmo_p", timespec}}, -1},

	unix.SYS_IO_URING_SETUP: {"io_uring_setup", []param{{"entries", size}, {"params", pointer}}, -1},
}
