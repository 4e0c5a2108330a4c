package decode

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A flag is a bit, or a value, and its name.
type flag struct {
	value uint64
	name  string
}

// join prints the bits that are set, and in hexadecimal those that have no name.
func join(v uint64, flags []flag) string {
	if v == 0 {
		return "0"
	}
	var names []string
	for _, f := range flags {
		if v&f.value == f.value {
			names = append(names, f.name)
			v &^= f.value
		}
	}
	if v != 0 {
		names = append(names, hex(v))
	}
	return strings.Join(names, "|")
}

// one prints the name of a value, or the value.
func one(v uint64, values []flag) string {
	for _, f := range values {
		if f.value == v {
			return f.name
		}
	}
	return signed(v)
}

func hex(v uint64) string    { return "0x" + strconv.FormatUint(v, 16) }
func signed(v uint64) string { return strconv.Itoa(int(int32(v))) }

// pointed is an address that nothing more is known of.
func pointed(addr uint64) string {
	if addr == 0 {
		return "NULL"
	}
	return hex(addr)
}

var families = []flag{
	{unix.AF_UNIX, "AF_UNIX"}, {unix.AF_INET, "AF_INET"}, {unix.AF_INET6, "AF_INET6"}, {unix.AF_NETLINK, "AF_NETLINK"},
	{unix.AF_PACKET, "AF_PACKET"}, {unix.AF_VSOCK, "AF_VSOCK"}, {unix.AF_ALG, "AF_ALG"}, {unix.AF_UNSPEC, "AF_UNSPEC"},
}

var types = []flag{
	{unix.SOCK_STREAM, "SOCK_STREAM"}, {unix.SOCK_DGRAM, "SOCK_DGRAM"}, {unix.SOCK_RAW, "SOCK_RAW"},
	{unix.SOCK_SEQPACKET, "SOCK_SEQPACKET"}, {unix.SOCK_RDM, "SOCK_RDM"},
}

var typeFlags = []flag{{unix.SOCK_NONBLOCK, "SOCK_NONBLOCK"}, {unix.SOCK_CLOEXEC, "SOCK_CLOEXEC"}}

// typeMask is SOCK_TYPE_MASK of the kernel.
const typeMask = 0xf

func typeText(v uint64) string {
	text := one(v&typeMask, types)
	if rest := v & 0xffffffff &^ typeMask; rest != 0 {
		text += "|" + join(rest, typeFlags)
	}
	return text
}

// Family is the name of an address family, "AF_INET".
func Family(f int) string { return one(uint64(f), families) }

// Type is the name of a socket type without its flags, "SOCK_STREAM".
func Type(t int) string { return one(uint64(t)&typeMask, types) }

var internetProtocols = []flag{
	{unix.IPPROTO_IP, "IPPROTO_IP"}, {unix.IPPROTO_TCP, "IPPROTO_TCP"}, {unix.IPPROTO_UDP, "IPPROTO_UDP"},
	{unix.IPPROTO_ICMP, "IPPROTO_ICMP"}, {unix.IPPROTO_ICMPV6, "IPPROTO_ICMPV6"}, {unix.IPPROTO_RAW, "IPPROTO_RAW"},
	{unix.IPPROTO_SCTP, "IPPROTO_SCTP"}, {unix.IPPROTO_MPTCP, "IPPROTO_MPTCP"},
}

// Protocol is the name of a protocol of a family; of others than the internet's its number.
func Protocol(family, protocol int) string {
	if family == unix.AF_INET || family == unix.AF_INET6 {
		return one(uint64(protocol), internetProtocols)
	}
	return strconv.Itoa(protocol)
}

var hows = []flag{{unix.SHUT_RD, "SHUT_RD"}, {unix.SHUT_WR, "SHUT_WR"}, {unix.SHUT_RDWR, "SHUT_RDWR"}}

var messageFlagNames = []flag{
	{unix.MSG_OOB, "MSG_OOB"}, {unix.MSG_PEEK, "MSG_PEEK"}, {unix.MSG_DONTROUTE, "MSG_DONTROUTE"},
	{unix.MSG_CTRUNC, "MSG_CTRUNC"}, {unix.MSG_TRUNC, "MSG_TRUNC"}, {unix.MSG_DONTWAIT, "MSG_DONTWAIT"},
	{unix.MSG_EOR, "MSG_EOR"}, {unix.MSG_WAITALL, "MSG_WAITALL"}, {unix.MSG_CONFIRM, "MSG_CONFIRM"},
	{unix.MSG_ERRQUEUE, "MSG_ERRQUEUE"}, {unix.MSG_NOSIGNAL, "MSG_NOSIGNAL"}, {unix.MSG_MORE, "MSG_MORE"},
	{unix.MSG_WAITFORONE, "MSG_WAITFORONE"}, {unix.MSG_ZEROCOPY, "MSG_ZEROCOPY"}, {unix.MSG_FASTOPEN, "MSG_FASTOPEN"},
	{unix.MSG_CMSG_CLOEXEC, "MSG_CMSG_CLOEXEC"},
}

var commands = []flag{{unix.F_DUPFD, "F_DUPFD"}, {unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"}}

var closeOnExec = []flag{{unix.O_CLOEXEC, "O_CLOEXEC"}}
var epollCloseOnExec = []flag{{unix.EPOLL_CLOEXEC, "EPOLL_CLOEXEC"}}

var epollOperations = []flag{
	{unix.EPOLL_CTL_ADD, "EPOLL_CTL_ADD"}, {unix.EPOLL_CTL_MOD, "EPOLL_CTL_MOD"}, {unix.EPOLL_CTL_DEL, "EPOLL_CTL_DEL"},
}

var epollEventFlags = []flag{
	{unix.EPOLLIN, "EPOLLIN"}, {unix.EPOLLPRI, "EPOLLPRI"}, {unix.EPOLLOUT, "EPOLLOUT"}, {unix.EPOLLERR, "EPOLLERR"},
	{unix.EPOLLHUP, "EPOLLHUP"}, {unix.EPOLLRDNORM, "EPOLLRDNORM"}, {unix.EPOLLWRNORM, "EPOLLWRNORM"},
	{unix.EPOLLRDHUP, "EPOLLRDHUP"}, {unix.EPOLLEXCLUSIVE, "EPOLLEXCLUSIVE"}, {unix.EPOLLWAKEUP, "EPOLLWAKEUP"},
	{unix.EPOLLONESHOT, "EPOLLONESHOT"}, {unix.EPOLLET, "EPOLLET"},
}

var pollEventFlags = []flag{
	{unix.POLLIN, "POLLIN"}, {unix.POLLPRI, "POLLPRI"}, {unix.POLLOUT, "POLLOUT"}, {unix.POLLERR, "POLLERR"},
	{unix.POLLHUP, "POLLHUP"}, {unix.POLLNVAL, "POLLNVAL"}, {unix.POLLRDHUP, "POLLRDHUP"},
}
