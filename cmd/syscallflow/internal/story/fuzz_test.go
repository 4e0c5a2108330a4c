package story

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"onconn/cmd/syscallflow/internal/recording"
)

// FuzzTell tells recordings in which numbers, names and times were changed, as
// far as Read takes them, and checks what the drawings rely on.
func FuzzTell(f *testing.F) {
	var files [][]byte
	for _, name := range []string{"node-rr", "python", "in-use", "shared", "overflow"} {
		b, err := os.ReadFile("../../testdata/made/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, b)
		for seed := range uint64(20) {
			f.Add(seed, uint8(len(files)-1), uint8(seed*3))
		}
	}
	f.Fuzz(func(t *testing.T, seed uint64, file, changes uint8) {
		r, err := recording.Read(bytes.NewReader(files[int(file)%len(files)]))
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(seed, 0))
		for range changes {
			change(r, random)
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

// change changes one thing in a recording.
func change(r *recording.Recording, random *rand.Rand) {
	socket := func() recording.SocketID { return recording.SocketID(random.IntN(len(r.Sockets) + 1)) }
	at := func() recording.Time { return recording.Time(random.Int64N(5e9) - 1e9) }
	c := &r.Calls[random.IntN(len(r.Calls))]
	s := &r.Sockets[random.IntN(len(r.Sockets))]
	switch random.IntN(16) {
	case 0:
		c.Name = r.Calls[random.IntN(len(r.Calls))].Name
	case 1:
		c.Begin = at()
	case 2:
		c.End = at()
	case 3:
		c.Errno = []string{"", "EAGAIN", "EMFILE", "ECONNRESET", "EINVAL", "%d"}[random.IntN(6)]
	case 4:
		c.FD = &recording.FD{Number: random.IntN(9), Socket: socket()}
	case 5:
		c.New, c.Return = &recording.FD{Socket: socket()}, random.Int64()
	case 6:
		c.Passed = append(c.Passed, recording.FD{Socket: socket()})
	case 7:
		c.FD, c.New, c.Passed, c.Args = nil, nil, nil, nil
	case 8:
		s.From = socket()
	case 9:
		s.Pair = socket()
	case 10:
		s.Listens = !s.Listens
	case 11:
		s.Local, s.Peer = s.Peer, s.Local
	case 12:
		s.Family, s.Backlog = []string{"AF_UNIX", "AF_INET", "AF_NETLINK", "\x1b"}[random.IntN(4)], random.IntN(3)
	case 13:
		if n := len(r.Packets); n > 0 {
			p := &r.Packets[random.IntN(n)]
			p.Time, p.Socket, p.Flags = at(), socket(), []string{"S", "SA", "A", "R", "FA", "PA", ""}[random.IntN(7)]
			p.Raw = p.Raw[:random.IntN(len(p.Raw)+1)]
		}
	case 14:
		p := &r.Processes[random.IntN(len(r.Processes))]
		p.Parent, p.Begin, p.End, p.Status = r.Processes[random.IntN(len(r.Processes))].PID, at(), at(), "exit status 7"
	case 15:
		r.Clock = recording.Time(random.Int64N(1e9))
	}
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
