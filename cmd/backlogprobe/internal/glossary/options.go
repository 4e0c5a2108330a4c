package glossary

// options are of setsockopt(2) and epoll_ctl(2).
var options = []Entry{
	{
		Name: "SO_REUSEADDR", Kind: Option,
		Means:  "bind(2) succeeds although connections of an earlier socket are left on the port, such as in TIME_WAIT.",
		Not:    "It doesn't let two sockets listen on one port, and it doesn't help if the earlier socket was without it.",
		Do:     "Set it on every listening socket, before bind.",
		Source: "socket(7); inet_csk_get_port",
	},
	{
		Name: "SO_REUSEPORT", Kind: Option,
		Means:  "Several sockets of one user listen on one port, each with queues of its own. A hash of the addresses chooses.",
		Not:    "A full member doesn't pass clients on to an idle one, and closing a member resets what waits in it, unless tcp_migrate_req=1. root is no exception from 'one user'.",
		Source: "socket(7); reuseport_select_sock",
	},
	{
		Name: "TCP_DEFER_ACCEPT", Kind: Option,
		Means:  "A connection enters the accept queue when its first data comes, or after the given seconds, rounded up to 1, 3, 7, 15, ...",
		Not:    "Silent clients are not dropped at the end. They wait in the SYN queue, and when that is full, cookies let them in at once.",
		Source: "tcp(7); tcp_check_req",
	},
	{
		Name: "TCP_FASTOPEN", Kind: Option,
		Means:  "On a listener: how many connections may be open at a time that came with data in their SYN and aren't finished.",
		Not:    "Not a backlog: beyond it clients connect in the ordinary way. It needs bit 2 of the sysctl tcp_fastopen.",
		Source: "tcp(7); tcp_fastopen_queue_check",
	},
	{
		Name: "EPOLLEXCLUSIVE", Kind: Option,
		Means:  "Of several epoll instances that watch one listener, one at least is woken per connection instead of all.",
		Not:    "It doesn't balance: at light load the one that registered first gets all. Taking the listener out and in again after accepting evens it out.",
		Source: "epoll_ctl(2); ep_ptable_queue_proc",
	},
	{
		Name: "SO_INCOMING_CPU", Kind: Option, Since: "6.2",
		Means:  "Among SO_REUSEPORT listeners, prefer this one for what arrives on that CPU.",
		Source: "socket(7); reuseport_select_sock_by_hash",
	},
}
