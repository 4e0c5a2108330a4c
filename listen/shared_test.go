package listen_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"onconn/internal/testleak"
	"onconn/listen"
)

func init() {
	children["accept until told"] = func() {
		l, err := listen.Config{Shared: os.Getenv("TEST_SHARED") != ""}.Own(3)
		if err != nil {
			say(err)
			return
		}
		go func() {
			io.Copy(io.Discard, os.Stdin)
			l.Close()
		}()
		say("ready")
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			conn.Close()
		}
		say(l.Counters().Accepted.Load())
	}
}

// TestSharedIsEven has four processes accept connections that come one by one.
func TestSharedIsEven(t *testing.T) {
	testleak.FDs(t)
	const workers, conns = 4, 2000
	plain := spread(t, workers, conns)
	even := spread(t, workers, conns, "TEST_SHARED=1")
	t.Logf("connections of each process: %v, Jain index %.3f", plain, jain(plain))
	t.Logf("the same with Shared:        %v, Jain index %.3f", even, jain(even))
	if jain(even) < 0.95 {
		t.Errorf("uneven: %v", even)
	}
}

// spread returns how many connections each of the processes accepted.
func spread(t *testing.T, workers, conns int, env ...string) (accepted []float64) {
	t.Helper()
	l := mustListen(t, listen.Config{}, "tcp", "127.0.0.1:0")
	var all []*process
	for range workers {
		p := startChild(t, "accept until told", env, nil, l.Descriptor())
		if line, err := bufio.NewReader(p.out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("child says %q, %v", line, err)
		}
		all = append(all, p)
	}
	for range conns {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		c.Close()
	}
	sum := 0.0
	for _, p := range all {
		n, err := strconv.ParseFloat(strings.TrimSpace(p.wait()), 64)
		if err != nil {
			t.Fatal(err)
		}
		accepted = append(accepted, n)
		sum += n
	}
	if sum != float64(conns) {
		t.Errorf("%v of %d connections", accepted, conns)
	}
	return accepted
}

// jain is Jain's fairness index: 1 is even, 1/n all to one.
func jain(shares []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	return sum * sum / (float64(len(shares)) * squares)
}
