package cluster_test

import (
	"maps"
	"net"
	"os"
	"slices"
	"testing"

	"onconn/cluster"
)

var modes = []cluster.Mode{cluster.RoundRobin, cluster.Shared, cluster.ReusePort}

// The same worker's code serves in every mode and on every network.
func TestModes(t *testing.T) {
	for _, mode := range modes {
		for _, at := range [][2]string{{"tcp4", "127.0.0.1:0"}, {"tcp6", "[::1]:0"}, {"tcp", ":0"}, {"unix", ""}, {"unix", "@onconn-test-modes"}, {"unixpacket", ""}} {
			network, addr := at[0], at[1]
			if network[:3] != "tcp" && mode == cluster.ReusePort {
				continue
			}
			name := mode.String() + "/" + network + addr
			t.Run(name, func(t *testing.T) {
				if addr == "" {
					addr = socketPath(t)
				}
				r := start(t, "name", cluster.Config{Workers: 3, Mode: mode, Env: on(network, addr)})
				a := r.listening(3)
				got := map[int]int{}
				for range 60 {
					got[ask(t, a)]++
				}
				t.Log(got)
				if mode == cluster.RoundRobin && !maps.Equal(got, map[int]int{1: 20, 2: 20, 3: 20}) {
					t.Errorf("shares are %v, not 20 each", got)
				}
				if mode == cluster.Shared && len(got) != 3 {
					t.Errorf("only %v served", got)
				}
				if got[1]+got[2]+got[3] != 60 {
					t.Errorf("%v served", got)
				}
				var taken int64
				for _, w := range r.Workers() {
					taken += w.Stats().Accepted
				}
				if taken != 60 {
					t.Errorf("the scoreboard says %d", taken)
				}
				r.Shutdown(t.Context())
				if network == "unix" && addr[0] == '/' {
					if _, err := os.Stat(addr); !os.IsNotExist(err) {
						t.Errorf("the socket file is left: %v", err)
					}
				}
			})
		}
	}
}

func TestRoundRobinIsFair(t *testing.T) {
	const n = 10_000
	r := start(t, "name", cluster.Config{Workers: 4, Env: on("tcp", "127.0.0.1:0")})
	a := r.listening(4)
	got := map[int]int{}
	for range n {
		got[ask(t, a)]++
	}
	if j := jain(got, 4); j < 0.999 {
		t.Errorf("%v: Jain index %.4f", got, j)
	} else {
		t.Logf("%v: Jain index %.4f", got, j)
	}
}

// Two listens on port 0 are two ports, and the same two in every worker.
func twoRole() error {
	for range 2 {
		ln, err := listening()
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				c.Write([]byte{'0' + byte(cluster.ID()), '\n'})
				c.Close()
			}
		}()
	}
	<-cluster.Draining()
	return nil
}

func TestPortZero(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "two", cluster.Config{Workers: 2, Mode: mode, Env: on("tcp", "127.0.0.1:0")})
			addrs := map[string]net.Addr{}
			for range 4 {
				a := r.await(cluster.Listening).Addr
				addrs[a.String()] = a
			}
			if len(addrs) != 2 {
				t.Fatalf("2 workers with 2 listeners each have the addresses %v", slices.Collect(maps.Keys(addrs)))
			}
			for _, a := range addrs {
				ask(t, a)
			}
		})
	}
}
