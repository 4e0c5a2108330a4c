package export

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf8"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/story"
)

// Numbers of https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/.
const (
	sectionBlock   = 0x0a0d0d0a
	interfaceBlock = 1
	packetBlock    = 6

	optionComment    = 1
	optionHardware   = 2 // of a section: what it was
	optionApp        = 4
	optionName       = 2 // of an interface
	optionResolution = 9

	linkEthernet = 1
	linkRaw      = 101
)

// PcapNG writes the packets that have their frame, each with a comment: what the
// story says of it. The story has to be verbose, or some have none. It returns how
// many packets there were to write.
func PcapNG(w io.Writer, r *recording.Recording) (packets int, err error) {
	comments := map[int]string{}
	for _, s := range story.Tell(r, story.Options{Verbose: true}).Steps {
		if s.Packet > 0 {
			comments[s.Packet-1] = strings.TrimSpace(strings.Join([]string{s.Label, s.Result + ".", s.Why, s.Man}, " "))
		}
	}
	var b bytes.Buffer
	block(&b, sectionBlock, func(b *bytes.Buffer) {
		put(b, uint32(0x1a2b3c4d), uint16(1), uint16(0), uint64(1<<64-1)) // byte order, version, unknown length
		option(b, optionComment, strings.Join(r.Command, " "))
		option(b, optionHardware, r.Machine)
		option(b, optionApp, "syscallflow")
		put(b, uint32(0))
	})
	for _, link := range []uint16{linkEthernet, linkRaw} {
		block(&b, interfaceBlock, func(b *bytes.Buffer) {
			put(b, link, uint16(0), uint32(0))
			option(b, optionName, map[uint16]string{linkEthernet: "frames", linkRaw: "IP"}[link])
			option(b, optionResolution, "\x09") // nanoseconds
			put(b, uint32(0))
		})
	}
	for i, p := range r.Packets {
		iface, header, ok := kind(p.Raw)
		if !ok {
			continue
		}
		packets++
		block(&b, packetBlock, func(b *bytes.Buffer) {
			at := uint64(r.Began.UnixNano() + int64(p.Time))
			put(b, iface, uint32(at>>32), uint32(at), uint32(len(p.Raw)), uint32(max(len(p.Raw), header+p.Size)))
			b.Write(p.Raw)
			pad(b, len(p.Raw))
			option(b, optionComment, comments[i])
			put(b, uint32(0))
		})
		if b.Len() > 1<<16 {
			if _, err := b.WriteTo(w); err != nil {
				return packets, err
			}
		}
	}
	_, err = b.WriteTo(w)
	return packets, err
}

// kind finds out which of the two interfaces a frame is of, and how long its
// headers are.
func kind(frame []byte) (iface uint32, header int, ok bool) {
	ip := 0
	switch {
	case len(frame) >= 14+20 && (binary.BigEndian.Uint16(frame[12:]) == 0x0800 || binary.BigEndian.Uint16(frame[12:]) == 0x86dd):
		ip = 14
	case len(frame) >= 20 && (frame[0]>>4 == 4 || frame[0]>>4 == 6):
		iface = 1
	default:
		return 0, 0, false
	}
	header = ip + int(frame[ip]&15)*4
	if frame[ip]>>4 == 6 {
		header = ip + 40
	}
	if len(frame) >= header+13 {
		header += int(frame[header+12]>>4) * 4
	}
	return iface, header, true
}

func put(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		binary.Write(b, binary.LittleEndian, v) // a Buffer takes everything
	}
}

func pad(b *bytes.Buffer, n int) { b.Write(make([]byte, -n&3)) }

// option is one of a block. A text that is no UTF-8 or too long is mended.
func option(b *bytes.Buffer, code uint16, text string) {
	text = strings.ToValidUTF8(text, "?")
	for len(text) > 4000 || !utf8.ValidString(text) {
		text = text[:min(len(text)-1, 4000)]
	}
	if text == "" {
		return
	}
	put(b, code, uint16(len(text)))
	b.WriteString(text)
	pad(b, len(text))
}

func block(b *bytes.Buffer, kind uint32, body func(*bytes.Buffer)) {
	var inner bytes.Buffer
	body(&inner)
	size := uint32(inner.Len() + 12)
	put(b, kind, size)
	inner.WriteTo(b)
	put(b, size)
}
