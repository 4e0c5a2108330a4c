package glossary

var words = []Entry{
	{
		Name: "Recv-Q", Kind: Column,
		Means:  "On a LISTEN row: the connections that wait in the accept queue.",
		Not:    "On other rows it is bytes. ss shows the moment only: a queue that is full for 80 ms each second looks empty.",
		Do:     "backlogprobe samples 100 times a second.",
		Source: "ss(8); tcp_diag_get_info",
	},
	{
		Name: "Send-Q", Kind: Column,
		Means:  "On a LISTEN row: the backlog that listen(2) granted. The queue holds one more.",
		Not:    "On other rows it is bytes. netstat -ltn always says 0 here.",
		Source: "ss(8); tcp_diag_get_info",
	},
	{
		Name: "sk_drops", Kind: Column, Aliases: []string{"drops", "skmem d"},
		Means:  "The d of skmem in ss -m: segments that this one socket refused since it was made. A refused SYN counts once, a refused final ACK twice.",
		Not:    "Neither connections nor clients nor only overflows: stray segments count too. Nothing resets it.",
		Do:     "It is the only counter that belongs to one listener: backlogprobe shows it as Drops.",
		Source: "SK_MEMINFO_DROPS of sock_diag(7)",
	},
	{
		Name: "TCP_LISTEN_OVERFLOW", Kind: Reason, Aliases: []string{"SKB_DROP_REASON_TCP_LISTEN_OVERFLOW"}, Since: "6.15",
		Means:  "What skb:kfree_skb reports when a final ACK finds the accept queue full.",
		Not:    "Its absence proves nothing: a SYN that a full queue refuses is consumed in the ordinary way on many kernels, and no drop monitor shows it.",
		Source: "include/net/dropreason-core.h",
	},
	{
		Name: "backlog", Kind: Word,
		Means:  "The second argument of listen(2), capped by somaxconn. It limits both queues of the listener: each holds backlog+1.",
		Not:    "Not the sum of both queues, not rounded to a power of two, not 16 bits. 0 still admits one, and a negative one means somaxconn.",
		Do:     "Arrivals per second × longest stall, and a margin: backlogprobe advise.",
		Source: "listen(2); sk_acceptq_is_full",
	},
	{
		Name: "SYN queue", Kind: Word, Aliases: []string{"syn backlog", "request queue", "half-open"},
		Means:  "Handshakes whose final ACK hasn't come or was refused: SYN_RECV rows. At most backlog+1 per listener; then cookies.",
		Not:    "tcp_max_syn_backlog isn't its size. Tools named 'synbl' and 'syn-backlog' show the accept queue.",
		Source: "inet_csk_reqsk_queue_is_full",
	},
	{
		Name: "accept queue", Kind: Word,
		Means:  "Connections that are established and wait for accept(2). Their clients may have sent requests already, and may have gone again.",
		Not:    "A full one refuses nobody with an error: SYNs and final ACKs are ignored, and clients try again after 1 s.",
		Do:     "A queue that is full for long means a server that is too slow. A longer queue makes clients wait longer.",
		Source: "sk_acceptq_is_full",
	},
	{
		Name: "511", Kind: Word,
		Means:  "The backlog that Node, nginx and Redis ask for when nobody chose one. It holds 512 connections.",
		Not:    "The kernel doesn't round to powers of two: that was the size of a table before Linux 4.4.",
		Do:     "Give a backlog explicitly: server.listen({port, backlog}), listen 80 backlog=4096, tcp-backlog.",
		Source: "uv_listen; NGX_LISTEN_BACKLOG",
	},
	{
		Name: "SYN cookie", Kind: Word, Aliases: []string{"cookie", "cookies", "syncookie"},
		Means:  "A SYN-ACK whose sequence number holds all that is needed of the SYN, so that nothing need be kept.",
		Not:    "It doesn't reset clients, and it doesn't get around a full accept queue.",
		Source: "cookie_v4_init_sequence",
	},
	{
		Name: "TIME_WAIT", Kind: Word, Aliases: []string{"time-wait"},
		Means:  "The end that closed first remembers the connection for 60 s.",
		Not:    "It holds neither a place in a queue nor a descriptor.",
		Source: "tcp_time_wait",
	},
	{
		Name: "SYN_RECV", Kind: Word, Aliases: []string{"syn-recv"},
		Means:  "A handshake in the SYN queue. With a full accept queue, a client of such a row may believe that it is connected.",
		Not:    "Handshakes by cookie have no row.",
		Source: "tcp_conn_request",
	},
	{
		Name: "thundering herd", Kind: Word,
		Means:  "A connection wakes all processes that wait for it, and one gets it.",
		Not:    "EAGAIN shows few of the useless wake-ups: most go back to sleep within epoll_wait. Count context switches.",
		Source: "epoll(7), EPOLLEXCLUSIVE",
	},
	{
		Name: "ECONNABORTED", Kind: Word,
		Means:  "accept(2) on some systems, when the client has reset the connection meanwhile.",
		Not:    "Linux doesn't: accept succeeds, and the first read fails with ECONNRESET.",
		Source: "inet_csk_accept",
	},
}
