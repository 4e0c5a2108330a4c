// Package capture brings TCP segments in: from the network of this host with an
// AF_PACKET socket (packet(7)), and from pcap and pcapng files. It needs neither
// cgo nor libpcap.
package capture

import _ "onconn/internal/linux"
