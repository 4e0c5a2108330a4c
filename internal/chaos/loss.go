package chaos

import (
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A Loss is a request without its answer, or a connection that was cut while it
// was idle.
type Loss struct {
	Kind       string         `json:"kind"` // reset, eof, refused, hang, wrong, error
	Client     int            `json:"client"`
	Number     uint32         `json:"number"`  // of the connection
	Request    int            `json:"request"` // on it, from 0
	Idle       bool           `json:"idle,omitempty"`
	Local      netip.AddrPort `json:"local"`
	LastWorker int            `json:"last_worker,omitempty"` // that answered the request before
	Began      time.Time      `json:"began"`                 // the connection
	Asked      time.Time      `json:"asked"`                 // the request
	Ended      time.Time      `json:"ended"`
	Detail     string         `json:"detail"`

	Cause Cause    `json:"cause"` // by the judge
	Notes []string `json:"notes"` // what workers noted of the connection
	Near  []string `json:"near,omitempty"`
}

// An Answer is one that came, late.
type Answer struct {
	Client  int            `json:"client"`
	Number  uint32         `json:"number"`
	Request int            `json:"request"`
	Local   netip.AddrPort `json:"local"`
	Asked   time.Time      `json:"asked"`
	Ended   time.Time      `json:"ended"`
	Notes   []string       `json:"notes"`
	Near    []string       `json:"near"` // what the script did meanwhile
}

// A Cause is what a loss is attributed to.
type Cause string

const (
	// InHand: a worker that the script ended had noted the connection, and had
	// not closed it.
	InHand Cause = "in hand"
	// AtAKill: nobody noted it, and the script ended a worker in that moment. A
	// worker can't note a connection in the same instant in which it takes it,
	// so there can be one for each that was ended.
	AtAKill Cause = "at a kill"
	// AtASqueeze: nobody noted it, and the script lowered the limit of
	// descriptors in that moment: between a worker's look at the limit and the
	// system call that takes a connection there is an instant, after which the
	// kernel has nowhere to put it. There can be one for each squeeze.
	AtASqueeze Cause = "at a squeeze"
	// Unexplained is everything else.
	Unexplained Cause = "unexplained"
)

var (
	errEOF   = errors.New("end of stream")
	errWrong = errors.New("wrong bytes")
)

// classify names what a client saw.
func classify(err error) string {
	switch {
	case errors.Is(err, errEOF):
		return "eof"
	case errors.Is(err, errWrong):
		return "wrong"
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNABORTED):
		return "reset"
	case errors.Is(err, unix.ECONNREFUSED):
		return "refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return "hang"
	}
	return "error"
}
