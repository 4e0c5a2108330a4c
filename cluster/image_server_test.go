package cluster

import (
	"testing"

	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/reuseport"
)

// Classic programs choose by the kernel's order. A primary that doesn't know it, for
// its sockets came from systemd, must not have one after an upgrade either.
func TestReviveWithoutOrder(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		testleak.FDs(t)
		p, _ := standIn(t)
		p.cfg.Steering = func() reuseport.Steering { return reuseport.Weighted{} }
		group, err := reuseport.Listen("tcp", "127.0.0.1:0", 2)
		if err != nil {
			t.Fatal(err)
		}
		defer group.Close()
		k := key{Network: "tcp", Address: group.Addr().String()}
		before := serverImage{Ordered: ordered}
		for slot, m := range group.Members() {
			fd, err := m.Descriptor().Dup()
			if err != nil {
				t.Fatal(err)
			}
			before.Members = append(before.Members, memberImage{ID: m.ID, FD: fd, Slot: slot})
		}
		p.heritage = map[key]serverImage{k: before}
		g, err := newReusePort(t.Context(), p, k, listen.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, hash := g.group.Steering().(reuseport.Hash); hash == ordered {
			t.Errorf("the order is known: %v; the steering is %v", ordered, g.group.Steering())
		}
		g.close()
	}
}
