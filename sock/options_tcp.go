package sock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Options of SOL_TCP, sorted by name. See tcp(7).
var (
	Congestion = define(text, Info{Level: unix.SOL_TCP, Number: unix.TCP_CONGESTION, Name: "TCP_CONGESTION", Unit: "name", Since: "2.6.13", Inherited: true,
		Doc: "Congestion control algorithm; one outside net.ipv4.tcp_allowed_congestion_control needs CAP_NET_ADMIN."})
	Cork = define(flag, Info{Level: unix.SOL_TCP, Number: unix.TCP_CORK, Name: "TCP_CORK", Unit: "flag", Inherited: true,
		Doc: "Send full segments only, for at most 200 ms."})
	DeferAccept = define(duration(time.Second), Info{Level: unix.SOL_TCP, Number: unix.TCP_DEFER_ACCEPT, Name: "TCP_DEFER_ACCEPT", Unit: "s",
		Doc: "Queue a connection only once data has come or this time is over, rounded up to 1, 3, 7, 15, 31... s; meanwhile it counts as an unfinished handshake."})
	DelackMaxUS = define(duration(time.Microsecond), Info{Level: unix.SOL_TCP, Number: unix.TCP_DELACK_MAX_US, Name: "TCP_DELACK_MAX_US", Unit: "µs", Since: "6.15", Inherited: true,
		Doc: "Longest delay of an acknowledgement."})
	FastOpen = define(number, Info{Level: unix.SOL_TCP, Number: unix.TCP_FASTOPEN, Name: "TCP_FASTOPEN", Unit: "connections", Since: "3.7",
		Doc: "How many Fast Open connections with an unfinished handshake a listener takes, with their data; needs bit 2 of net.ipv4.tcp_fastopen."})
	FastOpenConnect = define(flag, Info{Level: unix.SOL_TCP, Number: unix.TCP_FASTOPEN_CONNECT, Name: "TCP_FASTOPEN_CONNECT", Unit: "flag", Since: "4.11", Inherited: true,
		Doc: "A client's connect waits for the first write, which goes out with the SYN."})
	FastOpenKey = define(blob(32), Info{Level: unix.SOL_TCP, Number: unix.TCP_FASTOPEN_KEY, Name: "TCP_FASTOPEN_KEY", Unit: "bytes", Since: "4.15",
		Doc: "The key of Fast Open cookies, 16 bytes, or 32 for a primary and a backup; servers of one name share it."})
	FastOpenNoCookie = define(flag, Info{Level: unix.SOL_TCP, Number: unix.TCP_FASTOPEN_NO_COOKIE, Name: "TCP_FASTOPEN_NO_COOKIE", Unit: "flag", Since: "4.15", Inherited: true,
		Doc: "Take Fast Open data from clients without a cookie."})
	TCPInfo = define(same[unix.TCPInfo](), Info{Level: unix.SOL_TCP, Number: unix.TCP_INFO, Name: "TCP_INFO", Unit: "struct tcp_info", Access: ReadOnly,
		Doc: "State and counters; on a listener Unacked is the length of the accept queue and Sacked its limit."})
	Inq = define(flag, Info{Level: unix.SOL_TCP, Number: unix.TCP_INQ, Name: "TCP_INQ", Unit: "flag", Since: "4.18", Inherited: true,
		Doc: "Receive with each message how many bytes are left."})
	IsMPTCP = define(flag, Info{Level: unix.SOL_TCP, Number: 43, Name: "TCP_IS_MPTCP", Unit: "flag", Since: "6.10", Access: ReadOnly,
		Doc: "Whether the connection really is MPTCP and didn't fall back to TCP."})
	KeepCnt = define(number, Info{Level: unix.SOL_TCP, Number: unix.TCP_KEEPCNT, Name: "TCP_KEEPCNT", Unit: "probes", Inherited: true,
		Doc: "Unanswered keep-alive probes after which the connection is dead."})
	KeepIdle = define(duration(time.Second), Info{Level: unix.SOL_TCP, Number: unix.TCP_KEEPIDLE, Name: "TCP_KEEPIDLE", Unit: "s", Inherited: true,
		Doc: "Silence after which keep-alive probes begin."})
	KeepIntvl = define(duration(time.Second), Info{Level: unix.SOL_TCP, Number: unix.TCP_KEEPINTVL, Name: "TCP_KEEPINTVL", Unit: "s", Inherited: true,
		Doc: "Time between keep-alive probes."})
	Linger2 = define(duration(time.Second), Info{Level: unix.SOL_TCP, Number: unix.TCP_LINGER2, Name: "TCP_LINGER2", Unit: "s", Inherited: true,
		Doc: "How long a closed socket waits for its peer's FIN, at most 120 s; negative: not at all; 0: as net.ipv4.tcp_fin_timeout says."})
	MaxSeg = define(number, Info{Level: unix.SOL_TCP, Number: unix.TCP_MAXSEG, Name: "TCP_MAXSEG", Unit: "bytes",
		Doc: "Largest segment; a connection reads back what it really uses, 12 less with timestamps."})
	NoDelay = define(flag, Info{Level: unix.SOL_TCP, Number: unix.TCP_NODELAY, Name: "TCP_NODELAY", Unit: "flag", Inherited: true,
		Doc: "Send small segments at once (Nagle's algorithm off)."})
	NotsentLowat = define(same[uint32](), Info{Level: unix.SOL_TCP, Number: unix.TCP_NOTSENT_LOWAT, Name: "TCP_NOTSENT_LOWAT", Unit: "bytes", Since: "3.12", Inherited: true,
		Doc: "Writable only while less than this is unsent; 0: as net.ipv4.tcp_notsent_lowat says."})
	QuickAck = define(flag, Info{Level: unix.SOL_TCP, Number: unix.TCP_QUICKACK, Name: "TCP_QUICKACK", Unit: "flag", Inherited: true,
		Doc: "Acknowledge at once; listen resets it, and the kernel switches it as data flows."})
	RTOMaxMS = define(duration(time.Millisecond), Info{Level: unix.SOL_TCP, Number: unix.TCP_RTO_MAX_MS, Name: "TCP_RTO_MAX_MS", Unit: "ms", Since: "6.15", Inherited: true,
		Doc: "Longest retransmission timeout, 1 to 120 s."})
	RTOMinUS = define(duration(time.Microsecond), Info{Level: unix.SOL_TCP, Number: unix.TCP_RTO_MIN_US, Name: "TCP_RTO_MIN_US", Unit: "µs", Since: "6.15", Inherited: true,
		Doc: "Shortest retransmission timeout."})
	SavedSyn = define(blob(128), Info{Level: unix.SOL_TCP, Number: unix.TCP_SAVED_SYN, Name: "TCP_SAVED_SYN", Unit: "bytes", Since: "4.2", Access: ReadOnly,
		Doc: "The IP and TCP headers of the SYN, once; empty if not kept or if the handshake used a SYN cookie."})
	SaveSyn = define(flag, Info{Level: unix.SOL_TCP, Number: unix.TCP_SAVE_SYN, Name: "TCP_SAVE_SYN", Unit: "flag", Since: "4.2", Inherited: true,
		Doc: "Keep the headers of each connection's SYN for TCP_SAVED_SYN."})
	SynCnt = define(number, Info{Level: unix.SOL_TCP, Number: unix.TCP_SYNCNT, Name: "TCP_SYNCNT", Unit: "segments", Inherited: true,
		Doc: "SYNs that connect repeats before it gives up."})
	ThinLinearTimeouts = define(flag, Info{Level: unix.SOL_TCP, Number: unix.TCP_THIN_LINEAR_TIMEOUTS, Name: "TCP_THIN_LINEAR_TIMEOUTS", Unit: "flag", Since: "2.6.34", Inherited: true,
		Doc: "No exponential back-off while few packets are in flight."})
	TxDelay = define(duration(time.Microsecond), Info{Level: unix.SOL_TCP, Number: unix.TCP_TX_DELAY, Name: "TCP_TX_DELAY", Unit: "µs", Since: "5.3", Inherited: true,
		Doc: "Delay everything sent, for tests."})
	ULP = define(text, Info{Level: unix.SOL_TCP, Number: unix.TCP_ULP, Name: "TCP_ULP", Unit: "name", Since: "4.13",
		Doc: "Upper layer protocol, \"tls\" or \"smc\"; can't be undone."})
	UserTimeout = define(duration(time.Millisecond), Info{Level: unix.SOL_TCP, Number: unix.TCP_USER_TIMEOUT, Name: "TCP_USER_TIMEOUT", Unit: "ms", Since: "2.6.37", Inherited: true,
		Doc: "How long sent data may stay unacknowledged before the connection is dead; 0: default."})
	WindowClamp = define(number, Info{Level: unix.SOL_TCP, Number: unix.TCP_WINDOW_CLAMP, Name: "TCP_WINDOW_CLAMP", Unit: "bytes", Inherited: true,
		Doc: "Largest receive window to offer, at least half the minimal receive buffer."})
)
