package decode

// struct epoll_event is packed here.
const (
	epollEventSize  = 12
	epollDataOffset = 4
)
