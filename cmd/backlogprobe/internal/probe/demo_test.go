package probe

import (
	"context"
	"errors"
	"strings"
	"testing"

	"onconn/internal/terminal"
	"onconn/internal/testleak"
)

// What each demo must have seen for its words to be true.
func TestDemos(t *testing.T) {
	full := func(q QueueFacts) bool { return q.Depth == q.Capacity && *q.Drops > 0 }
	for _, c := range []struct {
		name string
		says string
		saw  func(QueueFacts) bool
	}{
		{"full", "all 12 clients are connected", full},
		{"slow", "listen(64)", func(q QueueFacts) bool { return q.Limit == 153 }},
		{"half-open", "10 got a SYN-ACK", func(q QueueFacts) bool { return *q.HalfOpen == 10 }},
		{"cookies", "9 SYN-ACKs come again", func(q QueueFacts) bool { return *q.HalfOpen == 9 && *q.Drops == 91 }},
		{"rst", "(2 seen)", full},
		{"unix", "2 get EAGAIN", func(q QueueFacts) bool { return q.Depth == 6 }},
		{"closed", "connection refused", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			testleak.FDs(t)
			testleak.Zombies(t)
			var text strings.Builder
			saw := c.saw == nil
			err := RunDemo(background(t), c.name, func(s Step) {
				PrintStep(&text, terminal.Style{Width: 1000}, s)
				saw = saw || s.Queue != nil && c.saw(*s.Queue)
			})
			if err != nil {
				if strings.Contains(err.Error(), "namespace of its own") || errors.Is(err, ErrNoTUN) {
					t.Skip(err)
				}
				t.Fatal(err)
			}
			if !saw || !strings.Contains(text.String(), c.says) {
				t.Errorf("saw what it should: %v\n%s", saw, text.String())
			}
		})
	}
	if err := RunDemo(background(t), "nonsense", nil); err == nil {
		t.Error("a demo that doesn't exist")
	}
}

func TestDemoInterrupted(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	ctx, cancel := context.WithCancel(background(t))
	err := RunDemo(ctx, "full", func(Step) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Without a namespace the same demo runs in this process.
func TestDemoHere(t *testing.T) {
	testleak.FDs(t)
	n := 0
	if err := Demos()[0].play(background(t), func(Step) { n++ }); err != nil || n < 5 {
		t.Errorf("%d steps, %v", n, err)
	}
}
