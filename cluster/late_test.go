package cluster

import (
	"errors"
	"net"
	"testing"

	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

// A worker that is asked to go while it asks for its first listener may be given
// one with a connection. It doesn't end before that connection does.
func TestListenerComesLate(t *testing.T) {
	testleak.FDs(t)
	ours, theirs, err := sock.Pair(sock.SeqPacket)
	if err != nil {
		t.Fatal(err)
	}
	channels := [2]*channel{}
	for i, fd := range []sock.FD{ours, theirs} {
		if channels[i], err = newChannel(fd); err != nil {
			t.Fatal(err)
		}
		defer channels[i].close()
	}
	primary := channels[0]
	b, err := newBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	s := &self{
		channel: channels[1], board: b, bell: sock.None,
		ending: make(chan struct{}), draining: make(chan struct{}), done: make(chan struct{}), inbox: make(chan heard, maxInbox),
		replies: map[uint64]chan reply{}, indexes: map[key]bool{}, listeners: map[*listener]bool{},
	}
	go func() { // as serve, which ends the process with its channel
		m, fds, err := s.channel.receive()
		if err == nil {
			s.replied(reply{m, fds})
		}
	}()

	socket, err := listen.Config{}.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	client, err := net.Dial("tcp", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	k := key{Network: "tcp", Address: "127.0.0.1:0"}
	listened := make(chan net.Listener, 1)
	go func() {
		ln, err := s.listen(k, listen.Config{}, Shared)
		if err != nil {
			t.Error(err)
		}
		listened <- ln
	}()
	asked, _, err := primary.receive()
	if err != nil {
		t.Fatal(err)
	}
	s.end()
	answer := message{Op: opReply, Seq: asked.Seq, Mode: Shared, Addr: remoteAddrOf(socket.Addr())}
	if err := primary.send(answer, socket.Descriptor()); err != nil {
		t.Fatal(err)
	}
	ln := <-listened
	defer ln.Close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := ln.Accept()
		ended <- err
	}()
	<-s.draining
	select {
	case <-s.done:
		t.Fatal("the worker is done with a connection open")
	case err := <-ended:
		t.Errorf("Accept ends with a connection open: %v", err)
	default:
	}
	conn.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the end of it is %v", err)
	}
	if _, err := s.listen(k, listen.Config{}, Shared); err == nil {
		t.Error("a worker that goes listens once more")
	}
}
