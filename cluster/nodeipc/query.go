package nodeipc

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// A Query names a server, as listen of Node's net.Server and bind of its dgram
// were called: what queryServer and listening say.
type Query struct {
	Address string // an IP address, a path, "\x00name"; empty: any
	Port    int
	Type    AddrType
	FD      int // of the primary; -1: there is none
	Flags   int
	Backlog int // 0: as Node has it, 511
	Index   int // among a worker's servers of the same address

	ReadableAll, WritableAll bool // of a unix socket's file

	// Data is common to all servers of the address: what the first one says is
	// told to all. That of TLS servers is {"ticketKeys": 96 hexadecimal digits}.
	Data json.RawMessage
}

// An AddrType says what an address is.
type AddrType string

const (
	IPv4   AddrType = "4"
	IPv6   AddrType = "6"
	Pipe   AddrType = "-1" // a unix socket
	UDP4   AddrType = "udp4"
	UDP6   AddrType = "udp6"
	FDOnly AddrType = "" // the server is the descriptor FD
)

// Flags of a Query.
const (
	V6Only    = 1
	ReusePort = 2 // not of UDP
	// UDPReuseAddr is that of dgram: reuseAddr.
	UDPReuseAddr = 4
)

// wireQuery is a Query as it is written. What is absent differs from what is null.
type wireQuery struct {
	Index       int             `json:"index"`
	Address     *string         `json:"address"`
	Port        *int            `json:"port"`
	AddressType json.RawMessage `json:"addressType"`
	FD          *int            `json:"fd,omitempty"`
	Flags       *int            `json:"flags,omitempty"`
	Backlog     json.RawMessage `json:"backlog,omitempty"`
	ReadableAll bool            `json:"readableAll,omitempty"`
	WritableAll bool            `json:"writableAll,omitempty"`
}

func (w *wire) query() (Query, error) {
	q := Query{FD: -1, Index: w.Index, ReadableAll: w.ReadableAll, WritableAll: w.WritableAll, Data: w.Data}
	if w.Address != nil {
		q.Address = *w.Address
	}
	if w.Port != nil {
		q.Port = *w.Port
	}
	if w.FD != nil {
		q.FD = *w.FD
	}
	if w.Flags != nil {
		q.Flags = *w.Flags
	}
	if n, err := strconv.Atoi(string(w.Backlog)); err == nil { // else false
		q.Backlog = n
	}
	q.Type = AddrType(strings.Trim(string(w.AddressType), `"`))
	if q.Type == "null" {
		q.Type = FDOnly
	}
	switch q.Type {
	case IPv4, IPv6, UDP4, UDP6:
		if q.Port < 0 || q.Port > 65535 {
			return q, fmt.Errorf("port %d", q.Port)
		}
	case Pipe:
		// Node makes a path absolute, and an abstract name with it.
		if i := strings.IndexByte(q.Address, 0); i >= 0 {
			q.Address = q.Address[i:]
		}
		if q.Address == "" {
			return q, fmt.Errorf("a unix socket without a path")
		}
	case FDOnly:
		if q.FD < 0 {
			return q, fmt.Errorf("neither an address nor a descriptor")
		}
	default:
		return q, fmt.Errorf("addressType %s", w.AddressType)
	}
	return q, nil
}

// wire is q as Node writes it.
func (q Query) wire() wireQuery {
	w := wireQuery{Index: q.Index, ReadableAll: q.ReadableAll, WritableAll: q.WritableAll}
	if q.Type == FDOnly {
		w.FD = &q.FD
		w.AddressType = json.RawMessage("null")
	} else {
		w.Port = &q.Port
		w.AddressType = json.RawMessage(q.Type)
		if q.Type == UDP4 || q.Type == UDP6 {
			w.AddressType = json.RawMessage(strconv.Quote(string(q.Type)))
		}
	}
	if q.Address != "" {
		w.Address = &q.Address
	}
	if q.Flags != 0 {
		w.Flags = &q.Flags
	}
	if q.Type == UDP4 || q.Type == UDP6 { // a primary tells sockets apart by -1 too
		w.FD, w.Flags = &q.FD, &q.Flags
		return w
	}
	w.Backlog = json.RawMessage(strconv.Itoa(q.Backlog))
	return w
}
