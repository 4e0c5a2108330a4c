package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"onconn/cluster"
)

// maxRequest is the longest request, with its newline.
const maxRequest = 4096

// MaxWorkers is the most that a request may scale to: more is a slip of the
// finger.
const MaxWorkers = 4096

type op string

const (
	opStatus  op = "status"
	opReload  op = "reload"
	opScale   op = "scale"
	opUpgrade op = "upgrade"
)

type request struct {
	Op      op  `json:"op"`
	Workers int `json:"workers,omitempty"` // scale
}

// answer is a line of the answer.
type answer struct {
	Progress string          `json:"progress,omitempty"`
	Done     bool            `json:"done,omitempty"`
	Status   *cluster.Status `json:"status,omitempty"`
	Error    string          `json:"error,omitempty"`
	Busy     bool            `json:"busy,omitempty"` // the error is cluster.ErrBusy
}

func failure(err error) answer {
	return answer{Error: err.Error(), Busy: errors.Is(err, cluster.ErrBusy)}
}

// err is the error that the server had.
func (a answer) err() error {
	if a.Error == "" {
		return nil
	}
	return &remoteError{a.Error, a.Busy}
}

// A remoteError is one that the primary told.
type remoteError struct {
	text string
	busy bool
}

func (e *remoteError) Error() string        { return e.text }
func (e *remoteError) Is(target error) bool { return e.busy && target == cluster.ErrBusy }

// parse reads a request.
func parse(line []byte) (r request, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields() // one that is not understood may change the meaning
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("the request is no JSON object like {\"op\":\"status\"}: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return r, errors.New("the request has something after its JSON object: a connection carries one request")
	}
	return r, r.check()
}

func (r request) check() error {
	switch r.Op {
	case opScale:
		if r.Workers < 1 || r.Workers > MaxWorkers {
			return fmt.Errorf("%d workers: it is 1 to %d", r.Workers, MaxWorkers)
		}
	case opStatus, opReload, opUpgrade:
		if r.Workers != 0 {
			return fmt.Errorf("%s takes no number of workers", r.Op)
		}
	default:
		return fmt.Errorf("unknown op %q: it is status, reload, scale or upgrade", r.Op)
	}
	return nil
}
