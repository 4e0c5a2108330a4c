package sched

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

func TestCallCounter(t *testing.T) {
	testleak.FDs(t)
	c, err := newCallCounter()
	if err != nil {
		t.Skip(err)
	}
	defer c.close()
	const calls = 1000
	count := c.from(time.Now().Add(-time.Second), []int{os.Getpid()})
	for end := time.Now().Add(10 * time.Second); count != nil; {
		for range calls {
			unix.Getppid()
			threadTime() // isn't counted
		}
		// The first ones may have come before it began.
		if n := count(); n >= calls {
			if n > 2*calls {
				t.Errorf("%d calls of about %d", n, calls)
			}
			break
		} else if time.Now().After(end) {
			t.Errorf("%d calls of %d", n, calls)
			break
		}
		count = c.from(time.Now(), []int{os.Getpid()})
	}
	if n := count(); n != 0 {
		t.Errorf("%d calls after the end", n)
	}
}

// Where it can't be made, nothing is counted.
func TestNoCallCounter(t *testing.T) {
	var c *callCounter
	if n := c.from(time.Now(), []int{1})(); n != 0 {
		t.Error(n)
	}
}
