package capture

import "time"

// A Packet is one packet as it was captured.
type Packet struct {
	Time      time.Time
	Link      Link
	Data      []byte // from the link's header on; valid until the next Read
	Length    int    // on the wire, at least len(Data)
	Interface int    // index; of a file, the number within the file
	Outgoing  bool   // sent by this host; false where that is unknown, and on lo
}

// A Link is what a packet begins with, a LINKTYPE of
// https://www.tcpdump.org/linktypes.html.
type Link uint16

// The links that Parse knows.
const (
	Null     Link = 0 // BSD loopback: 4 bytes of address family
	Ethernet Link = 1
	Raw      Link = 101 // IPv4 or IPv6
	Loop     Link = 108 // OpenBSD loopback
	Cooked   Link = 113 // Linux "any", SLL
	IPv4     Link = 228
	IPv6     Link = 229
	Cooked2  Link = 276 // SLL2

	rawBSD     Link = 12 // DLT_RAW, as some programs write it
	rawOpenBSD Link = 14
)
