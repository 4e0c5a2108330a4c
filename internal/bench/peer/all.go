package peer

// All is every server, whether or not this machine can have it.
func All() []Peer {
	return []Peer{
		{"c-close", Close, "C: one epoll instance, accept4 until EAGAIN", inC("accept_epoll", address, "close")},
		{"loop-close", Close, "accept.Loop", own("loop-close")},
		{"listen-close", Close, "listen.Listener: Accept and Close in turn", own("listen-close")},
		{"net-close", Close, "net.Listener: Accept and Close in turn", own("net-close")},
		{"gnet-close", Close, "gnet: event loops, SO_REUSEPORT", inGo("gnet", address, processes, "close")},
		{"node-close", Close, "Node, net", node("net.js", address, "close")},

		{"c-hold", Hold, "C: one epoll instance", inC("accept_epoll", address, "hold")},
		{"loop-hold", Hold, "accept.Loop, watched", own("loop-hold")},
		{"listen-hold", Hold, "listen.Listener, a goroutine in Read for each", own("listen-hold")},
		{"net-hold", Hold, "net.Listener, a goroutine in Read for each", own("net-hold")},
		{"node-hold", Hold, "Node, net", node("net.js", address, "hold")},

		{"c-http", KeepAlive, "C: one epoll instance", inC("http_epoll", address)},
		{"loop-http", KeepAlive, "accept.Loop answers itself", own("loop-http")},
		{"listen-nethttp", KeepAlive, "net/http on listen.Listener", own("listen-nethttp")},
		{"net-nethttp", KeepAlive, "net/http on net.Listener", own("net-nethttp")},
		{"gnet-http", KeepAlive, "gnet answers itself: event loops, SO_REUSEPORT", inGo("gnet", address, processes, "http")},
		{"fasthttp", KeepAlive, "fasthttp, prefork with SO_REUSEPORT", inGo("fasthttp", address, processes)},
		{"nginx", KeepAlive, "nginx, workers accept from one socket", nginx("")},
		{"nginx-reuseport", KeepAlive, "nginx, each worker has a socket, SO_REUSEPORT", nginx(" reuseport")},
		{"haproxy", KeepAlive, "haproxy, threads", haproxy},
		{"node-http", KeepAlive, "Node, http in one process", node("http.js", address, processes, "alone")},

		{"c-rr", KeepAlive, "C: accept4, SCM_RIGHTS, a worker answers", inC("handoff", address, processes, "rr")},
		{"c-shared", KeepAlive, "C: workers accept from one socket, EPOLLEXCLUSIVE", inC("handoff", address, processes, "shared")},
		{"c-reuseport", KeepAlive, "C: each worker has a socket, SO_REUSEPORT", inC("handoff", address, processes, "reuseport")},
		{"handoff", KeepAlive, "accept.Loop, fdpass.Queue, accept.Loop answers, no cluster", own("handoff")},
		{"rr-loop", KeepAlive, "cluster rr, workers answer themselves", own("rr-loop")},
		{"rr-nethttp", KeepAlive, "cluster rr, net/http workers", own("rr-nethttp")},
		{"shared-nethttp", KeepAlive, "cluster shared, net/http workers", own("shared-nethttp")},
		{"reuseport-nethttp", KeepAlive, "cluster reuseport, net/http workers", own("reuseport-nethttp")},
		{"node-rr", KeepAlive, "Node's cluster, round robin, http", node("http.js", address, processes, "rr")},
		{"node-go", KeepAlive, "Node's cluster, round robin, workers in Go: net/http on cluster.Listen", nodeOverGo},
		{"rr-node", KeepAlive, "cluster rr, workers in Node, http", goOverNode},
		{"node-none", KeepAlive, "Node's cluster, one socket for all, http", node("http.js", address, processes, "none")},
	}
}
