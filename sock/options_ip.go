package sock

import (
	"golang.org/x/sys/unix"
)

// Options of SOL_IP, sorted by name. See ip(7). On an IPv6 socket they are for
// its IPv4 connections.
var (
	BindAddressNoPort = define(flag, Info{Level: unix.SOL_IP, Number: unix.IP_BIND_ADDRESS_NO_PORT, Name: "IP_BIND_ADDRESS_NO_PORT", Unit: "flag", Since: "4.2", Inherited: true,
		Doc: "Binding port 0 leaves the choice of the port to connect."})
	Freebind = define(flag, Info{Level: unix.SOL_IP, Number: unix.IP_FREEBIND, Name: "IP_FREEBIND", Unit: "flag", Inherited: true,
		Doc: "Bind an address that no interface has (yet)."})
	LocalPortRange = define(portRange, Info{Level: unix.SOL_IP, Number: unix.IP_LOCAL_PORT_RANGE, Name: "IP_LOCAL_PORT_RANGE", Unit: "ports", Since: "6.3", Inherited: true,
		Doc: "Choose ephemeral ports from here, within net.ipv4.ip_local_port_range."})
	MinTTL = define(number, Info{Level: unix.SOL_IP, Number: unix.IP_MINTTL, Name: "IP_MINTTL", Unit: "hops", Since: "2.6.34", Inherited: true,
		Doc: "Drop packets whose TTL is less, which come from farther away."})
	MTUDiscover = define(number, Info{Level: unix.SOL_IP, Number: unix.IP_MTU_DISCOVER, Name: "IP_MTU_DISCOVER", Unit: "IP_PMTUDISC_*", Inherited: true,
		Doc: "Path MTU discovery."})
	PktInfo = define(flag, Info{Level: unix.SOL_IP, Number: unix.IP_PKTINFO, Name: "IP_PKTINFO", Unit: "flag", Inherited: true,
		Doc: "Receive each datagram's destination address and interface; no effect on streams."})
	RecvErr = define(flag, Info{Level: unix.SOL_IP, Number: unix.IP_RECVERR, Name: "IP_RECVERR", Unit: "flag", Inherited: true,
		Doc: "Report ICMP errors at once and queue them."})
	RecvTOS = define(flag, Info{Level: unix.SOL_IP, Number: unix.IP_RECVTOS, Name: "IP_RECVTOS", Unit: "flag", Inherited: true,
		Doc: "Receive the TOS byte with each message."})
	RecvTTL = define(flag, Info{Level: unix.SOL_IP, Number: unix.IP_RECVTTL, Name: "IP_RECVTTL", Unit: "flag", Inherited: true,
		Doc: "Receive the TTL with each message."})
	TOS = define(number, Info{Level: unix.SOL_IP, Number: unix.IP_TOS, Name: "IP_TOS", Unit: "byte", Inherited: true,
		Doc: "TOS byte of what is sent; on TCP without its two ECN bits."})
	Transparent = define(flag, Info{Level: unix.SOL_IP, Number: unix.IP_TRANSPARENT, Name: "IP_TRANSPARENT", Unit: "flag", Since: "2.6.28", Inherited: true,
		Doc: "Serve addresses that no interface has, for transparent proxies; needs CAP_NET_ADMIN or CAP_NET_RAW."})
	TTL = define(number, Info{Level: unix.SOL_IP, Number: unix.IP_TTL, Name: "IP_TTL", Unit: "hops", Inherited: true,
		Doc: "TTL of what is sent, 1 to 255; setting -1: default."})
)
