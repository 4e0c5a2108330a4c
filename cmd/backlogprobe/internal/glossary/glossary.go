package glossary

import (
	"cmp"
	"slices"
	"strings"
)

// A Kind says what an entry is about.
type Kind string

// Kinds of entries.
const (
	Counter Kind = "counter"
	Setting Kind = "sysctl"
	Option  Kind = "socket option"
	Column  Kind = "ss column"
	Reason  Kind = "drop reason"
	Word    Kind = "term"
)

// An Entry explains one name.
type Entry struct {
	Name    string   `json:"name"`
	Kind    Kind     `json:"kind"`
	Means   string   `json:"means"`
	Not     string   `json:"does_not_mean,omitempty"`
	Do      string   `json:"do,omitempty"`
	Source  string   `json:"source"`
	Since   string   `json:"since,omitempty"` // Linux that brought it, where that is later than 5.4
	Aliases []string `json:"aliases,omitempty"`

	// Key is a counter as nstat(8) calls it, or the file of a setting in
	// /proc/sys/net; empty for what has no value.
	Key string `json:"-"`
}

// Entries returns all entries: counters first, then settings, options and words.
func Entries() []Entry { return slices.Concat(counters, settings, options, words) }

// Find returns the entry of a name, in any case, though TCP_FASTOPEN is an option
// and tcp_fastopen a sysctl. The prefixes of nstat ("TcpExt", "Tcp") and of
// sysctl(8) ("net.ipv4.") may be there or not.
func Find(name string) (Entry, bool) {
	want := normal(name)
	for _, e := range Entries() {
		if e.Name == name {
			return e, true
		}
	}
	for _, e := range Entries() {
		for _, n := range append([]string{e.Name, e.Key}, e.Aliases...) {
			if n != "" && normal(n) == want {
				return e, true
			}
		}
	}
	return Entry{}, false
}

func normal(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	for _, prefix := range []string{"/proc/sys/", "net.", "net/", "ipv4.", "ipv4/", "core.", "core/", "tcpext", "skb_drop_reason_"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return strings.NewReplacer("_", "", "-", "", " ", "", ".", "", "/", "", ":", "").Replace(name)
}

// Suggest returns up to five names that resemble one.
func Suggest(name string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var all []candidate
	want := normal(name)
	for _, e := range Entries() {
		best := 1 << 10
		for _, n := range append([]string{e.Name}, e.Aliases...) {
			d := distance(want, normal(n))
			if len(want) > 2 && strings.Contains(normal(n), want) {
				d = min(d, 2)
			}
			best = min(best, d)
		}
		if best <= max(2, len(want)/3) {
			all = append(all, candidate{e.Name, best})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, c := range all[:min(len(all), 5)] {
		names = append(names, c.name)
	}
	return names
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
