package serve

import (
	"bytes"

	"golang.org/x/sys/unix"

	"onconn/accept"
	"onconn/sock"
)

// The same bytes as testdata/peers/http.h.
const (
	head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n"
	ten  = "onconnecti"
	body = ten + ten + ten + ten + ten + ten + ten + ten + ten + ten
)

var (
	answer     = []byte(head + "\r\n" + body)
	lastAnswer = []byte(head + "Connection: close\r\n\r\n" + body)

	get     = []byte("GET ")
	blank   = []byte("\r\n\r\n")
	closeIt = []byte("Connection: close\r\n")
)

// A page answers HTTP as testdata/peers/http.h does, and with the same limits: a
// request comes in one piece and without a body. It is one goroutine's.
type page struct{ request [4096]byte }

type outcome int

const (
	over     outcome = iota // nothing more comes: to be closed
	waits                   // no request is there yet
	answered                // and another one may come
)

// serve answers the request that is there, if one is.
func (p *page) serve(conn sock.FD) outcome {
	n, err := conn.Recv(p.request[:], unix.MSG_DONTWAIT)
	if err != nil {
		if accept.Classify(err) == accept.Again {
			return waits
		}
		return over
	}
	request := p.request[:n]
	if !bytes.HasPrefix(request, get) || !bytes.HasSuffix(request, blank) {
		return over
	}
	if bytes.Contains(request, closeIt) {
		conn.Send(lastAnswer, unix.MSG_DONTWAIT)
		return over
	}
	if n, err := conn.Send(answer, unix.MSG_DONTWAIT); err != nil || n < len(answer) {
		return over
	}
	return answered
}

// A web serves connections on a loop.
type web struct {
	page
	loop  *accept.Loop
	ready func(sock.FD, uint32) // one for all connections
}

func newWeb(loop *accept.Loop) *web {
	w := &web{loop: loop}
	w.ready = func(conn sock.FD, _ uint32) {
		if w.serve(conn) == over {
			conn.CloseNow() // the only descriptor: that ends the watch too
		}
	}
	return w
}

// onconnection tries to read at once: a request that is there already needs no
// epoll_ctl.
func (w *web) onconnection(conn sock.FD, _ sock.Addr) {
	if w.serve(conn) == over || w.loop.Watch(conn, unix.EPOLLIN, w.ready) != nil {
		conn.CloseNow()
	}
}
