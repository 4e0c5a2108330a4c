package cluster

import "onconn/sock"

// sendHandle sends a program's message with a descriptor.
func (n *nodeWorker) sendHandle(data []byte, fd sock.FD) error {
	if err := n.QueueHandle(data, fd); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.plain += len(data)
	n.handLocked()
	return nil
}

// handLocked sends the next descriptor of a program when no other envelope is on
// its way. Until it is acknowledged no other one goes: it may be long, and have to be
// sent again.
func (n *nodeWorker) handLocked() {
	switch {
	case n.ended || !n.HandlesWait():
		return
	case len(n.sent) > 0:
		n.lone = true
		return
	}
	sent, err := n.NextHandle()
	if sent {
		n.sent, n.lone = append(n.sent, sentHandle), true
	}
	n.complain(err)
}

func (n *nodeWorker) complain(err error) {
	if err != nil {
		n.primary.log.Error("cannot send a descriptor to a Node worker", "worker", n.worker.ID, "err", err)
	}
}
