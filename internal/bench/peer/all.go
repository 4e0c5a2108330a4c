package peer

// All is every server, whether or not this machine can have it.
func All() []Peer {
	return []Peer{
		{"c-close", Close, "C: one epoll instance, accept4 until EAGAIN", inC("accept_epoll", address, "close")},
		{"loop-close", Close, "accept.Loop", own("loop-close")},
		{"listen-close", Close, "listen.Listener: Accept and Close in turn", own("listen-close")},
		{"net-close", Close, "net.Listener: Accept and Close in turn", own("net-close")},

		{"c-hold", Hold, "C: one epoll instance", inC("accept_epoll", address, "hold")},
		{"loop-hold", Hold, "accept.Loop, watched", own("loop-hold")},

		{"c-http", KeepAlive, "C: one epoll instance", inC("http_epoll", address)},
		{"loop-http", KeepAlive, "accept.Loop answers itself", own("loop-http")},
		{"listen-nethttp", KeepAlive, "net/http on listen.Listener", own("listen-nethttp")},
		{"net-nethttp", KeepAlive, "net/http on net.Listener", own("net-nethttp")},

		{"c-rr", KeepAlive, "C: accept4, SCM_RIGHTS, a worker answers", inC("handoff", address, processes, "rr")},
		{"c-shared", KeepAlive, "C: workers accept from one socket, EPOLLEXCLUSIVE", inC("handoff", address, processes, "shared")},
		{"c-reuseport", KeepAlive, "C: each worker has a socket, SO_REUSEPORT", inC("handoff", address, processes, "reuseport")},
		{"handoff", KeepAlive, "accept.Loop, fdpass.Queue, accept.Loop answers, no cluster", own("handoff")},
		{"rr-loop", KeepAlive, "cluster rr, workers answer themselves", own("rr-loop")},
		{"rr-nethttp", KeepAlive, "cluster rr, net/http workers", own("rr-nethttp")},
		{"shared-nethttp", KeepAlive, "cluster shared, net/http workers", own("shared-nethttp")},
		{"reuseport-nethttp", KeepAlive, "cluster reuseport, net/http workers", own("reuseport-nethttp")},
	}
}
