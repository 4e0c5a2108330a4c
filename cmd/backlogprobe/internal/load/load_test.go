package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/internal/netns"
	"onconn/internal/testleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAdvise(t *testing.T) {
	watched := Load{Watched: 10 * time.Second, Sockets: 1, Limit: 511, Known: true, Arrivals: 92, Busiest: 240, Seen: 92, Peak: 100, Stall: 410 * time.Millisecond}
	with := func(change func(*Load)) Load {
		l := watched
		change(&l)
		return l
	}
	for _, tt := range []struct {
		name  string
		l     Load
		stall time.Duration
		want  func(Advice) bool
	}{
		{"the formula", watched, 0, func(a Advice) bool { // 98.4 + 29.8
			return a.Recommended == 129 && !a.Overloaded && a.Load.Arrivals == 240 && a.LastWaits == 0 && a.Stands > 1500*time.Millisecond
		}},
		{"another stall", watched, time.Second, func(a Advice) bool { return a.Recommended == 287 }},
		{"what was seen counts", with(func(l *Load) { l.Peak = 400 }), 0, func(a Advice) bool { return a.Recommended == 400 && a.Backlog == 129 }},
		{"a burst", with(func(l *Load) { l.Accepts, l.BusySeconds, l.Stall = 100, 3, 0 }), 0,
			func(a Advice) bool { return !a.Overloaded && a.Recommended == 140 }},
		{"too slow", with(func(l *Load) { l.Accepts, l.BusySeconds = 54, 9 }), 0, func(a Advice) bool {
			return a.Overloaded && a.Recommended == 0 && a.Most == 54 && a.BreaksPledge && a.LastWaits.Round(100*time.Millisecond) == 9500*time.Millisecond
		}},
		{"full, and refusing", with(func(l *Load) {
			l.Arrivals, l.Accepts, l.BusySeconds, l.Refused, l.Full, l.Peak = 54, 54, 9, 38, 9*time.Second, 512
		}), 0, func(a Advice) bool {
			return a.Overloaded && a.Retries && a.FillsIn.Round(100*time.Millisecond) == 13500*time.Millisecond
		}},
		{"full now and then", with(func(l *Load) { l.Refused, l.Full, l.Limit = 3, time.Second, 20 }), 0,
			func(a Advice) bool { return !a.Retries && a.Recommended == 129 && a.Stands < 100*time.Millisecond }},
		{"a group", with(func(l *Load) { l.Sockets = 4; l.Peak = 1 }), 0,
			func(a Advice) bool { return a.Load.Arrivals == 60 && a.Recommended == 40 }},
	} {
		a, err := Advise(tt.l, tt.stall, time.Second)
		if err != nil || !tt.want(a) {
			t.Errorf("%s: %+v, %v", tt.name, a, err)
		}
	}
	if _, err := Advise(with(func(l *Load) { l.Seen, l.Stall = 0, l.Watched }), 0, 0); err != ErrStuck {
		t.Errorf("not full, nothing accepted: %v", err)
	}
	if _, err := Advise(with(func(l *Load) { l.Lopsided = true }), 0, 0); err != ErrLopsided {
		t.Error(err)
	}
	if a, err := Advise(with(func(l *Load) { l.Stall, l.Peak = 0, 1 }), 0, 0); err != nil || a.Recommended != 8 { // 2.4 + 4.6 in 10 ms
		t.Errorf("no stall: %+v, %v", a, err)
	}
	if _, err := Advise(with(func(l *Load) { l.Arrivals, l.Busiest = 0, 0 }), 0, 0); err != ErrIdle {
		t.Error(err)
	}
	if _, err := Advise(with(func(l *Load) { l.Arrivals, l.Busiest, l.Seen, l.Full = 0, 0, 0, time.Second }), 0, 0); err != ErrStuck {
		t.Error(err)
	}
}

// stands is the inverse of the formula.
func TestStands(t *testing.T) {
	for _, capacity := range []int{1, 6, 512, 4097} {
		a, err := backlog.Advise(backlog.Load{Arrivals: 240, Stall: stands(capacity, 240)})
		if err != nil || a.Backlog < capacity-1 || a.Backlog > capacity+1 {
			t.Errorf("capacity %d stands %v, which needs %d, %v", capacity, stands(capacity, 240), a.Backlog, err)
		}
	}
}

// A server that takes a connection only now and then has a queue all the time.
func TestMeasureBusy(t *testing.T) {
	l := measure(t, 20*time.Millisecond)
	if !l.Known || l.BusySeconds == 0 || l.Idle || l.Accepts <= 0 || l.Accepts > 60 || l.Arrivals <= 0 {
		t.Errorf("%+v", l)
	}
}

// One that takes them at once can't show what it could take.
func TestMeasureIdle(t *testing.T) {
	l := measure(t, 0)
	if !l.Known || l.BusySeconds != 0 || !l.Idle || l.Seen <= 0 {
		t.Errorf("%+v", l)
	}
}

func measure(t *testing.T, pause time.Duration) (l Load) {
	testleak.FDs(t)
	n := netns.New(t)
	var ln net.Listener
	n.Do(func() {
		var err error
		if ln, err = net.Listen("tcp4", "127.0.0.1:8080"); err != nil {
			t.Fatal(err)
		}
	})
	stop := make(chan bool)
	ended := make(chan error, 2)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				ended <- nil
				return
			}
			c.Close()
			time.Sleep(pause)
		}
	}()
	go n.Do(func() { ended <- clients(stop) })
	defer func() {
		close(stop)
		ln.Close()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}()
	ns, err := backlog.OpenNamespace(n.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	all, err := ns.Listeners()
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); pause > 0 && all[0].Depth < 3; time.Sleep(10 * time.Millisecond) {
		if all, err = ns.Listeners(); err != nil || time.Now().After(end) {
			t.Fatal("there is no queue: ", err)
		}
	}
	for range 5 { // a busy machine may not have counted
		if l, err = Measure(context.Background(), ns, uint16(all[0].Addr.Port()), []uint32{all[0].Inode}, 2500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if l.Known && l.Seen > 0 && (pause == 0 || l.BusySeconds > 0) {
			return l
		}
	}
	return l
}

// clients connect 100 times a second, on the thread that they are called on.
func clients(stop chan bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{127, 0, 0, 1}})
		unix.Close(fd)
		if err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			return fmt.Errorf("connect: %w", err)
		}
	}
}
