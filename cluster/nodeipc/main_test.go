package nodeipc

import (
	"testing"

	"go.uber.org/goleak"

	"onconn/sock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// channels are the two ends of one.
func channels(t *testing.T, s Serialization) (a, b *Channel) {
	t.Helper()
	x, y, err := sock.Pair(sock.Stream)
	if err != nil {
		t.Fatal(err)
	}
	a, err = NewChannel(x, s)
	if err != nil {
		t.Fatal(err)
	}
	b, err = NewChannel(y, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Channel{a, b} {
		t.Cleanup(func() {
			c.Close()
			c.Discard()
		})
	}
	return a, b
}

// receive is a message that must come.
func receive(t *testing.T, c *Channel) Message {
	t.Helper()
	m, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return m
}
