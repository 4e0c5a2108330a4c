package handshake

import (
	"errors"
	"fmt"
	"io"
	"os"

	"onconn/internal/capture"
)

// ReadFile analyses a capture file, or "-" for standard input. A file that ends
// within a packet, or is damaged further on, gives a result of what came before,
// and incomplete says so. progress, if not nil, is called now and then with the
// share that was read.
func ReadFile(path string, c Config, progress func(fraction float64)) (r Result, incomplete string, err error) {
	in := os.Stdin
	if path != "-" {
		if in, err = os.Open(path); err != nil {
			return r, "", err
		}
		defer in.Close()
	}
	counted := &counter{Reader: in}
	if info, err := in.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		counted.size, counted.report = info.Size(), progress
	}
	return read(counted, path, c)
}

func read(in io.Reader, name string, c Config) (r Result, incomplete string, err error) {
	packets, err := capture.NewReader(in)
	if err != nil {
		return r, "", fmt.Errorf("%s: %w", name, err)
	}
	a := New(c)
	for {
		p, err := packets.Read()
		switch {
		case err == io.EOF:
			return a.Finish(), "", nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return a.Finish(), fmt.Sprintf("the file is cut off after packet %d: what was later is unknown", a.totals.Packets), nil
		case errors.Is(err, capture.ErrFormat):
			return a.Finish(), fmt.Sprintf("the file is damaged after packet %d (%v): the rest is unknown", a.totals.Packets, err), nil
		case err != nil:
			return r, "", fmt.Errorf("%s: %w", name, err)
		}
		a.Packet(p)
	}
}

// A counter reports how much of a file was read, each percent.
type counter struct {
	io.Reader
	size, read, shown int64
	report            func(float64)
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.read += int64(n)
	if c.report != nil && (c.read-c.shown)*100 >= c.size {
		c.shown = c.read
		c.report(float64(c.read) / float64(c.size))
	}
	return n, err
}
