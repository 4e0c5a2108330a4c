package connwrap_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"onconn/connwrap"
	"onconn/internal/testleak"
)

// pieces cuts the payload into n buffers, some of them empty.
func pieces(n int) net.Buffers {
	var v net.Buffers
	for i := range n {
		v = append(v, payload[copySize*i/n:copySize*(i+1)/n])
		if i%7 == 0 {
			v = append(v, nil, []byte{})
		}
	}
	return v
}

func TestWriteBuffers(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			testleak.FDs(t)
			got := strace(t, "writev,write", func() {
				a, b := pair(t, network, connwrap.Config{})
				check(t, a.SetWriteBuffer(16<<10)) // so that writev meets partial writes
				v := pieces(5000)
				done := make(chan struct{})
				go func() {
					defer close(done)
					n, err := a.WriteBuffers(&v)
					if n != copySize || err != nil || len(v) != 0 {
						t.Errorf("wrote %d of %d bytes, %v; %d buffers left", n, copySize, err, len(v))
					}
					a.CloseWrite()
				}()
				if p, err := io.ReadAll(b); err != nil || !bytes.Equal(p, payload) {
					t.Errorf("arrived: %d of %d bytes, or other ones, %v", len(p), copySize, err)
				}
				<-done
			})
			if got["writev"].sum != copySize || got["writev"].n < 5 {
				t.Errorf("writev: %+v, want %d bytes in 5 calls or more", got["writev"], copySize)
			}
		})
	}
}

func TestWriteBuffersOneMessage(t *testing.T) {
	testleak.FDs(t)
	a, b := pair(t, "unixpacket", connwrap.Config{})
	v := net.Buffers{nil, {}} // would be an empty message, which looks like the end
	if n, err := a.WriteBuffers(&v); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	v = net.Buffers{[]byte("one "), nil, []byte("message")}
	if n, err := a.WriteBuffers(&v); n != 11 || err != nil || len(v) != 0 {
		t.Fatal(n, err, v)
	}
	p := make([]byte, 32)
	if n, err := b.Read(p); err != nil || string(p[:n]) != "one message" {
		t.Errorf("%q, %v", p[:n], err)
	}
}

// Like net.Buffers.WriteTo on a *net.TCPConn, whatever happens.
func TestWriteBuffersConsumesAsNet(t *testing.T) {
	testleak.FDs(t)
	ours, _ := netPair(t, "tcp4", connwrap.Config{})
	_, theirs := netPair(t, "tcp4", connwrap.Config{})
	for name, make := range map[string]func() net.Buffers{
		"none":   func() net.Buffers { return nil },
		"filled": func() net.Buffers { return net.Buffers{[]byte("a"), []byte("b"), nil, []byte("c")} },
	} {
		a, b := make(), make()
		n1, err1 := ours.WriteBuffers(&a)
		n2, err2 := b.WriteTo(theirs)
		if n1 != n2 || err1 != err2 || len(a) != len(b) {
			t.Errorf("%s: ours %d, %v, %d left; net's %d, %v, %d left", name, n1, err1, len(a), n2, err2, len(b))
		}
	}

	// A deadline in the middle leaves just what was not written.
	v := net.Buffers{bytes.Repeat([]byte("x"), 32<<20), []byte("y")}
	check(t, ours.SetWriteDeadline(time.Now().Add(20*time.Millisecond)))
	n, err := ours.WriteBuffers(&v)
	left := 0
	for _, b := range v {
		left += len(b)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || int(n)+left != 32<<20+1 {
		t.Errorf("wrote %d, %d left, %v", n, left, err)
	}
}
