package connwrap

import (
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"reflect"
	"syscall"

	"golang.org/x/sys/unix"
)

// ReadFrom writes what r has until its end: with sendfile(2) if r is a regular
// *[os.File], with splice(2) if it is a TCP or unix stream of package net or a
// Conn, each also below an [io.LimitedReader], else through a buffer. It is what
// io.Copy and net/http call.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	n, handled, err := c.readFrom(r)
	if !handled {
		n, err = io.Copy(struct{ io.Writer }{c}, r)
	}
	return n, c.opError("readfrom", err)
}

// WriteTo writes what arrives to w until the end of the stream: with splice(2)
// if w is a Conn or a TCP or unix stream of package net, else through a buffer.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	var n int64
	var handled bool
	var err error
	if dst, src := sinkOf(w), sourceOf(c); dst != nil && src != nil {
		n, handled, err = splice(dst, src, math.MaxInt64)
	}
	if !handled {
		n, err = io.Copy(w, struct{ io.Reader }{c})
	}
	return n, c.opError("writeto", err)
}

func (c *Conn) readFrom(r io.Reader) (n int64, handled bool, err error) {
	remain := int64(math.MaxInt64)
	if l, ok := r.(*io.LimitedReader); ok {
		if l.N <= 0 {
			return 0, true, nil
		}
		remain, r = l.N, l.R
		defer func() { l.N -= n }()
	}
	if f := regularFile(r); f != nil {
		return c.sendfile(f, remain)
	}
	if dst, src := sinkOf(c), sourceOf(r); dst != nil && src != nil {
		return splice(dst, src, remain)
	}
	return 0, false, nil
}

func (c *Conn) sendfile(f syscall.Conn, remain int64) (written int64, handled bool, err error) {
	in, err := f.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	var werr, serr error
	err = in.Read(func(src uintptr) bool { // held, so that nobody else moves the offset
		werr = c.rawWrite(func(dst uintptr) bool {
			for remain > 0 {
				var n int
				n, serr = unix.Sendfile(int(dst), int(src), nil, int(min(remain, math.MaxInt32)))
				switch {
				case n > 0:
					written += int64(n)
					remain -= int64(n)
				case serr == unix.EINTR:
				default:
					return serr != unix.EAGAIN
				}
			}
			return true
		})
		return true
	})
	switch {
	case err != nil:
	case werr != nil:
		err = werr
	case serr == unix.EINVAL && written == 0:
		return 0, false, nil // a file system without it, such as /proc
	default:
		err = os.NewSyscallError("sendfile", serr)
	}
	return written, true, err
}

// regularFile returns r if it is a regular *os.File. io.Copy hands it over in a
// type of its own, without WriteTo.
func regularFile(r io.Reader) syscall.Conn {
	f, ok := r.(interface {
		syscall.Conn
		Stat() (fs.FileInfo, error)
	})
	if !ok || !definedIn("os", r) {
		return nil
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	return f
}

// sinkOf returns how to write to the descriptor below w, nil if it is no stream
// that can be spliced.
func sinkOf(w io.Writer) *end {
	if c, ok := w.(*Conn); ok && spliceable(c.network) {
		return &end{do: c.rawWrite}
	}
	if raw := netStream(w); raw != nil {
		return &end{do: raw.Write}
	}
	return nil
}

// sourceOf is sinkOf for reading.
func sourceOf(r io.Reader) *end {
	if c, ok := r.(*Conn); ok && spliceable(c.network) {
		return &end{do: c.rawRead, eof: c.endOfStream}
	}
	if raw := netStream(r); raw != nil {
		return &end{do: raw.Read}
	}
	return nil
}

func netStream(v any) syscall.RawConn {
	s, ok := v.(interface {
		syscall.Conn
		LocalAddr() net.Addr
	})
	if !ok || !definedIn("net", v) || s.LocalAddr() == nil || !spliceable(s.LocalAddr().Network()) {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

func spliceable(network string) bool {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return true
	}
	return false
}

// definedIn reports whether the type of v, or what it points to, is one of
// package pkg. A type that only embeds one may have a Read or Write of its own,
// which must not be bypassed.
func definedIn(pkg string, v any) bool {
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == pkg
}
