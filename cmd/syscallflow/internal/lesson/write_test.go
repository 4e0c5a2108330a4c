package lesson

import (
	"bytes"
	"context"
	"testing"
	"time"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/internal/golden"
	"onconn/internal/terminal"
)

// TestWrite has a lesson in which this machine isn't as the text says.
func TestWrite(t *testing.T) {
	r := &Run{Number: 2, Program: "a server that isn't there", Recording: &recording.Recording{Kernel: "6.18", Machine: "x86_64"}, Lesson: Lesson{
		Title: "what differs", Question: "What does a lesson say where a machine behaves otherwise?",
		Try: []string{"ss -ltn"}, Think: "Why does it not just fail?", Answer: "Because that is worth knowing.",
	}}
	r.step("Nothing, %d times.", 2)
	equal(r, "right", "connections in the queue", 2, 2)
	equal(r, "wrong", "what the client was told", "ECONNREFUSED", "ETIMEDOUT")
	r.holds("time", "it waited", 1500*time.Microsecond, "ms", "about 1000", false)
	r.value("free", "limit", 511, "")
	r.say("Two fit.", "right")
	r.say("It is told nothing.", "right", "wrong")
	r.myth("\"It is fast.\"", "It waits a second.", "time")
	for name, style := range map[string]terminal.Style{"differs.80.txt": {Width: 80}, "differs.ascii.txt": {Width: 60, ASCII: true}} {
		var b bytes.Buffer
		pauses := 0
		w := &Writer{W: &b, Style: style, Answers: style.ASCII, Pause: func() { pauses++ }}
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
		if pauses != 3 {
			t.Errorf("%d pauses", pauses)
		}
		golden.Check(t, name, b.String())
	}
	var b bytes.Buffer
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "differs.json", b.String())
}

func TestNoSuchLesson(t *testing.T) {
	for _, n := range []int{0, Most + 1} {
		if _, err := Do(t.Context(), n); err == nil {
			t.Errorf("lesson %d: no error", n)
		}
	}
}

// TestCancel ends a lesson early, and leaves nothing behind.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Do(ctx, 1); err == nil {
		t.Error("no error")
	}
}
