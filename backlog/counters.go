package backlog

import (
	"io"
	"os"
	"strconv"
	"strings"
)

// Counters are the counters of a network namespace since it was made, by the
// names of nstat(8): "TcpExtListenDrops", "TcpPassiveOpens".
type Counters map[string]uint64

// Sub is what has been added since an earlier reading. A counter that is
// missing in either, or has become less (TcpCurrEstab counts what there is), is
// missing in the result.
func (c Counters) Sub(earlier Counters) Counters {
	diff := make(Counters, len(c))
	for name, n := range c {
		if before, ok := earlier[name]; ok && n >= before {
			diff[name] = n - before
		}
	}
	return diff
}

// Counters reads what /proc/net/netstat and /proc/net/snmp count in the namespace.
func (n *Namespace) Counters() (Counters, error) {
	c := make(Counters, 512)
	for _, f := range []*os.File{n.netstat, n.snmp} {
		text, err := readAll(f)
		if err != nil {
			return nil, err
		}
		c.parse(text)
	}
	return c, nil
}

// readAll reads an open file of /proc anew, in one piece: for a second one the
// kernel would write it again if others have read it meanwhile (seq_read_iter),
// and numbers that have become longer would shift what follows.
func readAll(f *os.File) (string, error) {
	for size := 16 << 10; ; size *= 2 {
		b := make([]byte, size)
		n, err := f.ReadAt(b, 0)
		if err == io.EOF {
			return string(b[:n]), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// parse reads pairs of lines, names and values, that begin with the same word.
// What is malformed, or negative as TcpMaxConn may be, is left out.
func (c Counters) parse(text string) {
	var group string
	var names []string
	for line := range strings.Lines(text) {
		prefix, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if !ok || names == nil || prefix != group {
			group, names = prefix, fields
			continue
		}
		for i, value := range fields[:min(len(names), len(fields))] {
			if n, err := strconv.ParseUint(value, 10, 64); err == nil {
				c[prefix+names[i]] = n
			}
		}
		names = nil
	}
}
