// Package recordingtest has the recordings on which what draws them is tested, and
// makes others of them that no program would make.
package recordingtest

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onconn/cmd/syscallflow/internal/recording"
)

// Made are recordings that were written by hand, in testdata/made.
var Made = []string{"node-rr", "python", "in-use", "shared", "overflow"}

// testdata is that of the command, as seen from the packages in its internal.
const testdata = "../../testdata"

// Load reads a recording of testdata: "made/python", "recordings/nginx".
func Load(t testing.TB, name string) *recording.Recording {
	t.Helper()
	f, err := os.Open(filepath.Join(testdata, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := recording.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// All are all recordings of testdata, by name: those of real servers as "real-nginx".
func All(t testing.TB) map[string]*recording.Recording {
	t.Helper()
	all := map[string]*recording.Recording{}
	for _, name := range Made {
		all[name] = Load(t, "made/"+name)
	}
	files, err := filepath.Glob(filepath.Join(testdata, "recordings/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings of real servers: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		all["real-"+name] = Load(t, "recordings/"+name)
	}
	return all
}

// Change changes one thing in a recording.
func Change(r *recording.Recording, random *rand.Rand) {
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
