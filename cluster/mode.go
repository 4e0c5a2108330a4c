package cluster

import "fmt"

// A Mode is the way in which connections reach the workers.
type Mode int

const (
	// RoundRobin: the primary accepts and a [Policy] chooses the worker.
	RoundRobin Mode = iota + 1
	// Shared: one listening socket from which all workers accept.
	Shared
	// ReusePort: a listening socket for each worker, among which the kernel
	// chooses by a hash of the addresses, or as Config.Steering says.
	ReusePort
)

var modeNames = map[Mode]string{RoundRobin: "rr", Shared: "shared", ReusePort: "reuseport"}

func (m Mode) String() string {
	if s, ok := modeNames[m]; ok {
		return s
	}
	return fmt.Sprintf("mode %d", int(m))
}

// ParseMode reads "rr", "shared" or "reuseport".
func ParseMode(s string) (Mode, error) {
	for m, name := range modeNames {
		if s == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("unknown mode %q: it is rr, shared or reuseport", s)
}

// MarshalText writes the name that ParseMode reads.
func (m Mode) MarshalText() ([]byte, error) {
	if s, ok := modeNames[m]; ok {
		return []byte(s), nil
	}
	return nil, fmt.Errorf("unknown %v", m)
}

// UnmarshalText reads what ParseMode reads.
func (m *Mode) UnmarshalText(p []byte) (err error) {
	*m, err = ParseMode(string(p))
	return err
}
