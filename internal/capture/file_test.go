package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

const example = "../../testdata/pcap/accept-queue-overflow-rtt40ms-abort0.pcap"

func readAll(t testing.TB, file []byte) (all []Packet, err error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	for {
		p, err := r.Read()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
}

func original(t testing.TB) []Packet {
	t.Helper()
	b, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	all, err := readAll(t, b)
	if err != nil || len(all) != 62 {
		t.Fatal(len(all), err)
	}
	return all
}

// same compares with the original, to the microsecond.
func same(t *testing.T, got, want []Packet) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets, not %d", len(got), len(want))
	}
	for i := range got {
		if !got[i].Time.Equal(want[i].Time) || !bytes.Equal(got[i].Data, want[i].Data) || got[i].Length != want[i].Length {
			t.Fatalf("packet %d: %+v, not %+v", i, got[i], want[i])
		}
	}
}

func info(p Packet) gopacket.CaptureInfo {
	return gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(p.Data), Length: p.Length}
}

// TestFormats reads what another implementation has written.
func TestFormats(t *testing.T) {
	want := original(t)
	for name, write := range map[string]func(io.Writer) error{
		"pcap": func(w io.Writer) error {
			out := pcapgo.NewWriter(w)
			if err := out.WriteFileHeader(65535, layers.LinkTypeRaw); err != nil {
				return err
			}
			for _, p := range want {
				if err := out.WritePacket(info(p), p.Data); err != nil {
					return err
				}
			}
			return nil
		},
		"pcapng": func(w io.Writer) error {
			out, err := pcapgo.NewNgWriter(w, layers.LinkTypeRaw)
			if err != nil {
				return err
			}
			for _, p := range want {
				if err := out.WritePacket(info(p), p.Data); err != nil {
					return err
				}
			}
			return out.Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var plain, zipped bytes.Buffer
			if err := write(&plain); err != nil {
				t.Fatal(err)
			}
			got, err := readAll(t, plain.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
			z := gzip.NewWriter(&zipped)
			z.Write(plain.Bytes())
			z.Close()
			if got, err = readAll(t, zipped.Bytes()); err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
			if _, err = readAll(t, zipped.Bytes()[:zipped.Len()/2]); err == nil {
				t.Error("half of a gzip file is read without an error")
			}
			zipped.Bytes()[zipped.Len()-8] ^= 1 // the checksum
			if _, err = readAll(t, zipped.Bytes()); !errors.Is(err, ErrFormat) {
				t.Errorf("a gzip file with a wrong checksum: %v", err)
			}
		})
	}
}

// ng writes a pcapng file in either order of bytes.
type ng struct {
	bytes.Buffer
	binary.ByteOrder
}

func (n *ng) block(kind uint32, body ...any) {
	var b bytes.Buffer
	for _, v := range body {
		binary.Write(&b, n.ByteOrder, v)
	}
	b.Write(make([]byte, -b.Len()&3))
	size := uint32(b.Len() + 12)
	binary.Write(n, n.ByteOrder, []uint32{kind, size})
	n.Write(b.Bytes())
	binary.Write(n, n.ByteOrder, size)
}

func (n *ng) section() { n.block(ngSection, uint32(ngByteOrder), []uint16{1, 0}, int64(-1)) }

// iface has a resolution and an offset in seconds.
func (n *ng) iface(link Link, resolution byte, offset int64) {
	n.block(ngDescription, uint16(link), uint16(0), uint32(0),
		[]uint16{9, 1}, resolution, []byte{0, 0, 0}, []uint16{14, 8}, offset, []uint16{0, 0})
}

func TestNg(t *testing.T) {
	want := original(t)[0]
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		n := &ng{ByteOrder: order}
		n.section()
		n.iface(Raw, 9, 0)
		n.iface(9999, 6, 0)
		n.iface(Raw, 0x80|20, want.Time.Unix())
		nanos := uint64(want.Time.UnixNano())
		size := uint32(len(want.Data))
		n.block(ngEnhanced, uint32(0), uint32(nanos>>32), uint32(nanos), size, size, want.Data)
		n.block(0x0bad, []byte("a block of an unknown kind"))
		n.block(ngEnhanced, uint32(1), uint32(0), uint32(0), size, size, want.Data) // of an unknown link
		n.block(ngEnhanced, uint32(2), uint32(0), uint32(1<<19), size, size, want.Data)
		n.block(ngSimple, size, want.Data)
		n.block(ngOldPacket, uint16(0), uint16(0), uint32(nanos>>32), uint32(nanos), size, size, want.Data)
		n.section() // joined files
		n.iface(Raw, 9, 0)
		n.block(ngEnhanced, uint32(0), uint32(nanos>>32), uint32(nanos), size, size, want.Data)
		got, err := readAll(t, n.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		half, simple := want, want
		half.Time = time.Unix(want.Time.Unix(), 5e8)
		simple.Time = time.Unix(0, 0)
		same(t, got, []Packet{want, half, simple, want, want})
	}
}

// TestDamaged: what a file claims costs no memory, and the error says where.
func TestDamaged(t *testing.T) {
	pcap := make([]byte, 40)
	binary.LittleEndian.PutUint32(pcap, 0xa1b2c3d4)
	binary.LittleEndian.PutUint32(pcap[20:], uint32(Raw))
	binary.LittleEndian.PutUint32(pcap[32:], math.MaxUint32)
	build := func(f func(*ng)) []byte {
		n := &ng{ByteOrder: binary.LittleEndian}
		n.section()
		f(n)
		return n.Bytes()
	}
	for name, file := range map[string][]byte{
		"huge packet": pcap,
		"huge block": build(func(n *ng) {
			binary.Write(n, n.ByteOrder, []uint32{ngEnhanced, math.MaxUint32 &^ 3})
		}),
		"tiny block": build(func(n *ng) { binary.Write(n, n.ByteOrder, []uint32{ngEnhanced, 4, 4, 4}) }),
		"no interface": build(func(n *ng) {
			n.block(ngEnhanced, []uint32{0, 0, 0, 0, 0})
		}),
		"longer than its block": build(func(n *ng) {
			n.iface(Raw, 6, 0)
			n.block(ngEnhanced, []uint32{0, 0, 0, 100, 100})
		}),
		"longer than an int": build(func(n *ng) {
			n.iface(Raw, 6, 0)
			n.block(ngEnhanced, []uint32{0, 0, 0, math.MaxUint32, math.MaxUint32})
		}),
		"an interface beyond an int": build(func(n *ng) {
			n.iface(Raw, 6, 0)
			n.block(ngEnhanced, []uint32{math.MaxUint32, 0, 0, 0, 0})
		}),
		"the year 292 billion": build(func(n *ng) {
			n.iface(Raw, 0, 0)
			n.block(ngEnhanced, []uint32{0, math.MaxUint32, math.MaxUint32, 0, 0})
		}),
		"text":  []byte("SYN 0.000 1.024"),
		"empty": nil,
	} {
		if _, err := readAll(t, file); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := NewReader(dir); !errors.Is(err, unix.EISDIR) || errors.Is(err, ErrFormat) {
		t.Errorf("a directory: %v", err)
	}
	binary.LittleEndian.PutUint32(pcap[20:], 195) // IEEE 802.15.4
	if _, err := NewReader(bytes.NewReader(pcap)); err == nil || errors.Is(err, ErrFormat) {
		t.Errorf("unknown link: %v", err)
	}
}

// TestLinks puts a packet under all headers that Parse knows.
func TestLinks(t *testing.T) {
	p := original(t)[0]
	want, ok := Parse(p)
	if !ok || want.Payload != 0 || want.Flags != SYN {
		t.Fatal(want)
	}
	mac := make([]byte, 12)
	for name, tt := range map[string]struct {
		link   Link
		header []byte
	}{
		"raw":      {Raw, nil},
		"ipv4":     {IPv4, nil},
		"null":     {Null, []byte{2, 0, 0, 0}},
		"ethernet": {Ethernet, append(mac, 8, 0)},
		"vlan":     {Ethernet, append(mac, 0x81, 0, 0, 5, 8, 0)},
		"qinq":     {Ethernet, append(mac, 0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0)},
		"pppoe":    {Ethernet, append(mac, 0x88, 0x64, 0x11, 0, 0, 1, 0, 62, 0, 0x21)},
		"sll":      {Cooked, append(make([]byte, 14), 8, 0)},
		"sll2":     {Cooked2, append([]byte{8, 0}, make([]byte, 18)...)},
	} {
		q := p
		q.Link, q.Data = tt.link, append(bytes.Clone(tt.header), p.Data...)
		q.Length = len(q.Data)
		if got, ok := Parse(q); !ok || got != want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
		for n := range q.Data[:len(tt.header)+40] {
			cut := q
			cut.Data = q.Data[:n]
			if _, ok := Parse(cut); ok {
				t.Errorf("%s: a segment in %d bytes", name, n)
			}
		}
	}
}

// TestParseLikeGopacket compares with another decoder.
func TestParseLikeGopacket(t *testing.T) {
	for _, p := range original(t) {
		got, ok := Parse(p)
		if !ok {
			t.Fatal("no segment")
		}
		other := gopacket.NewPacket(p.Data, layers.LayerTypeIPv4, gopacket.NoCopy)
		ip, tcp := other.Layer(layers.LayerTypeIPv4).(*layers.IPv4), other.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if got.Src.Addr().String() != ip.SrcIP.String() || got.Dst.Addr().String() != ip.DstIP.String() ||
			got.Src.Port() != uint16(tcp.SrcPort) || got.Dst.Port() != uint16(tcp.DstPort) || got.Seq != tcp.Seq || got.Ack != tcp.Ack || got.Payload != int(ip.Length)-int(ip.IHL)*4-int(tcp.DataOffset)*4 ||
			got.TTL != ip.TTL || got.Window != tcp.Window ||
			(got.Flags&SYN != 0) != tcp.SYN || (got.Flags&ACK != 0) != tcp.ACK || (got.Flags&FIN != 0) != tcp.FIN || (got.Flags&RST != 0) != tcp.RST {
			t.Errorf("%+v, not %+v", got, tcp)
		}
		for _, o := range tcp.Options {
			if o.OptionType == layers.TCPOptionKindTimestamps && binary.BigEndian.Uint32(o.OptionData) != got.TSVal {
				t.Errorf("timestamp %d", got.TSVal)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	b, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:500])
	n := &ng{ByteOrder: binary.BigEndian}
	n.section()
	n.iface(Ethernet, 6, 0)
	n.block(ngEnhanced, []uint32{0, 0, 0, 60, 60}, make([]byte, 60))
	f.Add(n.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		for {
			p, err := r.Read()
			if err != nil {
				return
			}
			if len(p.Data) > p.Length || len(p.Data) > maxPacket {
				t.Fatalf("%d bytes of %d", len(p.Data), p.Length)
			}
			if s, ok := Parse(p); ok && (s.Payload < 0 || !s.Src.IsValid()) {
				t.Fatalf("%+v", s)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	p := original(b)[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Parse(p); !ok {
			b.Fatal()
		}
	}
}
