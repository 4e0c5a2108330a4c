package glossary

// settings are files of /proc/sys/net.
var settings = []Entry{
	{
		Name: "somaxconn", Kind: Setting, Key: "core/somaxconn",
		Means:  "The most that listen(2) grants as backlog; 4096 since Linux 5.4. Each network namespace has its own, which new ones don't inherit.",
		Not:    "Raising it changes no listener that exists, and none that asks for less: Node, nginx and Redis ask for 511.",
		Do:     "Raise it, then make the program call listen(2) again with a greater backlog, or use backlogprobe set.",
		Source: "listen(2); __sys_listen_socket",
	},
	{
		Name: "tcp_max_syn_backlog", Kind: Setting, Key: "ipv4/tcp_max_syn_backlog",
		Means:  "With tcp_syncookies=0: handshakes beyond three quarters of it are refused for clients that haven't connected lately.",
		Not:    "It isn't the size of the SYN queue, and with tcp_syncookies=1, the default, it has no effect at all. It has nothing to do with ListenOverflows.",
		Do:     "Leave it. The backlog of the listener is what limits its SYN queue.",
		Source: "tcp_conn_request",
	},
	{
		Name: "tcp_syncookies", Kind: Setting, Key: "ipv4/tcp_syncookies",
		Means:  "1: a listener whose SYN queue is full answers with cookies. 0: it drops the SYNs. 2: always cookies, for tests.",
		Not:    "No help against a full accept queue: SYNs are dropped then in any case.",
		Do:     "Leave it at 1.",
		Source: "tcp(7); tcp_conn_request",
	},
	{
		Name: "tcp_abort_on_overflow", Kind: Setting, Key: "ipv4/tcp_abort_on_overflow",
		Means:  "1: a final ACK that finds the accept queue full is answered with a reset. 0: it is ignored, and the handshake tried again.",
		Not:    "It doesn't make clients fail fast: SYNs that find the queue full are dropped in silence either way. Handshakes by cookie aren't reset either. There is no counter of this name: EmbryonicRsts, ListenOverflows and OutRsts count what it resets.",
		Do:     "Leave it at 0, unless clients have another server to go to.",
		Source: "tcp(7); tcp_check_req",
	},
	{
		Name: "tcp_synack_retries", Kind: Setting, Key: "ipv4/tcp_synack_retries",
		Means:  "How often a SYN-ACK is sent again. 5 means at 1, 3, 7, 15 and 31 s, and that a handshake is forgotten after 63 s.",
		Not:    "A SYN queue that is more than half full forgets old handshakes sooner, after 7 s.",
		Source: "tcp(7); reqsk_timer_handler",
	},
	{
		Name: "tcp_syn_retries", Kind: Setting, Key: "ipv4/tcp_syn_retries",
		Means:  "How often a client sends its SYN again. With 6, and 4 of them linear, connect(2) fails with ETIMEDOUT after 131 s.",
		Not:    "Not 127 s any more, since tcp_syn_linear_timeouts. It is the client's setting, not the server's.",
		Source: "tcp(7); tcp_write_timeout",
	},
	{
		Name: "tcp_syn_linear_timeouts", Kind: Setting, Key: "ipv4/tcp_syn_linear_timeouts", Since: "6.5",
		Means:  "How many SYNs a client sends again at steps of 1 s before the steps double: 0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67 s.",
		Not:    "Drops per second are not clients: each waiting one makes a drop a second.",
		Source: "tcp_retransmit_timer; ip-sysctl.rst",
	},
	{
		Name: "tcp_migrate_req", Kind: Setting, Key: "ipv4/tcp_migrate_req", Since: "5.14",
		Means:  "1: what waits in a closing SO_REUSEPORT listener moves to another of its group.",
		Not:    "It doesn't make restarts lossless by itself: nothing is left to move to when the last one closes, and a few handshakes in ten thousand were still lost when measured.",
		Do:     "Steer new connections away first, take what waits, then close.",
		Source: "inet_csk_listen_stop",
	},
	{
		Name: "tcp_fastopen", Kind: Setting, Key: "ipv4/tcp_fastopen",
		Means:  "Bits: 1 lets clients use it, 2 lets listeners with TCP_FASTOPEN use it. The default is 1.",
		Source: "ip-sysctl.rst; tcp_try_fastopen",
	},
	{
		Name: "netdev_max_backlog", Kind: Setting, Key: "core/netdev_max_backlog",
		Means:  "Packets that may wait for a CPU between the network card's interrupt and the protocols.",
		Not:    "It has nothing to do with the backlog of listen(2).",
		Source: "enqueue_to_backlog",
	},
	{
		Name: "tcp_tw_reuse", Kind: Setting, Key: "ipv4/tcp_tw_reuse",
		Means:  "Lets a connect(2) take a port in TIME_WAIT: 1 everywhere, 2 on loopback only.",
		Not:    "It does nothing for a server's port, nor for its queues. SO_REUSEADDR lets a server bind.",
		Source: "tcp_twsk_unique",
	},
}
