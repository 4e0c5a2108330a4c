package backlog

// Counters are the counters of a network namespace since it was made, by the
// names of nstat(8): "TcpExtListenDrops", "TcpPassiveOpens".
type Counters map[string]uint64

// Sub is what has been added since an earlier reading. A counter that is
// missing in either is missing in the result.
func (c Counters) Sub(earlier Counters) Counters {
	diff := make(Counters, len(c))
	for name, n := range c {
		if before, ok := earlier[name]; ok {
			diff[name] = n - before
		}
	}
	return diff
}
