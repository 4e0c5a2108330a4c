package backlog

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// markMPTCP finds the MPTCP sockets among listeners: they appear in both tables,
// with one inode. What a socket is never changes, so the second table is asked
// for only when one is new.
func (n *Namespace) markMPTCP(all []Listener) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.knows(all) {
		inodes, err := n.mptcpInodes()
		if err != nil {
			return err
		}
		if len(n.mptcp) > 2*len(all)+1000 { // most of them have gone
			clear(n.mptcp)
		}
		for _, l := range all {
			n.mptcp[l.Cookie] = inodes[l.Inode]
		}
	}
	for i := range all {
		all[i].MPTCP = n.mptcp[all[i].Cookie]
	}
	return nil
}

func (n *Namespace) knows(all []Listener) bool {
	for i := range all {
		if _, ok := n.mptcp[all[i].Cookie]; !ok {
			return false
		}
	}
	return true
}

func (n *Namespace) mptcpInodes() (map[uint32]bool, error) {
	inodes := map[uint32]bool{}
	if n.noMP { // asking would have the kernel look for its module each time
		return inodes, nil
	}
	for _, family := range families {
		base := inetRequest{family: family, states: 1 << tcpListen}.bytes()
		// The number doesn't fit into the byte that the request has for it. Before
		// 5.9 the kernel looks there only, and must not take it for TCP's.
		base[1] = 0
		request := binary.NativeEndian.AppendUint16(base[:], unix.SizeofNlAttr+4)
		request = binary.NativeEndian.AppendUint16(request, inetDiagReqProtocol)
		request = binary.NativeEndian.AppendUint32(request, unix.IPPROTO_MPTCP)
		rows, err := dump(n.quick, nil, request, func(body []byte) (uint32, bool, error) {
			s, err := parseInet(body)
			return s.inode, err == nil, err
		})
		if errors.Is(err, unix.ENOENT) {
			n.noMP = true
			return inodes, nil
		}
		if err != nil {
			return nil, err
		}
		for _, inode := range rows {
			inodes[inode] = true
		}
	}
	return inodes, nil
}
