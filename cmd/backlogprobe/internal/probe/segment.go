package probe

import (
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// A segment is a TCP segment without data.
type segment struct {
	from, to      netip.AddrPort
	seq, ackSeq   uint32
	syn, ack, rst bool
}

// encode makes the IPv4 packet.
func (s segment) encode() ([]byte, error) {
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, Flags: layers.IPv4DontFragment,
		SrcIP: s.from.Addr().AsSlice(), DstIP: s.to.Addr().AsSlice(),
	}
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(s.from.Port()), DstPort: layers.TCPPort(s.to.Port()),
		Seq: s.seq, Ack: s.ackSeq, SYN: s.syn, ACK: s.ack, RST: s.rst, Window: 65535,
	}
	if s.syn {
		mss := []byte{1460 >> 8, 1460 & 0xff}
		tcp.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: mss}}
	}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	err := gopacket.SerializeLayers(buf, opts, ip, tcp)
	return buf.Bytes(), err
}

// decode reads a packet; ok is false for what isn't TCP over IPv4.
func decode(packet []byte) (s segment, ok bool) {
	var ip layers.IPv4
	var tcp layers.TCP
	if ip.DecodeFromBytes(packet, gopacket.NilDecodeFeedback) != nil || ip.Version != 4 || ip.Protocol != layers.IPProtocolTCP ||
		tcp.DecodeFromBytes(ip.Payload, gopacket.NilDecodeFeedback) != nil {
		return segment{}, false
	}
	from, _ := netip.AddrFromSlice(ip.SrcIP)
	to, _ := netip.AddrFromSlice(ip.DstIP)
	return segment{
		from: netip.AddrPortFrom(from, uint16(tcp.SrcPort)), to: netip.AddrPortFrom(to, uint16(tcp.DstPort)),
		seq: tcp.Seq, ackSeq: tcp.Ack, syn: tcp.SYN, ack: tcp.ACK, rst: tcp.RST,
	}, true
}
