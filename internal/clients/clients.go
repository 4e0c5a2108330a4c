// Package clients are HTTP/1.1 clients for tests, which ask again and again and
// count what becomes of each request. They do nothing to hide a loss: no request
// is sent twice, and none looks whether its connection has ended meanwhile.
package clients

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// Config says what the clients do.
type Config struct {
	Network, Address string // Network is "tcp" if it is empty

	Clients   int           // at a time
	KeepAlive bool          // else each request has a connection of its own
	Think     time.Duration // between an answer and the next request
	Most      int           // requests altogether; 0: until Stop

	// Timeout is what makes a request hang. 0: 20 s.
	Timeout time.Duration

	// Path is that of the request. 0: "/".
	Path string

	// Want is the body that an answer must have, if it is not empty.
	Want string
}

// A Run is clients at work.
type Run struct {
	cfg  Config
	stop chan struct{}
	once sync.Once
	done sync.WaitGroup

	mu     sync.Mutex
	left   int
	counts Counts
}

// Start has the clients begin.
func Start(cfg Config) *Run {
	if cfg.Network == "" {
		cfg.Network = "tcp"
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.Path == "" {
		cfg.Path = "/"
	}
	r := &Run{cfg: cfg, stop: make(chan struct{}), left: cfg.Most}
	for range cfg.Clients {
		r.done.Go(r.client)
	}
	return r
}

// Counts is what has become of the requests so far.
func (r *Run) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// Stop lets the clients finish the requests that they have begun.
func (r *Run) Stop() Counts {
	r.once.Do(func() { close(r.stop) })
	return r.Wait()
}

// Wait waits until Config.Most requests were made, or Stop was called.
func (r *Run) Wait() Counts {
	r.done.Wait()
	return r.Counts()
}

func (r *Run) client() {
	c := client{cfg: &r.cfg}
	defer c.close()
	for r.another() {
		begin := time.Now()
		err := c.ask()
		r.mu.Lock()
		r.counts.add(err, time.Since(begin))
		r.mu.Unlock()
		if err != nil || !r.cfg.KeepAlive {
			c.close()
		}
		select {
		case <-r.stop:
		case <-time.After(r.cfg.Think):
		}
	}
}

func (r *Run) another() bool {
	select {
	case <-r.stop:
		return false
	default:
	}
	if r.cfg.Most == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left--
	return r.left >= 0
}

// A client has a connection, or none.
type client struct {
	cfg  *Config
	conn net.Conn
	from *bufio.Reader
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// ask makes one request.
func (c *client) ask() error {
	deadline := time.Now().Add(c.cfg.Timeout)
	if c.conn == nil {
		conn, err := (&net.Dialer{Deadline: deadline}).Dial(c.cfg.Network, c.cfg.Address)
		if err != nil {
			return err
		}
		c.conn, c.from = conn, bufio.NewReader(conn)
	}
	c.conn.SetDeadline(deadline)
	how := "close"
	if c.cfg.KeepAlive {
		how = "keep-alive"
	}
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: test\r\nConnection: %s\r\n\r\n", c.cfg.Path, how); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.from, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || c.cfg.Want != "" && !bytes.Equal(body, []byte(c.cfg.Want)) {
		return fmt.Errorf("%w: %s, %q", errWrong, resp.Status, body)
	}
	if resp.Close {
		c.close()
	}
	return nil
}

var errWrong = errors.New("wrong answer")

// Counts are requests by what became of them.
type Counts struct {
	OK      int
	Reset   int           // ECONNRESET or EPIPE
	EOF     int           // the end before the answer, or in it
	Refused int           // ECONNREFUSED
	Hang    int           // no answer within the timeout
	Wrong   int           // another answer, or another error
	Slowest time.Duration // of those that were answered
	First   error         // that was counted as Wrong
}

// Lost is how many were not answered as they should.
func (c Counts) Lost() int { return c.Reset + c.EOF + c.Refused + c.Hang + c.Wrong }

// All is how many were made.
func (c Counts) All() int { return c.OK + c.Lost() }

func (c Counts) String() string {
	s := fmt.Sprintf("%d requests: %d ok, %d reset, %d eof, %d refused, %d hang", c.All(), c.OK, c.Reset, c.EOF, c.Refused, c.Hang)
	if c.Wrong > 0 {
		s += fmt.Sprintf(", %d wrong (%v)", c.Wrong, c.First)
	}
	return s + fmt.Sprintf("; the slowest took %v", c.Slowest.Round(time.Millisecond))
}

func (c *Counts) add(err error, took time.Duration) {
	switch {
	case err == nil:
		c.OK++
		c.Slowest = max(c.Slowest, took)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		c.Reset++
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.EOF++
	case errors.Is(err, syscall.ECONNREFUSED):
		c.Refused++
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.Hang++
	default:
		if c.Wrong++; c.First == nil {
			c.First = err
		}
	}
}
