package cluster_test

import (
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

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

// Shares in each mode, one connection at a time and several at once. Round robin
// is exact; a shared socket is even when workers wait for work; the hash of
// reuseport is as even as chance.
func TestShares(t *testing.T) {
	const workers = 4
	for _, c := range []struct {
		mode  cluster.Mode
		name  string
		n     int           // connections
		at    int           // a time
		pause time.Duration // after each
		least float64       // Jain index
	}{
		{cluster.RoundRobin, "light load", 10_000, 1, 0, 0.999},
		{cluster.RoundRobin, "16 at a time", 10_000, 16, 0, 0.999},
		{cluster.Shared, "light load", 2000, 1, time.Millisecond, 0.95},
		{cluster.Shared, "16 at a time", 10_000, 16, 0, 0.3},
		{cluster.ReusePort, "light load", 10_000, 1, 0, 0.99},
		{cluster.ReusePort, "16 at a time", 10_000, 16, 0, 0.99},
	} {
		t.Run(c.mode.String()+"/"+c.name, func(t *testing.T) {
			r := start(t, "name", cluster.Config{Workers: workers, Mode: c.mode, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(workers)
			var mu sync.Mutex
			got := map[int]int{}
			var wg sync.WaitGroup
			for range c.at {
				wg.Go(func() {
					for range c.n / c.at {
						id := ask(t, a)
						time.Sleep(c.pause)
						mu.Lock()
						got[id]++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			j := jain(got, workers)
			t.Logf("%v: Jain index %.4f", got, j)
			if j < c.least {
				t.Errorf("Jain index %.4f is below %v", j, c.least)
			}
		})
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
