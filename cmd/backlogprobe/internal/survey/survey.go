package survey

import (
	"context"
	"errors"
	"time"

	"onconn/backlog"
)

// Options say what to look at.
type Options struct {
	Filter   Filter
	Netns    []string      // names of ip netns, paths, or PIDs; empty: our own
	AllNetns bool          // every namespace that can be opened
	Unix     bool          // unix sockets too
	Interval time.Duration // between samples; 0: 10 ms
	Sum      bool          // fold SO_REUSEPORT groups into one Row
	Owners   bool          // look for them
	Hurt     bool          // capture SYNs where we have CAP_NET_RAW; estimate elsewhere
	Accepts  bool          // count accepts per process where we have CAP_PERFMON
}

// A Filter selects listeners. The zero Filter selects all.
type Filter struct {
	text string
}

// ParseFilter reads a filter: ":443", "443", "127.0.0.1:80", "[::1]:80", "/run/x.sock",
// "pid=12", "comm=node", "unit=nginx.service", or of ss: "sport = :443", "src 127.0.0.1".
// Several words must all hold.
func ParseFilter(words []string) (Filter, error) { return Filter{}, errors.ErrUnsupported }

// Match reports whether a listener, with its owners, is selected.
func (f Filter) Match(l backlog.Listener, owners []backlog.Owner) bool { return false }

// A Survey watches listeners until Close.
type Survey struct{}

// Open starts to watch.
func Open(o Options) (*Survey, error) { return nil, errors.ErrUnsupported }

// Look watches for another d, or until ctx is done, and reports. Deltas and
// rates are of this look, or for 0 since the last one; peaks, stalls and times
// full since Open or Reset.
func (s *Survey) Look(ctx context.Context, d time.Duration) (*Report, error) {
	return nil, errors.ErrUnsupported
}

// Reset forgets peaks.
func (s *Survey) Reset() {}

// Close stops watching.
func (s *Survey) Close() error { return nil }
