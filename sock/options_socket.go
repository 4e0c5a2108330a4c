package sock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Options of SOL_SOCKET, sorted by name. See socket(7) and unix(7).
var (
	AcceptConn = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_ACCEPTCONN, Name: "SO_ACCEPTCONN", Unit: "flag", Access: ReadOnly,
		Doc: "Whether the socket listens."})
	AttachFilter = define(program, Info{Level: unix.SOL_SOCKET, Number: unix.SO_ATTACH_FILTER, Name: "SO_ATTACH_FILTER", Unit: "instructions", Access: WriteOnly, Inherited: true,
		Doc: "Drop what this classic BPF program returns 0 for, on a listener whole handshakes; on TCP kernels since mid-2026 want CAP_NET_ADMIN."})
	AttachReusePortCBPF = define(program, Info{Level: unix.SOL_SOCKET, Number: unix.SO_ATTACH_REUSEPORT_CBPF, Name: "SO_ATTACH_REUSEPORT_CBPF", Unit: "instructions", Since: "4.5", Access: WriteOnly,
		Doc: "Choose the member of the SO_REUSEPORT group, for the whole group, by a classic BPF program that returns its index (TCP: since 4.6)."})
	AttachReusePortEBPF = define(descriptor, Info{Level: unix.SOL_SOCKET, Number: unix.SO_ATTACH_REUSEPORT_EBPF, Name: "SO_ATTACH_REUSEPORT_EBPF", Unit: "descriptor", Since: "4.5", Access: WriteOnly,
		Doc: "The same by an eBPF program, given by its descriptor, which the caller keeps (TCP: since 4.6)."})
	BindToDevice = define(text, Info{Level: unix.SOL_SOCKET, Number: unix.SO_BINDTODEVICE, Name: "SO_BINDTODEVICE", Unit: "interface", Inherited: true,
		Doc: "Use this network interface only; empty: any; once set, or before 5.7, it needs CAP_NET_RAW (reading it: since 3.8)."})
	BindToIfindex = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_BINDTOIFINDEX, Name: "SO_BINDTOIFINDEX", Unit: "interface index", Since: "5.1", Inherited: true,
		Doc: "SO_BINDTODEVICE by number; 0: any."})
	Broadcast = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_BROADCAST, Name: "SO_BROADCAST", Unit: "flag", Inherited: true,
		Doc: "Let datagrams go to broadcast addresses; no effect on streams."})
	BufLock = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_BUF_LOCK, Name: "SO_BUF_LOCK", Unit: "SOCK_*BUF_LOCK", Since: "5.15", Inherited: true,
		Doc: "Which buffer sizes were set by hand and are exempt from auto-tuning: 1 send, 2 receive, 3 both."})
	BusyPoll = define(duration(time.Microsecond), Info{Level: unix.SOL_SOCKET, Number: unix.SO_BUSY_POLL, Name: "SO_BUSY_POLL", Unit: "µs", Since: "3.11", Inherited: true,
		Doc: "Poll the device queue for so long when a blocking receive finds nothing; older kernels want CAP_NET_ADMIN to raise it."})
	Cookie = define(same[uint64](), Info{Level: unix.SOL_SOCKET, Number: unix.SO_COOKIE, Name: "SO_COOKIE", Unit: "id", Since: "4.12", Access: ReadOnly,
		Doc: "A number that no other socket of this boot has, as in sock_diag."})
	Debug = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_DEBUG, Name: "SO_DEBUG", Unit: "flag", Inherited: true,
		Doc: "Kernel debugging; needs CAP_NET_ADMIN."})
	DetachFilter = define(action, Info{Level: unix.SOL_SOCKET, Number: unix.SO_DETACH_FILTER, Name: "SO_DETACH_FILTER", Unit: "action", Access: WriteOnly,
		Doc: "Undo SO_ATTACH_FILTER; ENOENT: there is none."})
	DetachReusePortBPF = define(action, Info{Level: unix.SOL_SOCKET, Number: unix.SO_DETACH_REUSEPORT_BPF, Name: "SO_DETACH_REUSEPORT_BPF", Unit: "action", Since: "5.3", Access: WriteOnly,
		Doc: "Choose by hash again in the SO_REUSEPORT group; ENOENT: it has no program."})
	SockDomain = define(family, Info{Level: unix.SOL_SOCKET, Number: unix.SO_DOMAIN, Name: "SO_DOMAIN", Unit: "AF_*", Since: "2.6.32", Access: ReadOnly,
		Doc: "The address family."})
	DontRoute = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_DONTROUTE, Name: "SO_DONTROUTE", Unit: "flag", Inherited: true,
		Doc: "Send to directly connected hosts only."})
	SockError = define(pendingError, Info{Level: unix.SOL_SOCKET, Number: unix.SO_ERROR, Name: "SO_ERROR", Unit: "errno", Access: ReadOnly,
		Doc: "The pending error, such as the end of a non-blocking connect, or nil; reading it clears it."})
	IncomingCPU = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_INCOMING_CPU, Name: "SO_INCOMING_CPU", Unit: "CPU", Since: "4.4",
		Doc: "Prefer this listener for packets of that CPU (in a SO_REUSEPORT group: since 6.2); on a connection, the CPU that handles it (reading it: since 3.19)."})
	IncomingNAPIID = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_INCOMING_NAPI_ID, Name: "SO_INCOMING_NAPI_ID", Unit: "id", Since: "4.12", Access: ReadOnly,
		Doc: "The device queue that the last packet came by; 0: unknown."})
	KeepAlive = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_KEEPALIVE, Name: "SO_KEEPALIVE", Unit: "flag", Inherited: true,
		Doc: "Probe a silent peer; see TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT."})
	Linger = define(linger, Info{Level: unix.SOL_SOCKET, Number: unix.SO_LINGER, Name: "SO_LINGER", Unit: "s", Inherited: true,
		Doc: "What close does with data that is not sent yet."})
	LockFilter = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_LOCK_FILTER, Name: "SO_LOCK_FILTER", Unit: "flag", Since: "3.9", Inherited: true,
		Doc: "Refuse any change of BPF programs from now on; can't be undone."})
	Mark = define(same[uint32](), Info{Level: unix.SOL_SOCKET, Number: unix.SO_MARK, Name: "SO_MARK", Unit: "mark", Since: "2.6.25", Inherited: true,
		Doc: "Firewall mark of what is sent, for routing and netfilter; needs CAP_NET_ADMIN or, since 5.17, CAP_NET_RAW."})
	MaxPacingRate = define(same[uint64](), Info{Level: unix.SOL_SOCKET, Number: unix.SO_MAX_PACING_RATE, Name: "SO_MAX_PACING_RATE", Unit: "bytes/s", Since: "3.13", Inherited: true,
		Doc: "Upper limit of the send rate (above 4 GiB/s: since 5.1); all ones: none."})
	MemInfo = define(same[[9]uint32](), Info{Level: unix.SOL_SOCKET, Number: unix.SO_MEMINFO, Name: "SO_MEMINFO", Unit: "SK_MEMINFO_*", Since: "4.12", Access: ReadOnly,
		Doc: "Memory use; at index 8 what was dropped, which on a listener counts refused handshakes."})
	NetnsCookie = define(same[uint64](), Info{Level: unix.SOL_SOCKET, Number: unix.SO_NETNS_COOKIE, Name: "SO_NETNS_COOKIE", Unit: "id", Since: "5.14", Access: ReadOnly,
		Doc: "A number that no other network namespace of this boot has."})
	OOBInline = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_OOBINLINE, Name: "SO_OOBINLINE", Unit: "flag", Inherited: true,
		Doc: "Leave urgent data in the stream."})
	PassCred = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_PASSCRED, Name: "SO_PASSCRED", Unit: "flag", Inherited: true,
		Doc: "Receive the sender's credentials with each message of a unix socket."})
	PassPidfd = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_PASSPIDFD, Name: "SO_PASSPIDFD", Unit: "flag", Since: "6.5", Inherited: true,
		Doc: "Receive a pidfd of the sender with each message of a unix socket."})
	PassRights = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_PASSRIGHTS, Name: "SO_PASSRIGHTS", Unit: "flag", Since: "6.16", Inherited: true,
		Doc: "Let others send descriptors to this unix socket; off, their sendmsg fails with EPERM."})
	PeerCred = define(same[unix.Ucred](), Info{Level: unix.SOL_SOCKET, Number: unix.SO_PEERCRED, Name: "SO_PEERCRED", Unit: "struct ucred", Access: ReadOnly,
		Doc: "Who was at the other end of a unix connection: at connect for a client, at listen for a server."})
	PeerPidfd = define(descriptor, Info{Level: unix.SOL_SOCKET, Number: unix.SO_PEERPIDFD, Name: "SO_PEERPIDFD", Unit: "descriptor", Since: "6.5", Access: ReadOnly,
		Doc: "A new close-on-exec pidfd of the peer of SO_PEERCRED, which the caller owns."})
	PreferBusyPoll = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_PREFER_BUSY_POLL, Name: "SO_PREFER_BUSY_POLL", Unit: "flag", Since: "5.11", Inherited: true,
		Doc: "Leave the device queue to busy polling instead of softirqs; needs CAP_NET_ADMIN."})
	Priority = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_PRIORITY, Name: "SO_PRIORITY", Unit: "priority",
		Doc: "Queueing priority of what is sent; above 6 needs CAP_NET_ADMIN or, since 5.17, CAP_NET_RAW."})
	SockProtocol = define(protocol, Info{Level: unix.SOL_SOCKET, Number: unix.SO_PROTOCOL, Name: "SO_PROTOCOL", Unit: "IPPROTO_*", Since: "2.6.32", Access: ReadOnly,
		Doc: "The protocol; a connection of an MPTCP listener whose client doesn't speak it is TCP."})
	RcvBuf = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_RCVBUF, Name: "SO_RCVBUF", Unit: "bytes", Inherited: true,
		Doc: "Receive buffer: reads back doubled, at most twice net.core.rmem_max; only on the listener it also limits the window that a client is offered."})
	RcvBufForce = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_RCVBUFFORCE, Name: "SO_RCVBUFFORCE", Unit: "bytes", Since: "2.6.14", Access: WriteOnly, Inherited: true,
		Doc: "SO_RCVBUF beyond net.core.rmem_max; needs CAP_NET_ADMIN."})
	RcvLowat = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_RCVLOWAT, Name: "SO_RCVLOWAT", Unit: "bytes", Inherited: true,
		Doc: "How much must wait before the socket is readable."})
	RcvMark = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_RCVMARK, Name: "SO_RCVMARK", Unit: "flag", Since: "5.19", Inherited: true,
		Doc: "Receive the mark of a packet with each message; some kernels want CAP_NET_ADMIN or CAP_NET_RAW."})
	RcvTimeo = define(timeval, Info{Level: unix.SOL_SOCKET, Number: unix.SO_RCVTIMEO, Name: "SO_RCVTIMEO", Unit: "timeval", Inherited: true,
		Doc: "How long a blocking receive or accept waits, rounded up to a clock tick; 0: for ever."})
	ReuseAddr = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_REUSEADDR, Name: "SO_REUSEADDR", Unit: "flag", Inherited: true,
		Doc: "Bind a port that only has connections in TIME_WAIT left, if their socket had set it too."})
	ReusePort = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_REUSEPORT, Name: "SO_REUSEPORT", Unit: "flag", Since: "3.9", Inherited: true,
		Doc: "Share the port with other sockets of the same user that set it too."})
	SndBuf = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_SNDBUF, Name: "SO_SNDBUF", Unit: "bytes", Inherited: true,
		Doc: "Send buffer: reads back doubled, at most twice net.core.wmem_max."})
	SndBufForce = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_SNDBUFFORCE, Name: "SO_SNDBUFFORCE", Unit: "bytes", Since: "2.6.14", Access: WriteOnly, Inherited: true,
		Doc: "SO_SNDBUF beyond net.core.wmem_max; needs CAP_NET_ADMIN."})
	SndTimeo = define(timeval, Info{Level: unix.SOL_SOCKET, Number: unix.SO_SNDTIMEO, Name: "SO_SNDTIMEO", Unit: "timeval", Inherited: true,
		Doc: "How long a blocking send or connect waits, rounded up to a clock tick; 0: for ever."})
	Timestamp = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_TIMESTAMP, Name: "SO_TIMESTAMP", Unit: "flag", Inherited: true,
		Doc: "Receive the time of arrival with each message, in µs."})
	TimestampNS = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_TIMESTAMPNS, Name: "SO_TIMESTAMPNS", Unit: "flag", Since: "2.6.22", Inherited: true,
		Doc: "Receive the time of arrival with each message, in ns."})
	TxRehash = define(number, Info{Level: unix.SOL_SOCKET, Number: unix.SO_TXREHASH, Name: "SO_TXREHASH", Unit: "-1, 0, 1", Since: "5.18", Inherited: true,
		Doc: "Look for another path after timeouts: 1 yes, 0 no, -1 as net.core.txrehash says."})
	SockType = define(socketType, Info{Level: unix.SOL_SOCKET, Number: unix.SO_TYPE, Name: "SO_TYPE", Unit: "SOCK_*", Access: ReadOnly,
		Doc: "The socket type."})
	ZeroCopy = define(flag, Info{Level: unix.SOL_SOCKET, Number: unix.SO_ZEROCOPY, Name: "SO_ZEROCOPY", Unit: "flag", Since: "4.14", Inherited: true,
		Doc: "Allow MSG_ZEROCOPY."})
)
