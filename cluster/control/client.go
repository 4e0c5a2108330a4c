package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
	"onconn/sock"
)

const (
	answerTimeout  = 5 * time.Second  // for the first line
	upgradeTimeout = 30 * time.Second // for the new program to answer
	maxAnswer      = 16 << 20         // MaxWorkers take a tenth of it
)

// A Client asks the primary behind a control socket. Each of its requests makes a
// connection of its own.
type Client struct {
	// Progress, if not nil, is told how far a reload, scale or upgrade is.
	Progress func(text string)

	path string
	pid  int
}

// Dial finds out whether a primary answers at path, of this user or root's.
func Dial(path string) (*Client, error) {
	c := &Client{path: path}
	conn, pid, err := c.dial(context.Background())
	if err != nil {
		return nil, err
	}
	c.pid = pid
	return c, conn.Close()
}

// PID is the primary's, by the kernel's word.
func (c *Client) PID() int { return c.pid }

// Path is that of the control socket.
func (c *Client) Path() string { return c.path }

func (c *Client) dial(ctx context.Context) (conn net.Conn, pid int, err error) {
	if len(c.path) > sock.MaxUnixName {
		return nil, 0, fmt.Errorf("control socket %s: a path has at most %d bytes, this one %d", c.path, sock.MaxUnixName, len(c.path))
	}
	conn, err = (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, 0, fmt.Errorf("control socket %s: %w", c.path, cause(err))
	}
	cred, err := peer(conn)
	if err == nil && int(cred.Uid) != os.Geteuid() && cred.Uid != 0 && os.Geteuid() != 0 {
		err = fmt.Errorf("it is user %d's (process %d)", cred.Uid, cred.Pid)
	}
	if err != nil {
		conn.Close()
		return nil, 0, fmt.Errorf("control socket %s: %w", c.path, err)
	}
	return conn, int(cred.Pid), nil
}

// cause says what an error of connecting means.
func cause(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("there is none: %w", unix.ENOENT)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("the onconn that made it is gone: %w", unix.ECONNREFUSED)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("only the user that runs it, and root, may: %w", unix.EACCES)
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("its queue is full, so nobody answers: %w", unix.EAGAIN)
	}
	return err
}

// Status is what the primary and its workers do.
func (c *Client) Status(ctx context.Context) (cluster.Status, error) {
	a, err := c.ask(ctx, request{Op: opStatus})
	switch {
	case err != nil:
		return cluster.Status{}, err
	case a.Status == nil:
		return cluster.Status{}, c.strange()
	}
	return *a.Status, nil
}

// Reload replaces the workers; see [cluster.Primary.Reload]. If ctx ends, it goes
// on and only the waiting ends.
func (c *Client) Reload(ctx context.Context) error {
	_, err := c.ask(ctx, request{Op: opReload})
	return err
}

// Scale changes how many workers there are, 1 to [MaxWorkers]. If ctx ends, only
// the waiting ends.
func (c *Client) Scale(ctx context.Context, workers int) error {
	r := request{Op: opScale, Workers: workers}
	if err := r.check(); err != nil {
		return err
	}
	_, err := c.ask(ctx, r)
	return err
}

// Upgrade makes the primary execute its program anew, and returns when the new
// one answers. If ctx ends, only the waiting ends.
func (c *Client) Upgrade(ctx context.Context) error {
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, request{Op: opUpgrade})
	if !errors.Is(err, errNoAnswer) {
		return err // the old one told why, or the waiting has ended
	}
	ctx, cancel := context.WithTimeout(ctx, upgradeTimeout)
	defer cancel()
	for {
		now, err := c.Status(ctx)
		switch {
		case err == nil && now.Upgrades > before.Upgrades:
			return nil
		case err == nil:
			return fmt.Errorf("process %d still runs the old program: its log says why", before.PID)
		case unix.Kill(c.pid, 0) == unix.ESRCH:
			return fmt.Errorf("process %d ended during the upgrade: its log says why", before.PID)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the upgraded process %d doesn't answer: %w", before.PID, err)
		case <-time.After(pause / 2):
		}
	}
}

var errNoAnswer = errors.New("the connection ended without an answer")

// ask sends a request and reads the answer to its last line.
func (c *Client) ask(ctx context.Context, r request) (answer, error) {
	conn, _, err := c.dial(ctx)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(answerTimeout))
	err = json.NewEncoder(conn).Encode(r) // if it is refused, the answer says why
	lines := json.NewDecoder(io.LimitReader(conn, maxAnswer))
	for {
		var a answer
		if readErr := lines.Decode(&a); readErr != nil {
			return a, c.unanswered(ctx, errors.Join(readErr, err))
		}
		if a.Done || a.Error != "" {
			return a, a.err()
		}
		conn.SetDeadline(time.Time{})
		if c.Progress != nil {
			c.Progress(a.Progress)
		}
	}
}

// unanswered says why there is no last line.
func (c *Client) unanswered(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("process %d doesn't answer: is it stopped? (kill -CONT %d)", c.pid, c.pid)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errNoAnswer
	}
	return c.strange()
}

func (c *Client) strange() error {
	return fmt.Errorf("process %d answers at %s, but is no onconn", c.pid, c.path)
}
