package cluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"

	"onconn/listen"
	"onconn/sock"
)

// Sockets are the listening sockets by a name that says what they are for: what
// Config.Inherited of a later primary takes. The descriptors stay the primary's.
// Names have only the characters that FDNAME of sd_pid_notify_with_fds(3) allows.
func (p *Primary) Sockets() map[string]sock.FD {
	sockets := map[string]sock.FD{}
	for _, s := range p.all() {
		s.mu.Lock()
		if !s.shut && !s.stopped {
			s.sockets(sockets)
		}
		s.mu.Unlock()
	}
	return sockets
}

// sockets adds the server's to a map; its lock is held.
func (s *server) sockets(named map[string]sock.FD) {
	for slot, fd := range s.sharing.sockets() {
		named[socketName(s.key, slot)] = fd
	}
}

func socketName(k key, slot int) string {
	address := url.QueryEscape(k.Address)
	if len(address) > 128 {
		address = fmt.Sprintf("%x", sha256.Sum256([]byte(address)))
	}
	return fmt.Sprintf("onconn-%s+%s+%d+%d", k.Network, address, k.Index, slot)
}

// takeInherited is the inherited socket of a slot, which is the caller's from then
// on, or None.
func (p *Primary) takeInherited(k key, slot int) sock.FD {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := socketName(k, slot)
	fd, ok := p.cfg.Inherited[name]
	if !ok {
		return sock.None
	}
	delete(p.cfg.Inherited, name)
	return fd
}

// listen opens the socket of k, or takes the one that was inherited.
func (p *Primary) listen(ctx context.Context, cfg listen.Config, k key) (*listen.Listener, error) {
	fd := p.takeInherited(k, 0)
	if fd == sock.None {
		return cfg.Listen(ctx, k.Network, k.Address)
	}
	cfg.AsIs = p.heritage != nil // programs that accept in blocking mode have it
	ln, err := cfg.Own(fd)
	if err != nil {
		fd.Close()
		return nil, err
	}
	if k.Network == "fd" {
		return ln, nil // its file is somebody else's
	}
	if err := ln.ClaimFile(); err != nil {
		p.log.Warn("the file of an inherited unix socket will be left", "address", k.Address, "err", err)
	}
	return ln, nil
}

// inheritedSlots are those whose sockets of k were inherited.
func (p *Primary) inheritedSlots(k key) (slots []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for left, slot := len(p.cfg.Inherited), 0; left > 0 && slot < maxSlots; slot++ {
		if _, ok := p.cfg.Inherited[socketName(k, slot)]; ok {
			slots = append(slots, slot)
			left--
		}
	}
	return slots
}

// maxSlots is more than there are workers.
const maxSlots = 4096

// closeInherited closes what nobody had use for.
func (p *Primary) closeInherited() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, fd := range p.cfg.Inherited {
		fd.Close()
		delete(p.cfg.Inherited, name)
	}
}
