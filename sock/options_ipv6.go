package sock

import (
	"golang.org/x/sys/unix"
)

// Options of SOL_IPV6, sorted by name. See ipv6(7). A name that SOL_IP has too
// begins with V6.
var (
	AutoFlowLabel = define(flag, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_AUTOFLOWLABEL, Name: "IPV6_AUTOFLOWLABEL", Unit: "flag", Since: "3.17", Inherited: true,
		Doc: "Give connections a flow label."})
	V6Freebind = define(flag, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_FREEBIND, Name: "IPV6_FREEBIND", Unit: "flag", Since: "4.15", Inherited: true,
		Doc: "Bind an address that no interface has (yet)."})
	MinHopCount = define(number, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_MINHOPCOUNT, Name: "IPV6_MINHOPCOUNT", Unit: "hops", Since: "2.6.35", Inherited: true,
		Doc: "Drop packets whose hop limit is less, which come from farther away."})
	V6MTUDiscover = define(number, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_MTU_DISCOVER, Name: "IPV6_MTU_DISCOVER", Unit: "IPV6_PMTUDISC_*", Inherited: true,
		Doc: "Path MTU discovery."})
	V6RecvErr = define(flag, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_RECVERR, Name: "IPV6_RECVERR", Unit: "flag", Inherited: true,
		Doc: "Report ICMPv6 errors at once and queue them."})
	RecvHopLimit = define(flag, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_RECVHOPLIMIT, Name: "IPV6_RECVHOPLIMIT", Unit: "flag", Since: "2.6.14", Inherited: true,
		Doc: "Receive the hop limit with each message."})
	RecvPktInfo = define(flag, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_RECVPKTINFO, Name: "IPV6_RECVPKTINFO", Unit: "flag", Since: "2.6.14", Inherited: true,
		Doc: "Receive each message's destination address and interface."})
	RecvTClass = define(flag, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_RECVTCLASS, Name: "IPV6_RECVTCLASS", Unit: "flag", Since: "2.6.14", Inherited: true,
		Doc: "Receive the traffic class with each message."})
	TClass = define(number, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_TCLASS, Name: "IPV6_TCLASS", Unit: "byte", Since: "2.6.14", Inherited: true,
		Doc: "Traffic class of what is sent; on TCP without its two ECN bits; setting -1: default."})
	V6Transparent = define(flag, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_TRANSPARENT, Name: "IPV6_TRANSPARENT", Unit: "flag", Since: "2.6.37", Inherited: true,
		Doc: "Serve addresses that no interface has, for transparent proxies; needs CAP_NET_ADMIN or CAP_NET_RAW."})
	UnicastHops = define(number, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_UNICAST_HOPS, Name: "IPV6_UNICAST_HOPS", Unit: "hops", Inherited: true,
		Doc: "Hop limit of what is sent, 0 to 255; setting -1: default."})
	V6Only = define(flag, Info{Level: unix.SOL_IPV6, Number: unix.IPV6_V6ONLY, Name: "IPV6_V6ONLY", Unit: "flag", Inherited: true,
		Doc: "Take IPv6 only; off, a socket on :: takes IPv4 too. Set before bind."})
)
