package fdpass_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"onconn/fdpass"
	"onconn/sock"
)

// A primary hands accepted connections to a worker, and takes back those that
// the worker has not taken.
func ExampleQueue() {
	queue, err := fdpass.NewQueue()
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()

	// In a program the worker is another process, started with ReceiveEnd as
	// one of its descriptors.
	worker := fdpass.NewReceiver(queue.ReceiveEnd())

	for port := range uint16(3) {
		conn, client, err := sock.Pair(sock.Stream) // stands for accept
		if err != nil {
			log.Fatal(err)
		}
		defer client.Close()
		from := sock.IPAddr(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), 4000+port))
		if _, err := queue.Send([]fdpass.Record{{FD: conn, Peer: from}}); err != nil {
			log.Fatal(err)
		}
		conn.Close()
	}

	conn, from, err := worker.Accept()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the worker serves", from)
	conn.Close()

	n, _ := queue.Len()
	fmt.Println("waiting:", n)
	for {
		conn, from, err := queue.Steal()
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("taken back:", from)
		conn.Close()
	}
	// Output:
	// the worker serves 192.0.2.1:4000
	// waiting: 2
	// taken back: 192.0.2.1:4001
	// taken back: 192.0.2.1:4002
}

func ExampleConn() {
	a, b, err := sock.Pair(sock.SeqPacket)
	if err != nil {
		log.Fatal(err)
	}
	left, errLeft := fdpass.NewConn(a)
	right, errRight := fdpass.NewConn(b)
	if err := errors.Join(errLeft, errRight); err != nil {
		log.Fatal(err)
	}
	defer right.Close()

	peer, err := right.PeerCred()
	fmt.Println("the peer is this process:", peer.PID == os.Getpid(), err)

	if err := left.SendMsg([]byte("my own end"), a); err != nil {
		log.Fatal(err)
	}
	left.Close()

	payload, fds := make([]byte, 64), make([]sock.FD, 1)
	n, nfd, err := right.ReceiveMsg(payload, fds)
	fmt.Printf("%s, %d descriptor, %v\n", payload[:n], nfd, err)

	// The end that was closed lives on in the descriptor that was passed.
	fds[0].Write([]byte("still here"))
	n, _, err = right.ReceiveMsg(payload, nil)
	fmt.Printf("%s, %v\n", payload[:n], err)
	fds[0].Close()
	_, _, err = right.ReceiveMsg(payload, nil)
	fmt.Println(err == io.EOF)
	// Output:
	// the peer is this process: true <nil>
	// my own end, 1 descriptor, <nil>
	// still here, <nil>
	// true
}

func ExampleSend() {
	a, b, err := sock.Pair(sock.Stream)
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	defer b.Close()

	if err := fdpass.Send(a, []byte("standard output"), 1); err != nil {
		log.Fatal(err)
	}
	payload, fds := make([]byte, 64), make([]sock.FD, 4)
	n, nfd, err := fdpass.Receive(b, payload, fds)
	if err != nil {
		log.Fatal(err)
	}
	for _, fd := range fds[:nfd] {
		defer fd.Close()
	}
	fmt.Printf("%s: %d descriptor\n", payload[:n], nfd)
	// Output: standard output: 1 descriptor
}
