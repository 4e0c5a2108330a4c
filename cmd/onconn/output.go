package main

import (
	"bytes"
	"io"
	"time"
)

// An output is written to by a goroutine of its own, so that nothing else waits
// for a pipe that nobody reads.
type output struct {
	lines chan []byte // nil is the end
	done  chan struct{}
}

// maxLines is how many lines may wait for the reader.
const maxLines = 1024

func newOutput(w io.Writer) *output {
	o := &output{make(chan []byte, maxLines), make(chan struct{})}
	go func() {
		defer close(o.done)
		for line := <-o.lines; line != nil; line = <-o.lines {
			w.Write(line)
		}
	}()
	return o
}

// Write leaves a line to the goroutine. While maxLines wait, it drops the line:
// the alternative would be to wait too.
func (o *output) Write(line []byte) (int, error) {
	select {
	case o.lines <- bytes.Clone(line):
	default:
	}
	return len(line), nil
}

// end writes what waits, if that takes no longer than lastLines. What comes
// later is not written.
func (o *output) end() {
	late := time.After(lastLines)
	select {
	case o.lines <- nil:
	case <-late:
		return
	}
	select {
	case <-o.done:
	case <-late:
	}
}

const lastLines = time.Second
