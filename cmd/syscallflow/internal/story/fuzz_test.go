package story

import (
	"math/rand/v2"
	"strings"
	"testing"

	"onconn/cmd/syscallflow/internal/recording/recordingtest"
)

// FuzzTell tells recordings in which numbers, names and times were changed, as
// far as Read takes them, and checks what the drawings rely on.
func FuzzTell(f *testing.F) {
	for seed := range uint64(25) {
		f.Add(seed, uint8(seed), uint8(seed*7))
	}
	f.Fuzz(func(t *testing.T, seed uint64, file, changes uint8) {
		r := recordingtest.Load(t, "made/"+recordingtest.Made[int(file)%len(recordingtest.Made)])
		random := rand.New(rand.NewPCG(seed, 0))
		for range changes {
			recordingtest.Change(r, random)
		}
		if r.Check() != nil {
			return
		}
		for _, verbose := range []bool{false, true} {
			sound(t, Tell(r, Options{Verbose: verbose}))
			sound(t, Tell(r, Options{Verbose: verbose, Lanes: int(seed % 9)}))
		}
	})
}

// sound fails if a story refers to what it hasn't.
func sound(t testing.TB, s *Story) {
	t.Helper()
	for i, step := range s.Steps {
		switch {
		case step.Kind == Rest:
		case step.From < 0 || step.To < 0 || step.From >= len(s.Lanes) || step.To >= len(s.Lanes):
			t.Fatalf("step %d is between lanes %d and %d of %d", i, step.From, step.To, len(s.Lanes))
		case step.Socket < 0 || step.Socket > len(s.Sockets) || step.Note < 0 || step.Note > len(s.Notes):
			t.Fatalf("step %d has the socket %d of %d and the note %d of %d", i, step.Socket, len(s.Sockets), step.Note, len(s.Notes))
		case step.Times < 1:
			t.Fatalf("step %d happened %d times", i, step.Times)
		}
		if strings.Contains(step.Why, "%!") {
			t.Fatalf("step %d: %s", i, step.Why)
		}
		if i > 0 && step.Time < s.Steps[i-1].Time {
			t.Fatalf("step %d is before the one before it", i)
		}
	}
	for _, q := range s.Queues {
		if len(q.Depths) != len(s.Steps) {
			t.Fatalf("%d depths for %d steps", len(q.Depths), len(s.Steps))
		}
	}
}
