package httpserve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
)

// prepareHTTP2 has the connections of HTTP/2 belong to another http.Server.
//
// net/http sends GOAWAY in Shutdown alone, and that also closes all connections
// of HTTP/1 that are idle. But which server's connections of HTTP/2 are told is
// a matter of whose TLSNextProto serves them. So these are another server's,
// which has nothing else to shut down.
func (s *Server) prepareHTTP2() error {
	if s.HTTP.TLSNextProto != nil {
		return nil // the program has an implementation of its own, or wants none
	}
	s.http2 = &http.Server{
		Protocols:   s.HTTP.Protocols,
		HTTP2:       s.HTTP.HTTP2,
		IdleTimeout: s.HTTP.IdleTimeout,
		ReadTimeout: s.HTTP.ReadTimeout,
	}
	if c := s.HTTP.TLSConfig; c != nil { // which is checked
		c = c.Clone()
		c.NextProtos = append(slices.Clone(c.NextProtos), "h2")
		s.http2.TLSConfig = c
	}
	// This is how net/http is told to set up TLSNextProto.
	if err := s.http2.Serve(noListener{}); !errors.Is(err, net.ErrClosed) {
		return err
	}
	s.HTTP.TLSNextProto = s.http2.TLSNextProto
	s.HTTP.RegisterOnShutdown(s.goAway)
	return nil
}

// goAway sends GOAWAY on the connections of HTTP/2 that have not got it.
func (s *Server) goAway() {
	if s.http2 != nil {
		s.http2.Shutdown(context.Background())
	}
}

// noListener is a listener that is closed.
type noListener struct{}

func (noListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (noListener) Close() error              { return nil }
func (noListener) Addr() net.Addr            { return &net.TCPAddr{} }
