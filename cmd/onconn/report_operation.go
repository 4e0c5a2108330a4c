package main

import (
	"fmt"
	"time"

	"onconn/internal/words"
)

// operationLine is the beginning or the end of a reload, a scaling or an upgrade
// as a line of JSON.
type operationLine struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"` // "reload", "scale" or "upgrade"
	State   string    `json:"state"` // "begin" or "end"
	Workers int       `json:"workers,omitempty"`
	Error   string    `json:"error,omitempty"`
}

func (r *report) begins(what, text string) {
	switch {
	case r.flags.quiet:
	case r.flags.json:
		r.print(operationLine{Time: time.Now(), Event: what, State: "begin"})
	default:
		fmt.Fprintf(r.out, "onconn: %s\n", text)
	}
}

func (r *report) ends(what string, workers int) {
	switch {
	case r.flags.quiet:
	case r.flags.json:
		r.print(operationLine{Time: time.Now(), Event: what, State: "end", Workers: workers})
	default:
		fmt.Fprintf(r.out, "onconn: %s complete, %s\n", what, words.Count(workers, "worker"))
	}
}

// fails returns the error that it tells.
func (r *report) fails(what string, err error) error {
	if r.flags.json && !r.flags.quiet {
		r.print(operationLine{Time: time.Now(), Event: what, State: "end", Error: err.Error()})
	} else {
		fmt.Fprintf(r.err, "onconn: %s failed: %v\n", what, err)
	}
	return err
}
