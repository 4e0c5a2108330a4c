package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/testleak"
)

// udpRole answers each datagram with which worker it is, at two sockets.
func udpRole() error {
	var conns []net.PacketConn
	opened := make(chan struct{})
	done := make(chan error)
	err := cluster.OnMessage(func(m json.RawMessage) {
		<-opened
		for _, c := range conns {
			c.Close()
			c.Close() // does nothing
		}
		cluster.Send("closed")
	})
	if err != nil {
		return err
	}
	for range 2 {
		c, err := cluster.ListenPacket(address())
		if err != nil {
			cluster.Send(err.Error())
			return err
		}
		conns = append(conns, c)
		cluster.Send("udp " + c.LocalAddr().String())
		go func() {
			p := make([]byte, 1000)
			for {
				_, from, err := c.ReadFrom(p)
				if errors.Is(err, net.ErrClosed) {
					err = nil
				} else if err == nil {
					_, err = c.WriteTo([]byte(fmt.Sprintf("go %d", cluster.ID())), from)
					if err == nil {
						continue
					}
				}
				done <- err
				return
			}
		}()
		if os.Getenv("ONE") != "" {
			break
		}
	}
	close(opened)
	for range conns {
		if err := <-done; err != nil {
			return err
		}
	}
	<-cluster.Draining()
	return nil
}

// where reads "udp address" as something to ask.
func where(t *testing.T, said string) *net.UDPAddr {
	t.Helper()
	_, a, ok := strings.Cut(said, "udp ")
	addr, err := net.ResolveUDPAddr("udp", a)
	if !ok || err != nil {
		t.Fatalf("%q is no address", said)
	}
	if addr.IP.IsUnspecified() {
		addr.IP = net.IPv4(127, 0, 0, 1)
		if addr.IP.To4() == nil {
			addr.IP = net.IPv6loopback
		}
	}
	return addr
}

// Workers share UDP sockets, the n-th one of an address in each, whatever the mode.
func TestListenPacket(t *testing.T) {
	for _, mode := range []cluster.Mode{cluster.RoundRobin, cluster.Shared, cluster.ReusePort} {
		for _, at := range []string{"udp 127.0.0.1:0", "udp4 :0", "udp6 [::1]:0", "udp :0"} {
			t.Run(mode.String()+","+at, func(t *testing.T) {
				network, addr, _ := strings.Cut(at, " ")
				r := start(t, "udp", cluster.Config{Workers: 2, Mode: mode, Env: on(network, addr), StableAfter: time.Nanosecond})
				var said []string
				for range 4 {
					said = append(said, text(t, r.await(cluster.Messaged).Data))
				}
				slices.Sort(said)
				if said[0] != said[1] || said[1] == said[2] || said[2] != said[3] {
					t.Fatal(said)
				}
				for _, s := range said {
					if got := askUDP(t, where(t, s), "who?"); got != "go 1" && got != "go 2" {
						t.Error(got)
					}
				}
				if l := r.Status().Listeners; len(l) != 2 || l[0].Network != "udp" || l[0].Mode != cluster.Shared {
					t.Errorf("%+v", l)
				}
				// Others have it when one has crashed, or left.
				eventually(t, "both are ready", func() bool { return len(r.Workers()) == 2 })
				w := r.Workers()[0]
				w.Kill(syscall.SIGKILL)
				for range 2 {
					r.await(cluster.Messaged)
				}
				if err := r.Reload(t.Context()); err != nil {
					t.Error(err)
				}
				eventually(t, "only new ones answer", func() bool {
					got := askUDP(t, where(t, said[0]), "who?")
					return got == "go 4" || got == "go 5"
				})
				// And it is free when all have closed it.
				for _, w := range r.Workers() {
					w.Send("close")
				}
				eventually(t, "the address is free", func() bool {
					c, err := net.ListenPacket("udp", where(t, said[0]).String())
					if err == nil {
						c.Close()
					}
					return err == nil
				})
			})
		}
	}
}

// An upgrade keeps UDP sockets, and later workers have them too.
func TestListenPacketUpgrade(t *testing.T) {
	at := freeAddr(t)
	t.Setenv("CLUSTER_TEST_UDP", at)
	addr, err := net.ResolveUDPAddr("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, cluster.RoundRobin)
	if got := askUDP(t, addr, "who?"); got != "1" && got != "2" {
		t.Error(got)
	}
	for range 2 {
		p.do("upgrade")
		if got := askUDP(t, addr, "who?"); got != "1" && got != "2" {
			t.Error(got)
		}
	}
	p.do("reload")
	eventually(t, "only new ones answer", func() bool {
		got := askUDP(t, addr, "who?")
		return got == "3" || got == "4"
	})
}

// In a primary ListenPacket is that of package net; errors are the same in a worker.
func TestListenPacketErrors(t *testing.T) {
	testleak.FDs(t)
	taken, err := cluster.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, want := cluster.ListenPacket("udp", taken.LocalAddr().String())
	if !errors.Is(want, syscall.EADDRINUSE) {
		t.Error(want)
	}
	if _, err := cluster.ListenPacket("tcp", "127.0.0.1:0"); err == nil {
		t.Error("tcp has datagrams")
	}
	r := start(t, "udp", cluster.Config{Workers: 1, Env: on("udp", taken.LocalAddr().String())})
	if got := text(t, r.await(cluster.Messaged).Data); got != want.Error() {
		t.Errorf("%s, not %v", got, want)
	}
	for _, network := range []string{"udp", "udp4", "udp6"} {
		p, err := cluster.New(cluster.Config{Workers: 1, Listen: []cluster.Address{{Network: network, Address: ":0"}}})
		if err == nil {
			if err = p.Start(t.Context()); err == nil {
				p.Shutdown(t.Context())
			}
		}
		if _, ok := errors.AsType[net.UnknownNetworkError](err); !ok {
			t.Errorf("Config.Listen of %s: %v", network, err)
		}
	}
}

// A script's UDP sockets are shared, in both modes, also after one has died.
func TestNodeUDP(t *testing.T) {
	for _, mode := range []cluster.Mode{cluster.RoundRobin, cluster.Shared} {
		for _, at := range []string{`{"type":"udp4","port":0,"address":"127.0.0.1"}`, `{"type":"udp4","port":0}`, `{"type":"udp6","port":0,"address":"::1"}`, `{"type":"udp6","port":0}`, `{"type":"udp6","port":0,"ipv6Only":true,"reuseAddr":true}`} {
			t.Run(mode.String()+","+at, func(t *testing.T) {
				r := startNode(t, cluster.Config{Workers: 2, Mode: mode, Exec: nodeProgram(t), Args: []string{"testdata/node/udp.js"}, StableAfter: time.Nanosecond}, at)
				said := text(t, r.await(cluster.Messaged).Data)
				if second := text(t, r.await(cluster.Messaged).Data); second != said {
					t.Fatal(said, second)
				}
				host, port, _ := strings.Cut(strings.TrimPrefix(said, "udp "), " ")
				if i := strings.LastIndex(host, ":"); i >= 0 {
					host, port = host[:i], host[i+1:]
				}
				switch host {
				case "0.0.0.0":
					host = "127.0.0.1"
				case "::":
					host = "::1"
				}
				addr, err := net.ResolveUDPAddr("udp", net.JoinHostPort(host, port))
				if err != nil {
					t.Fatal(said, err)
				}
				if got := askUDP(t, addr, "who?"); got != "js 1" && got != "js 2" {
					t.Error(got)
				}
				r.Workers()[0].Kill(syscall.SIGKILL)
				if again := text(t, r.await(cluster.Messaged).Data); again != said {
					t.Error(again)
				}
				if got := askUDP(t, addr, "who?"); got != "js 2" && got != "js 3" {
					t.Error(got)
				}
				for _, w := range r.Workers() {
					w.Send("close")
				}
				for range r.Workers() {
					if got := text(t, r.await(cluster.Messaged).Data); got != "closed" {
						t.Error(got)
					}
				}
				eventually(t, "the address is free", func() bool { return len(r.Status().Listeners) == 0 })
			})
		}
	}
}

// A UDP address that is taken is the error that Node has.
func TestNodeUDPInUse(t *testing.T) {
	testleak.FDs(t)
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.LocalAddr().(*net.UDPAddr).Port
	for listen, want := range map[string]string{
		fmt.Sprintf(`{"type":"udp4","port":%d,"address":"127.0.0.1"}`, port): `{"error":"EADDRINUSE","syscall":"bind"}`,
		`{"type":"udp4","port":0,"address":"192.0.2.1"}`:                     `{"error":"EADDRNOTAVAIL","syscall":"bind"}`,
	} {
		r := startNode(t, cluster.Config{Workers: 1, Exec: nodeProgram(t), Args: []string{"testdata/node/udp.js"}}, listen)
		if got := string(r.await(cluster.Messaged).Data); got != want {
			t.Errorf("%s: %s", listen, got)
		}
	}
}

// Go and Node workers of one primary share a UDP socket.
func TestNodeUDPBesideGo(t *testing.T) {
	r := startNode(t, cluster.Config{
		Workers: 2, Exec: "/bin/sh",
		Args: []string{"-c", `case $NODE_UNIQUE_ID in 1) exec node testdata/node/udp.js;; *) CLUSTER_TEST_ROLE=udp exec "$PROGRAM";; esac`},
	}, `{"type":"udp4","port":0,"address":"127.0.0.1"}`, append(on("udp", "127.0.0.1:0"), "PROGRAM="+self(t), "ONE=1")...)
	said := text(t, r.await(cluster.Messaged).Data)
	if second := text(t, r.await(cluster.Messaged).Data); second != said {
		t.Fatal(said, second)
	}
	others := map[int]string{0: "go 2", 1: "js 1"}
	for stopped, want := range others {
		w := r.Workers()[stopped]
		stop(t, w)
		if got := askUDP(t, where(t, said), "who?"); got != want {
			t.Error(got)
		}
		w.Kill(syscall.SIGCONT)
	}
}

// A Go worker has UDP sockets of a Node primary's, together with Node workers.
func TestGoUnderNodeUDP(t *testing.T) {
	for _, policy := range []string{"rr", "none"} {
		for _, writing := range []string{"json", "advanced"} {
			for at, listen := range map[string]string{
				"udp 127.0.0.1:0": `{"type":"udp4","port":0,"address":"127.0.0.1"}`,
				"udp4 :0":         `{"type":"udp4","port":0}`,
				"udp6 [::1]:0":    `{"type":"udp6","port":0,"address":"::1","ipv6Only":true}`,
				"udp :0":          `{"type":"udp6","port":0}`,
			} {
				t.Run(policy+","+writing+","+at, func(t *testing.T) {
					n := startNodePrimary(t, "NODE_CLUSTER_SCHED_POLICY="+policy, "SERIALIZATION="+writing, envRole+"=udp", "CLUSTER_TEST_LISTEN="+at, "LISTEN="+listen)
					n.do(`await go({}, 2); await js('udp.js');`)
					var said []string
					if err := json.Unmarshal(n.do(`await until(() => count('message') === 3); return events.filter((e) => e[0] === 'message').map((e) => e[2])`), &said); err != nil {
						t.Fatal(err)
					}
					i := strings.LastIndex(said[0], ":")
					if port := said[0][i:]; !strings.HasSuffix(said[2], port) || strings.HasSuffix(said[1], port) {
						t.Errorf("not the same socket, and another one: %q", said)
					}
					if got := askUDP(t, where(t, said[1]), "who?"); got != "go 1" {
						t.Error(got)
					}
					if got := askUDP(t, where(t, said[0]), "who?"); got != "go 1" && got != "js 2" {
						t.Error(got)
					}
					n.do(`workers[2].send('close'); await until(() => count('message', 2) === 2)`)
					if got := askUDP(t, where(t, said[0]), "who?"); got != "go 1" {
						t.Error(got)
					}
					n.do(`workers[1].send('close'); await until(() => count('message', 1) === 3)`)
					n.do(`const u = require('dgram').createSocket(` + listen + `); await new Promise((ok, bad) => { u.on('error', bad); u.bind(` +
						said[0][i+1:] + `, ` + listen + `.address, ok) }); u.close()`)
					n.do(`workers[1].disconnect(); await until(() => count('exit', 1) === 1)`)
					if got := asText(n.do(`return events.filter((e) => e[0] === 'exit')`)); got != `[["exit",1,0,null,true]]` {
						t.Error(got)
					}
				})
			}
		}
	}
}

// ReadFrom ends when the worker is asked to go, and a taken address is an error.
func TestGoUnderNodeUDPEnds(t *testing.T) {
	testleak.FDs(t)
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	n := startNodePrimary(t, envRole+"=udp", "CLUSTER_TEST_LISTEN=udp 127.0.0.1:0")
	n.do(`await go({}, 2); workers[1].disconnect(); await until(() => count('exit', 1) === 1)`)
	n.do(`await go({}, 2); workers[2].process.kill(); await until(() => count('exit', 2) === 1)`)
	if got := asText(n.do(`return events.filter((e) => e[0] === 'exit')`)); got != `[["exit",1,0,null,true],["exit",2,0,null,true]]` {
		t.Error(got)
	}
	n.do(`fork(program, [], { CLUSTER_TEST_LISTEN: 'udp ` + taken.LocalAddr().String() + `' }); await until(() => count('exit', 3) === 1)`)
	if got := asText(n.do(`return events.filter((e) => e[0] === 'message' && e[1] === 3)[0][2]`)); !strings.Contains(got, "bind: address already in use") {
		t.Error(got)
	}
}

// A script listens on a descriptor that the primary has opened, and on no other one.
func TestNodeFD(t *testing.T) {
	for _, mode := range []cluster.Mode{cluster.RoundRobin, cluster.Shared} {
		t.Run(mode.String(), func(t *testing.T) {
			testleak.FDs(t)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr := ln.Addr()
			fd := own(t, ln.(*net.TCPListener))
			ln.Close()
			r := startNode(t, cluster.Config{
				Workers: 2, Mode: mode, Listen: []cluster.Address{{Network: "fd", Address: fmt.Sprint(int(fd))}},
			}, fmt.Sprintf(`{"fd":%d}`, fd))
			if got := r.serving(2); got.String() != addr.String() {
				t.Errorf("%v, not %v", got, addr)
			}
			if mode == cluster.RoundRobin {
				inTurn(t, addr, 4, "js 1", "js 2")
			} else if who := whoAnswers(t, addr); who != "js 1" && who != "js 2" {
				t.Error(who)
			}
			if _, err := r.Fork(`LISTEN={"fd":1}`); err != nil {
				t.Fatal(err)
			}
			if e := r.await(cluster.Exited); e.Worker.ID != 3 || !strings.Contains(e.Stderr, "EINVAL") {
				t.Errorf("%+v", e)
			}
		})
	}
}

// Messages may be written as the serializer of V8 writes them.
func TestNodeAdvanced(t *testing.T) {
	for _, own := range []bool{false, true} {
		cfg := cluster.Config{Workers: 1, Exec: nodeProgram(t), Args: []string{"testdata/node/advanced.js"}}
		if own {
			t.Setenv("NODE_CHANNEL_SERIALIZATION_MODE", "advanced")
		} else {
			cfg.Env = []string{"NODE_CHANNEL_SERIALIZATION_MODE=advanced"}
		}
		r := startNode(t, cfg, `{}`)
		if got := text(t, r.await(cluster.Messaged).Data); got != "here" {
			t.Fatal(got)
		}
		if err := r.Workers()[0].Send(map[string]any{"ж": []any{1.5, nil}}); err != nil {
			t.Fatal(err)
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(r.await(cluster.Messaged).Data, &got); err != nil {
			t.Fatal(err)
		}
		if string(got["got"]) != `{"ж":[1.5,null]}` || !strings.Contains(string(got["bytes"]), "208,182") || got["map"] == nil {
			t.Errorf("%s", got)
		}
	}
	_, err := cluster.New(cluster.Config{Node: true, Exec: "node", Env: []string{"NODE_CHANNEL_SERIALIZATION_MODE=other"}})
	if err == nil || !strings.Contains(err.Error(), "json or advanced") {
		t.Error(err)
	}
}

// All that a script does works with either serialization.
func TestNodeAdvancedServes(t *testing.T) {
	for _, mode := range []cluster.Mode{cluster.RoundRobin, cluster.Shared} {
		cfg, came := handles(t, cluster.Config{
			Workers: 2, Mode: mode, Exec: nodeProgram(t), Args: []string{"testdata/node/handles.js"}, Env: []string{"NODE_CHANNEL_SERIALIZATION_MODE=advanced"},
		})
		r := startNode(t, cfg, `{"port":0,"host":"127.0.0.1"}`)
		l := load(r.serving(2), 2)
		client, server := aPair(t)
		if err := r.Workers()[0].SendFD("x", server); err != nil {
			t.Fatal(err)
		}
		server.Close()
		check(t, next(t, came), client)
		if mode == cluster.RoundRobin {
			l.served(t, "js 1", 10)
			l.served(t, "js 2", 10)
		}
		if err := r.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		if by, lost := l.end(); len(lost) > 0 {
			t.Error(by, lost)
		}
	}
}
