package fdpass

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

// What was sent before the peer shut down comes before io.EOF, also when it
// arrives in the moment in which the kernel has found the queue empty and looks
// whether the peer is still there.
func TestLastMessageBeforeEOF(t *testing.T) {
	testleak.FDs(t)
	for range 20_000 {
		a, b, err := sock.Pair(sock.SeqPacket)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			Send(a, []byte("last"))
			a.Shutdown(unix.SHUT_WR)
		}()
		var p [8]byte
		got := 0
		for err = errReceiveAgain; err == errReceiveAgain; {
			var n int
			if n, _, err = Receive(b, p[:], nil); err == nil {
				got, err = n, errReceiveAgain
			}
		}
		if err != io.EOF || got != len("last") {
			t.Fatalf("%d bytes, and then %v", got, err)
		}
		a.Close()
		b.Close()
	}
}
