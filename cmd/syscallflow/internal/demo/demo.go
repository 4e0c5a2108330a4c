// Package demo makes requests to a server, for a drawing to show what becomes of them.
package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// A Request is one that was made, on a connection of its own.
type Request struct {
	From, To   netip.AddrPort
	Begin, End time.Time
	Text       string // "GET /"
	Reply      string // "200 OK (17 B)"
	Err        error
}

// Parse checks a URL, and gives its host and port.
func Parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%q: only http://HOST:PORT/ can be asked for", text)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "80")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// Get makes one request, and closes its connection.
func Get(ctx context.Context, u *url.URL) (r Request) {
	r.Text, r.Begin = "GET "+u.RequestURI(), time.Now()
	defer func() { r.End = time.Now() }()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		r.Err = err
		return r
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })()
	r.From, r.To = addrPort(c.LocalAddr()), addrPort(c.RemoteAddr())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		r.Err = err
		return r
	}
	request.Close = true
	request.Header.Set("User-Agent", "syscallflow")
	if r.Err = request.Write(c); r.Err != nil {
		return r
	}
	response, err := http.ReadResponse(bufio.NewReader(c), request)
	if err != nil {
		r.Err = err
		return r
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	r.Reply, r.Err = fmt.Sprintf("%s (%d B)", response.Status, n), err
	return r
}

func addrPort(a net.Addr) netip.AddrPort {
	t, _ := a.(*net.TCPAddr)
	if t == nil {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
