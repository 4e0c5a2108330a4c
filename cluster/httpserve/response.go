package httpserve

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// handle calls the program's handler, and has the answer say that it is the last
// one if the drain has begun.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 {
		if s.draining() {
			w.Header().Set("Connection", "close") // HTTP/2 sends GOAWAY instead
		}
		s.handler.ServeHTTP(w, r)
		return
	}
	res := &response{ResponseWriter: w, server: s}
	s.handler.ServeHTTP(res, r)
	res.announce()
}

// A response looks when the header is written, since a drain may begin while the
// handler runs. It can do what that of net/http can.
type response struct {
	http.ResponseWriter
	server *Server
	wrote  bool // the header
}

func (r *response) announce() {
	if !r.wrote && r.server.draining() {
		r.Header().Set("Connection", "close")
	}
	r.wrote = true
}

func (r *response) WriteHeader(status int) {
	if status >= http.StatusOK { // others come before the answer, or switch the protocol
		r.announce()
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *response) Write(p []byte) (int, error) {
	r.announce()
	return r.ResponseWriter.Write(p)
}

func (r *response) WriteString(s string) (int, error) {
	r.announce()
	return io.WriteString(r.ResponseWriter, s)
}

func (r *response) ReadFrom(src io.Reader) (int64, error) {
	r.announce()
	return r.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
}

func (r *response) Flush() { r.FlushError() }

func (r *response) FlushError() error {
	r.announce()
	return http.NewResponseController(r.ResponseWriter).Flush()
}

func (r *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// CloseNotify is for programs from before Request.Context.
func (r *response) CloseNotify() <-chan bool {
	//lint:ignore SA1019 they assert it
	return r.ResponseWriter.(http.CloseNotifier).CloseNotify()
}

// Unwrap is for http.ResponseController.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }
