package connwrap_test

import (
	"io"
	"testing"

	"onconn/connwrap"
	"onconn/internal/testleak"
	"onconn/sock"
)

// The last message of a SEQPACKET peer comes before io.EOF, also in the moment in
// which the kernel finds the queue empty and looks whether the peer is there.
func TestLastMessageBeforeEOF(t *testing.T) {
	testleak.FDs(t)
	for range 5000 {
		a, b, err := sock.Pair(sock.SeqPacket)
		if err != nil {
			t.Fatal(err)
		}
		c, err := connwrap.New(b, connwrap.Config{Network: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			a.Write([]byte("last"))
			a.Close()
		}()
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "last" {
			t.Fatalf("%q, %v", got, err)
		}
		c.Close()
	}
}
