package decode

const (
	epollEventSize  = 16
	epollDataOffset = 8
)
