package handshake

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"onconn/internal/capture"
)

const pcaps = "../../../../testdata/pcap"

// files are the captures of testdata/pcap with what is to be found in them.
var files = []struct {
	name string
	want string // kind, certainty, count
	note string // that some attempt must have
}{
	{"normal-handshake-accept-close", "1 connected certain", ""},
	{"client-closes-before-accept", "1 client-left cannot tell from this side", ""},
	{"rst-on-closed-port", "1 closed-port consistent with", ""},
	{"syn-dropped-accept-queue-full-abort0", "1 connected certain, 1 syn-refused-or-lost consistent with", ""},
	{"accept-queue-overflow-rtt40ms-abort0", "3 final-ack-refused certain, 4 connected certain", ""},
	{"syncookies", "1 reset-after-handshake consistent with", "SYN cookie"},
	{"abort-on-overflow", "2 reset-after-handshake consistent with, 4 connected certain", ""},
	{"client-left", "1 client-left cannot tell from this side", ""},
	{"closed-port-v6", "1 closed-port consistent with", ""},
	{"cookie-refused-seen-at-the-client", "1 connected certain, 1 data-unanswered cannot tell from this side", ""},
	{"cookie-refused-seen-at-the-server", "1 connected certain, 1 final-ack-refused consistent with", ""},
	{"cookies", "8 connected certain", "SYN cookie"},
	{"defer-accept", "1 deferred consistent with", ""},
	{"defer-accept-data", "1 connected certain", ""},
	{"fast-open", "3 connected certain", "fast open: 5 bytes"},
	{"mptcp", "2 connected certain", "MPTCP"},
	{"seen-at-the-client", "1 final-ack-refused consistent with, 2 connected certain", ""},
	{"seen-at-the-server", "1 final-ack-refused certain, 2 connected certain", ""},
	{"syn-refused-then-accepted", "1 answered-late consistent with, 1 connected certain", ""},
}

func packetsOf(t testing.TB, name string) (all []capture.Packet) {
	t.Helper()
	f, err := os.Open(filepath.Join(pcaps, name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := capture.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := r.Read()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
}

// tell is what was found, as in files.
func tell(r Result) string {
	counts := map[string]int{}
	for _, a := range r.Attempts {
		counts[fmt.Sprintf("%s %s", a.Verdict.Kind, a.Verdict.Certainty)]++
	}
	var all []string
	for what, n := range counts {
		all = append(all, fmt.Sprintf("%d %s", n, what))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func analyse(packets []capture.Packet) Result {
	a := New(Config{Packets: true})
	for _, p := range packets {
		a.Packet(p)
	}
	return a.Finish()
}

func TestReadFile(t *testing.T) {
	for _, tt := range files {
		t.Run(tt.name, func(t *testing.T) {
			r, incomplete, err := ReadFile(filepath.Join(pcaps, tt.name+".pcap"), Config{}, nil)
			if err != nil || incomplete != "" {
				t.Fatal(incomplete, err)
			}
			if got := tell(r); got != tt.want {
				t.Errorf("%s, not %s", got, tt.want)
			}
			noted := tt.note == ""
			for _, a := range r.Attempts {
				noted = noted || strings.Contains(strings.Join(a.Notes, "; "), tt.note)
			}
			if !noted {
				t.Errorf("no attempt has the note %q", tt.note)
			}
		})
	}
	if all, err := filepath.Glob(pcaps + "/*.pcap"); err != nil || len(all) != len(files) {
		t.Errorf("%d files, %d tested: %v", len(all), len(files), err)
	}
}

// TestRenamed: other addresses and ports, the same verdicts.
func TestRenamed(t *testing.T) {
	for _, tt := range files {
		a := New(Config{})
		ports := map[uint16]uint16{}
		for _, p := range packetsOf(t, tt.name) {
			s, ok := capture.Parse(p)
			if !ok {
				t.Fatal("no segment")
			}
			s.Src, s.Dst = renamed(s.Src, ports), renamed(s.Dst, ports)
			a.totals.Packets++
			a.Segment(p.Time, s)
		}
		if got := tell(a.Finish()); got != tt.want {
			t.Errorf("%s: %s, not %s", tt.name, got, tt.want)
		}
	}
}

// renamed turns the order of addresses and ports around, and IPv4 into IPv6.
func renamed(a netip.AddrPort, ports map[uint16]uint16) netip.AddrPort {
	ip := a.Addr().As16()
	for i := range ip {
		ip[i] ^= 0xa5
	}
	port, ok := ports[a.Port()]
	if !ok {
		port = uint16(60000 - 7919*len(ports))
		ports[a.Port()] = port
	}
	return netip.AddrPortFrom(netip.AddrFrom16(ip), port)
}

// TestOneDirection leaves out one end's packets.
func TestOneDirection(t *testing.T) {
	for _, server := range []bool{true, false} {
		a := New(Config{})
		for _, p := range packetsOf(t, "normal-handshake-accept-close") {
			if s, _ := capture.Parse(p); (s.Src.Port() == 8080) == server {
				a.Segment(p.Time, s)
			}
		}
		if got := tell(a.Finish()); got != "1 one-way cannot tell from this side" {
			t.Errorf("server's packets %v: %s", server, got)
		}
	}
}

// TestMiddle begins after the handshake, and within it.
func TestMiddle(t *testing.T) {
	all := packetsOf(t, "normal-handshake-accept-close")
	if r := analyse(all[3:]); r.Totals.Before != 1 || r.Totals.Attempts != 0 {
		t.Errorf("without the handshake: %+v", r.Totals)
	}
	if r := analyse(all[1:]); tell(r) != "1 connected certain" || len(r.Attempts[0].Notes) != 1 {
		t.Errorf("without the SYN: %s", tell(r))
	}
	if r := analyse(all[:1]); tell(r) != "1 unfinished cannot tell from this side" {
		t.Errorf("the SYN alone: %s", tell(r))
	}
}

// TestPortReuse: the same addresses with another sequence number are another attempt.
func TestPortReuse(t *testing.T) {
	all := packetsOf(t, "rst-on-closed-port")
	a := New(Config{})
	for i := range 3 {
		for _, p := range all {
			s, _ := capture.Parse(p)
			s.Seq += uint32(i)
			a.Segment(p.Time.Add(time.Duration(i)*time.Second), s)
		}
	}
	if r := a.Finish(); r.Totals.Attempts != 3 || r.Totals.Clients != 1 {
		t.Errorf("%+v", r.Totals)
	}
}

// TestCopies: each packet twice, as with VLANs and bridges, is one attempt all the same.
func TestCopies(t *testing.T) {
	for _, name := range []string{"syn-dropped-accept-queue-full-abort0", "seen-at-the-server"} {
		var twice []capture.Packet
		for _, p := range packetsOf(t, name) {
			twice = append(twice, p, p)
		}
		once, r := analyse(packetsOf(t, name)), analyse(twice)
		if tell(r) != tell(once) || r.Totals.Copies == 0 {
			t.Errorf("%s: %s, %d copies", name, tell(r), r.Totals.Copies)
		}
	}
}

// TestTruncated cuts a file at every byte.
func TestTruncated(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(pcaps, "seen-at-the-server.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for n := range file {
		r, incomplete, err := read(bytes.NewReader(file[:n]), "file", Config{})
		switch {
		case n < 24:
			if !errors.Is(err, capture.ErrFormat) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		case err != nil:
			t.Fatalf("%d bytes: %v", n, err)
		case incomplete == "":
			if whole++; r.Totals.Packets < whole-1 {
				t.Fatalf("%d bytes are %d packets", n, r.Totals.Packets)
			}
		}
	}
	if packets := len(packetsOf(t, "seen-at-the-server")); whole != packets {
		t.Errorf("%d cuts fell between packets, of which there are %d", whole, packets)
	}
}

// TestMemory reads a long capture: neither packets nor connections may pile up.
func TestMemory(t *testing.T) {
	size := int64(100 << 20)
	if testing.Short() || raceEnabled {
		size = 10 << 20
	}
	path := filepath.Join(t.TempDir(), "long.pcap.gz")
	attempts := generate(t, path, size)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	r, incomplete, err := ReadFile(path, Config{}, func(float64) {
		runtime.ReadMemStats(&after)
		most = max(most, after.HeapInuse)
	})
	if err != nil || incomplete != "" {
		t.Fatal(incomplete, err)
	}
	if r.Totals.Attempts != attempts || r.Totals.Kinds[Connected] != attempts {
		t.Errorf("%+v, not %d", r.Totals, attempts)
	}
	if most == 0 || most > before.HeapInuse+100<<20 {
		t.Errorf("%d MB of heap, %d before", most>>20, before.HeapInuse>>20)
	}
	t.Logf("%d attempts in %d packets: %d MB of heap", attempts, r.Totals.Packets, most>>20)
}

// generate writes ordinary connections of many clients, some packets each.
func generate(t *testing.T, path string, size int64) (attempts int) {
	all := packetsOf(t, "normal-handshake-accept-close")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
	header := make([]byte, 24)
	binary.LittleEndian.PutUint32(header, 0xa1b23c4d)
	binary.LittleEndian.PutUint32(header[20:], uint32(capture.Raw))
	z.Write(header)
	record := make([]byte, 16)
	for written := int64(0); written < size; attempts++ {
		for _, p := range all {
			at := p.Time.Add(time.Duration(attempts) * time.Millisecond)
			binary.LittleEndian.PutUint32(record, uint32(at.Unix()))
			binary.LittleEndian.PutUint32(record[4:], uint32(at.Nanosecond()))
			binary.LittleEndian.PutUint32(record[8:], uint32(len(p.Data)))
			binary.LittleEndian.PutUint32(record[12:], uint32(len(p.Data)))
			client := p.Data[12:16] // the source address
			if binary.BigEndian.Uint16(p.Data[20:]) == 8080 {
				client = p.Data[16:20]
			}
			binary.BigEndian.PutUint32(client, uint32(attempts)+1<<24)
			z.Write(record)
			z.Write(p.Data)
			written += int64(len(record) + len(p.Data))
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return attempts
}

func FuzzExplainFile(f *testing.F) {
	for _, tt := range files {
		b, err := os.ReadFile(filepath.Join(pcaps, tt.name+".pcap"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, _, err := read(bytes.NewReader(file), "file", Config{Packets: true, Keep: 3})
		if err == nil {
			check(t, r, 3)
		}
	})
}

// FuzzHandshake takes packets of 4 bytes: who, flags, numbers, time.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte{0, 2, 0, 0, 1, 18, 1, 1, 0, 16, 17, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		now := time.Unix(1e9, 0)
		a := New(Config{Packets: true, Keep: 5})
		for ; len(in) >= 4; in = in[4:] {
			now = now.Add(time.Duration(int8(in[3])) * 20 * time.Millisecond)
			s := capture.Segment{
				Src:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, in[0] & 1}), 1000+uint16(in[0]>>4)),
				Dst:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, ^in[0] & 1}), 1000+uint16(in[0]>>4)),
				Flags: capture.Flags(in[1]), Seq: uint32(in[2] & 15), Ack: uint32(in[2] >> 4), Payload: int(in[0] >> 2 & 3),
			}
			a.Segment(now, s)
		}
		check(t, a.Finish(), 5)
	})
}

// check checks what holds of any result.
func check(t *testing.T, r Result, keep int) {
	t.Helper()
	sum := 0
	for k, n := range r.Totals.Kinds {
		if rank[k] == 0 {
			t.Errorf("unknown kind %q", k)
		}
		sum += n
	}
	if sum != r.Totals.Attempts || len(r.Attempts) != min(keep, sum) {
		t.Errorf("%d attempts, %d judged, %d kept", r.Totals.Attempts, sum, len(r.Attempts))
	}
	for _, a := range r.Attempts {
		if a.Verdict.Text == "" || len(a.Verdict.Rules) == 0 || a.Waited() < 0 {
			t.Errorf("%+v", a)
		}
	}
	Printer{W: io.Discard, Verbose: true}.Print(r)
}
