package survey

import (
	"net"
	"os"
	"testing"

	"onconn/internal/testleak"
)

// Where accepts aren't counted, what a process holds is its share.
func TestHeld(t *testing.T) {
	testleak.FDs(t)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port
	for i := range 3 {
		client, err := net.Dial("tcp4", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if i == 2 {
			break // it stays in the queue, and nobody's
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if inodes := connections(os.Getpid(), port); len(inodes) != 2 || holds(os.Getpid(), inodes) != 2 {
		t.Errorf("connections %v, of which we hold %d", inodes, holds(os.Getpid(), inodes))
	}
	row := Row{Port: port, Owners: []Owner{{PID: os.Getpid()}, {PID: os.Getppid()}}}
	held(&row)
	if o := row.Owners; o[0].Share == nil || *o[0].Share != 1 || *o[1].Share != 0 || o[0].How != "held" {
		t.Errorf("%+v", row.Owners)
	}
}
