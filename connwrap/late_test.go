package connwrap_test

import (
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/internal/testleak"
)

// Writers that meet while a Conn joins the poller don't keep Close from closing,
// though the peer never reads: each is where Close finds it.
func TestLateWritersClose(t *testing.T) {
	testleak.FDs(t)
	for range 3000 {
		fd, peer := fds(t, "unix")
		check(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 1))
		server := wrap(t, fd, connwrap.Config{Network: "unix", Late: true})
		var done sync.WaitGroup
		started := make(chan struct{})
		for i := range 4 {
			done.Go(func() {
				if i > 0 {
					<-started
				}
				if i == 0 {
					close(started)
				}
				server.Write(make([]byte, 64<<10))
			})
		}
		<-started
		closed := make(chan error, 1)
		go func() { closed <- server.Close() }()
		select {
		case err := <-closed:
			check(t, err)
		case <-time.After(10 * time.Second):
			t.Fatal("Close waits for a writer, which waits for the peer")
		}
		done.Wait()
		check(t, peer.Close())
	}
}
