package export

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/recording/recordingtest"
)

func TestPcapNG(t *testing.T) {
	r := recordingtest.Load(t, "made/node-rr")
	var b bytes.Buffer
	n, err := PcapNG(&b, r)
	if err != nil || n != len(r.Packets) {
		t.Fatalf("%d packets of %d, %v", n, len(r.Packets), err)
	}
	for _, want := range []string{"acceptq 0→1", "The handshake finished without the program", "listen(2)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no comment %q", want)
		}
	}
	ng, err := pcapgo.NewNgReader(&b, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range r.Packets {
		data, info, err := ng.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, p.Raw) || !info.Timestamp.Equal(r.Began.Add(time.Duration(p.Time))) || info.Length != len(p.Raw) {
			t.Errorf("packet %d: %d bytes of %v", i, len(data), info)
		}
		tcp, ok := gopacket.NewPacket(data, layers.LinkTypeEthernet, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !ok || tcp.Seq != p.Seq || len(tcp.Payload) != p.Size {
			t.Errorf("packet %d is no segment of %d bytes", i, p.Size)
		}
	}
	if _, _, err := ng.ReadPacketData(); err == nil {
		t.Error("there are more packets than were recorded")
	}
}

// TestTshark lets Wireshark read the comments, where it is installed.
func TestTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark")
	}
	name := filepath.Join(t.TempDir(), "p.pcapng")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := PcapNG(f, recordingtest.Load(t, "made/node-rr")); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tshark, "-r", name, "-T", "fields", "-e", "frame.comment").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "The handshake finished without the program") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestOdd writes what was cut off, what has no Ethernet, and what is no packet.
func TestOdd(t *testing.T) {
	r := recordingtest.Load(t, "made/node-rr")
	whole := r.Packets[3]
	cut, raw, none := whole, whole, whole
	cut.Raw = whole.Raw[:len(whole.Raw)-10]
	raw.Raw = whole.Raw[14:]
	none.Raw = []byte("no packet")
	r.Packets = []recording.Packet{cut, raw, none}
	var b bytes.Buffer
	if n, err := PcapNG(&b, r); err != nil || n != 2 {
		t.Fatalf("%d packets, %v", n, err)
	}
	ng, err := pcapgo.NewNgReader(&b, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, info, err := ng.ReadPacketData(); err != nil || info.Length != len(whole.Raw) || info.CaptureLength != len(whole.Raw)-10 {
		t.Errorf("cut off: %+v, %v", info, err)
	}
	if data, info, err := ng.ReadPacketData(); err != nil || info.InterfaceIndex != 1 || len(data) != len(raw.Raw) {
		t.Errorf("without Ethernet: %+v, %v", info, err)
	}
}
