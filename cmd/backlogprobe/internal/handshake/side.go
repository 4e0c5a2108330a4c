package handshake

import (
	"net/netip"
	"time"

	"onconn/internal/capture"
)

// A host is an address that was seen at an end of an attempt.
type host struct {
	client bool
	speaks bool              // as a server
	sides  [NearBoth + 1]int // where its handshakes were captured
}

// host returns what is known about an address, or nil where too many are.
func (a *Analysis) host(ip netip.Addr) *host {
	h := a.hosts[ip]
	if h == nil && len(a.hosts) < maxSets {
		h = &host{}
		a.hosts[ip] = h
	}
	return h
}

func (a *Analysis) spoke(server netip.Addr) {
	if h := a.host(server); h != nil {
		h.speaks = true
	}
}

// near is a round trip that no network but the nearest makes.
const near = 300 * time.Microsecond

// locate finds on which side a handshake was captured, at its final ACK: kernels
// answer within microseconds, so the shorter of SYN to SYN-ACK and SYN-ACK to
// ACK is the way to the near end and back. Where both are alike, an untouched
// TTL tells.
func (a *Analysis) locate(c *conn, ack capture.Segment) {
	if c.SYNs.N == 0 || c.SYNACKs.N != 1 {
		return
	}
	server, client := c.synackAt.Sub(c.lastSYN), c.ACK.Sub(c.synackAt)
	switch {
	case server < near && client < near:
		c.Near = NearBoth
	case server*4 < client:
		c.Near = NearServer
	case client*4 < server:
		c.Near = NearClient
	case untouched(c.synack.TTL) && !untouched(ack.TTL):
		c.Near = NearServer
	case untouched(ack.TTL) && !untouched(c.synack.TTL):
		c.Near = NearClient
	}
	if h := a.host(c.Server.Addr()); h != nil {
		h.sides[c.Near]++
	}
}

// untouched reports whether no router has passed a packet on.
func untouched(ttl uint8) bool { return ttl == 64 || ttl == 128 || ttl == 255 }

// side is where an attempt was captured: as its own handshake shows, or else as
// most others with that server do.
func (a *Analysis) side(c *conn) Side {
	if c.Near != Elsewhere {
		return c.Near
	}
	h := a.hosts[c.Server.Addr()]
	best := Elsewhere
	if h != nil {
		for s := NearServer; s <= NearBoth; s++ {
			if h.sides[s] > 0 && (best == Elsewhere || h.sides[s] > h.sides[best]) {
				best = s
			}
		}
	}
	return best
}

// atServer reports whether what was captured must have reached the server's host.
func (s Side) atServer() bool { return s == NearServer || s == NearBoth }
