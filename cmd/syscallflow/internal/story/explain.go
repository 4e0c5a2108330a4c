package story

import "fmt"

// A situation is a step of which there is something to say.
type situation string

type explanation struct{ text, man string }

// explanations are the sentences. Each is a rule of the kernel, not of a program.
var explanations = map[situation]explanation{
	// The listener.
	"socket":     {"A socket without an address: only this process knows of it.", "socket(2)"},
	"reuseaddr":  {"SO_REUSEADDR lets bind take a port on which only connections in TIME_WAIT are left, if their socket had it too.", "socket(7)"},
	"reuseport":  {"SO_REUSEPORT, set before bind, lets several sockets of one user listen on one port. Each has a queue of its own; a hash of the addresses chooses.", "socket(7)"},
	"defer":      {"TCP_DEFER_ACCEPT keeps a connection out of the accept queue until its client has sent something.", "tcp(7)"},
	"steer":      {"A BPF program chooses among the sockets of the group, instead of the hash.", "socket(7)"},
	"bind":       {"bind gives it an address. Nobody can connect yet: the kernel refuses with RST until listen.", "bind(2)"},
	"bindError":  {"bind was refused: %s.", "bind(2)"},
	"inUse":      {"EADDRINUSE: another socket has the address, or connections in TIME_WAIT hold it and SO_REUSEADDR wasn't set. ss -ltnp shows who listens.", "bind(2)"},
	"lowPort":    {"EACCES: ports below net.ipv4.ip_unprivileged_port_start (1024) need CAP_NET_BIND_SERVICE.", "ip(7)"},
	"noAddress":  {"EADDRNOTAVAIL: no interface has this address.", "bind(2)"},
	"listen":     {"Asked for a backlog of %d, granted %d: %s can wait for accept, one more than the limit, and as many half-open ones. The kernel accepts from now on, by itself.", "listen(2)"},
	"clamped":    {"Asked for a backlog of %d, granted %d: net.core.somaxconn is the cap. Raising it later changes nothing for a socket that listens already.", "listen(2)"},
	"again":      {"listen on a socket that listens already only sets its backlog anew (asked for %d).", "listen(2)"},
	"listenFail": {"listen was refused: %s. Two sockets may be bound to one port with SO_REUSEADDR, but only one may listen.", "listen(2)"},
	"epoll":      {"epoll reports a listener as readable while connections wait in its queue.", "epoll_ctl(2)"},
	"exclusive":  {"EPOLLEXCLUSIVE wakes one process, not all: of those that wait always the one that registered first, so that it gets nearly everything while there is little to do.", "epoll_ctl(2)"},

	// The handshake.
	"connects":  {"The client connects; packets were not captured, so the handshake isn't shown.", "connect(2)"},
	"syn":       {"The client asks for a connection. No program takes part: the kernel answers.", "tcp(7)"},
	"synack":    {"The kernel agrees, and remembers the half-open connection (SYN_RECV).", "tcp(7)"},
	"handshake": {"The handshake finished without the program: the kernel did it. The connection waits in the accept queue; the client is connected, whether anybody calls accept or not.", "listen(2)"},
	"synAgain":  {"The client sends its SYN again: each second for five seconds, then ever more rarely. One that finds room in the queue connects, so nothing need be lost but time.", "listen(2)"},
	"dropped":   {"Nothing answers this SYN: a full accept queue drops it in silence, without RST, and so does a firewall.", "listen(2)"},
	"noRoom":    {"The ACK of the handshake comes while the accept queue is full: the kernel ignores it, and will send its SYN-ACK again.", "listen(2)"},
	"unheard":   {"SYN-ACK again: the kernel has had no ACK, or had no use for it.", "tcp(7)"},
	"overflow":  {"SYN-ACK again although the ACK has come: the accept queue had no room for it. The client believes that it is connected.", "listen(2)"},
	"waits":     {"The request waits in the socket's buffer, before any program has called accept.", "tcp(7)"},
	"segment":   {"The kernel takes the bytes; the program reads them when it likes.", "tcp(7)"},
	"reset":     {"RST ends the connection at once. A kernel sends it if nobody listens, if a listener is closed with connections in its queue, or if bytes were left unread.", "tcp(7)"},
	"fin":       {"Who sends the first FIN keeps the connection in TIME_WAIT for a minute.", "tcp(7)"},
	"reply":     {"The kernel sends what the program had written.", "tcp(7)"},

	// Accepting.
	"accept":     {"accept takes the oldest connection from the queue and makes a descriptor for it. It waited for %s.", "accept(2)"},
	"acceptOnly": {"accept takes the oldest connection from the queue and makes a descriptor for it; the handshake is long done.", "accept(2)"},
	"herd":       {"EAGAIN: woken for a connection that another process took. A shared listener wakes all who wait for it with epoll; most find the queue empty.", "epoll(7)"},
	"drained":    {"EAGAIN: the queue is empty. A server that doesn't block accepts until then.", "accept(2)"},
	"fdLimit":    {"%s: no descriptor left. The connection stays in the queue, and epoll reports it again and again.", "accept(2)"},
	"acceptFail": {"accept failed: %s.", "accept(2)"},
	"notListens": {"EINVAL: the socket doesn't listen (any more). shutdown wakes who waits in accept with it.", "accept(2)"},

	// Passing on.
	"channel":      {"Two sockets joined to each other: the channel on which a descriptor can be passed.", "socketpair(2)"},
	"fork":         {"A new process. It has a copy of every descriptor, until exec closes those that are close-on-exec.", "fork(2)"},
	"inherits":     {"A new process inherits the listener: the same socket and the same queue, under the same number.", "fork(2)"},
	"robin":        {"The connection is passed to a worker, which never binds, listens or accepts. The same socket gets another descriptor: nothing is copied, nobody is a proxy.", "unix(7)"},
	"connPass":     {"The connection is passed to another process: the same socket gets another descriptor.", "unix(7)"},
	"listenerPass": {"The listener itself is passed: the same socket, so both processes take from one queue.", "unix(7)"},
	"otherPass":    {"A descriptor is passed: what it stands for is the same in both processes.", "unix(7)"},
	"unclaimed":    {"A descriptor on its way; nobody was seen to receive it. It stays open until somebody does, or the channel is closed.", "unix(7)"},
	"received":     {"A descriptor came; its sender was not traced.", "unix(7)"},
	"passFail":     {"The descriptor was not sent: %s.", "sendmsg(2)"},
	"taken":        {"pidfd_getfd makes a descriptor for a socket of another process.", "pidfd_getfd(2)"},
	"query":        {"Node's worker asks the primary for a server, instead of binding.", "unix(7)"},

	// Serving.
	"read":        {"The program reads what the kernel has kept for it.", "read(2)"},
	"end":         {"0 bytes: the other side has sent FIN.", "read(2)"},
	"write":       {"The bytes go to the kernel, which sends them.", "send(2)"},
	"direct":      {"The answer goes from this process straight to the client: who accepted has no part in it.", "send(2)"},
	"broken":      {"%s: the other side is gone.", "send(2)"},
	"ioFail":      {"It failed: %s.", "errno(3)"},
	"closeCopy":   {"Only this descriptor is closed. The socket lives on under that of the other process.", "close(2)"},
	"closeConn":   {"The last close ends a connection: FIN, or RST if bytes were left unread.", "close(2)"},
	"closeOne":    {"Only this descriptor is closed. The listener lives on under another one, and so does its queue.", "close(2)"},
	"closeListen": {"When the last descriptor of a listener is closed, whoever waits in its queue gets RST.", "close(2)"},
	"shutdown":    {"shutdown acts on the socket, for every process that has it: FIN is sent, though descriptors stay open.", "shutdown(2)"},
	"shutListen":  {"shutdown(SHUT_RD) ends listening, for every process that has the listener. TCP resets who waits in its queue; of a Unix socket they can still be accepted.", "shutdown(2)"},
	"connect":     {"connect sends the SYN. It returns when the other kernel has agreed, before any accept.", "connect(2)"},
	"progress":    {"EINPROGRESS: the handshake goes on while the program does something else.", "connect(2)"},
	"refused":     {"ECONNREFUSED: RST came back, so nobody listens there. A full queue would have been silent.", "connect(2)"},
	"connectFail": {"connect failed: %s.", "connect(2)"},

	// The rest.
	"died":    {"The process ended: %s. What only it had open is closed.", "exit(2)"},
	"request": {"The request for demonstration failed: %s.", ""},
	"uring":   {"What goes through io_uring from here on is no system call, and is not shown.", "io_uring_setup(2)"},
	"like":    {"The same steps as an earlier connection took, by the processes named.", ""},
}

// explain is the sentence of a situation, and the page that has more.
func explain(s situation, values ...any) (text, man string) {
	e := explanations[s]
	if len(values) > 0 {
		return fmt.Sprintf(e.text, values...), e.man
	}
	return e.text, e.man
}
