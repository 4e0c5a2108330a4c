package sock

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reject is a classic BPF program that drops everything or, in a SO_REUSEPORT
// group, chooses the first member.
var reject = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}

func socketRows() []row {
	tcp := func(t *testing.T) FD { return tcp4.socket(t) }
	pair := func(t *testing.T) FD { a, _ := unixPair(t); return a }
	return []row{
		readOnly(AcceptConn, func(t *testing.T) FD { return tcp4.listen(t, 1) },
			func(t *testing.T, v bool) bool { other, _ := AcceptConn.Get(tcp4.socket(t)); return v && !other }),
		writeOnly(AttachFilter, testFilter),
		writeOnly(AttachReusePortCBPF, func(t *testing.T) {
			testSteering(t, func(fd FD, index uint32) error {
				return AttachReusePortCBPF.Set(fd, []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: index}})
			})
		}),
		writeOnly(AttachReusePortEBPF, func(t *testing.T) {
			testSteering(t, func(fd FD, index uint32) error { return AttachReusePortEBPF.Set(fd, loadProgram(t, index)) })
		}),
		readWrite(BindToDevice, tcp4, step[string]{"lo", "lo"}, step[string]{"", ""}),
		readWrite(BindToIfindex, tcp4, step[int]{1, 1}, step[int]{0, 0}),
		flagRow(Broadcast, tcp4),
		valueRow(BufLock, tcp4, 3),
		valueRow(BusyPoll, tcp4, 50*time.Microsecond),
		readOnly(Cookie, tcp, func(t *testing.T, v uint64) bool { other, _ := Cookie.Get(tcp4.socket(t)); return v != 0 && v != other }),
		flagRow(Debug, tcp4),
		writeOnly(DetachFilter, testFilter),
		writeOnly(DetachReusePortBPF, func(t *testing.T) {
			fd := tcp4.socket(t)
			check(t, ReusePort.Set(fd, true))
			if err := DetachReusePortBPF.Set(fd, struct{}{}); !errors.Is(err, unix.ENOENT) {
				supported(t, DetachReusePortBPF.Info(), err)
				t.Errorf("without a program: %v, want ENOENT", err)
			}
			check(t, AttachReusePortCBPF.Set(fd, reject))
			check(t, DetachReusePortBPF.Set(fd, struct{}{}))
		}),
		flagRow(DontRoute, tcp4),
		valueRow(IncomingCPU, tcp4, 4095),
		readOnly(IncomingNAPIID, tcp, func(_ *testing.T, v int) bool { return v == 0 }),
		flagRow(KeepAlive, tcp4),
		readWrite(Linger, tcp4,
			step[LingerConfig]{LingerConfig{true, 7 * time.Second}, LingerConfig{true, 7 * time.Second}},
			step[LingerConfig]{LingerConfig{true, time.Millisecond}, LingerConfig{true, time.Second}},
			step[LingerConfig]{LingerConfig{true, 0}, LingerConfig{true, 0}},
			step[LingerConfig]{LingerConfig{}, LingerConfig{}}),
		valueRow(LockFilter, tcp4, true),
		valueRow(Mark, tcp4, 0xfffffffe),
		readWrite(MaxPacingRate, tcp4, step[uint64]{1 << 40, 1 << 40}, step[uint64]{1<<64 - 1, 1<<64 - 1}),
		readOnly(MemInfo, tcp, func(t *testing.T, v [9]uint32) bool {
			rcvbuf, _ := RcvBuf.Get(tcp4.socket(t))
			return v[1] == uint32(rcvbuf) && v[8] == 0
		}),
		readOnly(NetnsCookie, tcp, func(t *testing.T, v uint64) bool {
			other, _ := NetnsCookie.Get(tcp4.socket(t))
			return v != 0 && v == other
		}),
		flagRow(OOBInline, tcp4),
		flagRow(PassCred, unixS),
		flagRow(PassPidfd, unixS),
		readWrite(PassRights, unixS, step[bool]{false, false}, step[bool]{true, true}),
		readOnly(PeerCred, pair, func(_ *testing.T, v unix.Ucred) bool {
			return v == unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
		}),
		readOnly(PeerPidfd, pair, func(t *testing.T, v FD) bool {
			closing(t, v, nil)
			flags, err := unix.FcntlInt(uintptr(v), unix.F_GETFD, 0)
			return err == nil && flags&unix.FD_CLOEXEC != 0 && unix.PidfdSendSignal(int(v), 0, nil, 0) == nil
		}),
		flagRow(PreferBusyPoll, tcp4),
		valueRow(Priority, tcp4, 5),
		readWrite(RcvBuf, tcp4, step[int]{50000, 100000}),
		writeOnly(RcvBufForce, func(t *testing.T) { testForce(t, RcvBufForce, RcvBuf) }),
		valueRow(RcvLowat, tcp4, 100),
		flagRow(RcvMark, tcp4),
		readWrite(RcvTimeo, tcp4, step[time.Duration]{3 * time.Second, 3 * time.Second}, step[time.Duration]{0, 0}),
		flagRow(ReuseAddr, tcp4),
		flagRow(ReusePort, tcp4),
		readWrite(SndBuf, tcp4, step[int]{50000, 100000}),
		writeOnly(SndBufForce, func(t *testing.T) { testForce(t, SndBufForce, SndBuf) }),
		readWrite(SndTimeo, tcp4, step[time.Duration]{3 * time.Second, 3 * time.Second}, step[time.Duration]{0, 0}),
		readOnly(SockDomain, tcp, func(_ *testing.T, v Family) bool { return v == Inet }),
		readOnly(SockError, refused, func(_ *testing.T, v error) bool { return v == unix.ECONNREFUSED }),
		readOnly(SockProtocol, tcp, func(_ *testing.T, v Protocol) bool { return v == TCP }),
		readOnly(SockType, pair, func(_ *testing.T, v Type) bool { return v == Stream }),
		flagRow(Timestamp, tcp4),
		flagRow(TimestampNS, tcp4),
		readWrite(TxRehash, tcp4, step[int]{0, 0}, step[int]{1, 1}),
		flagRow(ZeroCopy, tcp4),
	}
}

func tcpRows() []row {
	established := func(t *testing.T) FD { c, _ := tcp4.connected(t, tcp4.listen(t, 1)); return c }
	return []row{
		valueRow(Congestion, tcp4, otherCongestion()),
		flagRow(Cork, tcp4),
		readWrite(DeferAccept, tcp4,
			step[time.Duration]{2 * time.Second, 3 * time.Second},
			step[time.Duration]{time.Millisecond, time.Second},
			step[time.Duration]{10 * time.Second, 15 * time.Second},
			step[time.Duration]{0, 0}),
		valueRow(DelackMaxUS, tcp4, 20*time.Millisecond),
		valueRow(FastOpen, tcp4, 5),
		flagRow(FastOpenConnect, tcp4),
		fastOpenKeyRow(),
		flagRow(FastOpenNoCookie, tcp4),
		flagRow(Inq, tcp4),
		readOnly(IsMPTCP, func(t *testing.T) FD { c, _ := mptcp.connected(t, mptcp.listen(t, 1)); return c },
			func(t *testing.T, v bool) bool {
				tcp, err := IsMPTCP.Get(established(t))
				return v && !tcp && err == nil
			}),
		valueRow(KeepCnt, tcp4, 4),
		valueRow(KeepIdle, tcp4, 77*time.Second),
		readWrite(KeepIntvl, tcp4, step[time.Duration]{11 * time.Second, 11 * time.Second}, step[time.Duration]{1, time.Second}),
		readWrite(Linger2, tcp4, step[time.Duration]{9 * time.Second, 9 * time.Second}, step[time.Duration]{-1, -time.Second}),
		valueRow(MaxSeg, tcp4, 900),
		flagRow(NoDelay, tcp4),
		valueRow(NotsentLowat, tcp4, 1<<31),
		late(readWrite(QuickAck, tcp4, step[bool]{false, false}, step[bool]{true, true})),
		valueRow(RTOMaxMS, tcp4, 5*time.Second),
		valueRow(RTOMinUS, tcp4, 20*time.Millisecond),
		flagRow(SaveSyn, tcp4),
		readOnly(SavedSyn,
			func(t *testing.T) FD {
				_, s := tcp4.connected(t, tcp4.listen(t, 1, func(fd FD) error { return SaveSyn.Set(fd, true) }))
				return s
			},
			func(_ *testing.T, v []byte) bool { return len(v) >= 40 && v[0]>>4 == 4 && v[33]&0x3f == 0x02 }),
		valueRow(SynCnt, tcp4, 3),
		readOnly(TCPInfo, func(t *testing.T) FD { return tcp4.listen(t, 7) },
			func(_ *testing.T, v unix.TCPInfo) bool {
				return v.State == unix.BPF_TCP_LISTEN && v.Unacked == 0 && v.Sacked == 7
			}),
		flagRow(ThinLinearTimeouts, tcp4),
		valueRow(TxDelay, tcp4, 100*time.Microsecond),
		{Info: ULP.Info(), kind: vsock, test: func(t *testing.T) { testULP(t, established(t)) }},
		valueRow(UserTimeout, tcp4, 1234*time.Millisecond),
		valueRow(WindowClamp, tcp4, 20000),
	}
}

func ipRows() []row {
	return []row{
		flagRow(BindAddressNoPort, tcp4),
		flagRow(Freebind, tcp4),
		valueRow(LocalPortRange, tcp4, PortRange{40000, 40100}),
		valueRow(MTUDiscover, tcp4, unix.IP_PMTUDISC_PROBE),
		valueRow(MinTTL, tcp4, 5),
		flagRow(PktInfo, tcp4),
		flagRow(RecvErr, tcp4),
		flagRow(RecvTOS, tcp4),
		flagRow(RecvTTL, tcp4),
		readWrite(TOS, tcp4, step[int]{0x28, 0x28}, step[int]{0x2b, 0x28}),
		valueRow(TTL, tcp4, 99),
		flagRow(Transparent, tcp4),

		readWrite(AutoFlowLabel, tcp6, step[bool]{false, false}, step[bool]{true, true}),
		valueRow(MinHopCount, tcp6, 5),
		flagRow(RecvHopLimit, tcp6),
		flagRow(RecvPktInfo, tcp6),
		flagRow(RecvTClass, tcp6),
		readWrite(TClass, tcp6, step[int]{0x28, 0x28}, step[int]{0x2b, 0x28}),
		valueRow(UnicastHops, tcp6, 99),
		flagRow(V6Freebind, tcp6),
		valueRow(V6MTUDiscover, tcp6, unix.IPV6_PMTUDISC_PROBE),
		flagRow(V6Only, dualStack),
		flagRow(V6RecvErr, tcp6),
		flagRow(V6Transparent, tcp6),
	}
}

func vsockRows() []row {
	return []row{
		valueRow(VsockBufferMaxSize, vsock, 1<<20),
		valueRow(VsockBufferMinSize, vsock, 4096),
		valueRow(VsockBufferSize, vsock, 8192),
	}
}
