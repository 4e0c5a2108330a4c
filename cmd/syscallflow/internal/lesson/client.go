package lesson

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"onconn/cmd/syscallflow/internal/recording"
)

// A client is one connection to a server on the loopback, made from here. It is not
// traced.
type client struct {
	net.Conn
	stage *stage
	index int // of its request in stage.asked
	took  time.Duration
}

// dial connects, within a second.
func (s *stage) dial(ctx context.Context, port int) (*client, error) {
	d := net.Dialer{Timeout: time.Second, KeepAlive: -1}
	began := time.Now()
	conn, err := d.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	c := &client{Conn: conn, stage: s, index: len(s.asked), took: time.Since(began)}
	q := recording.Request{
		To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)), Begin: s.time(began), End: s.time(time.Now()), Text: "and waits",
	}
	if err != nil {
		q.Err = outcome(err)
		s.asked = append(s.asked, q)
		return nil, err
	}
	q.From = conn.LocalAddr().(*net.TCPAddr).AddrPort()
	s.asked = append(s.asked, q)
	return c, nil
}

// ask sends a line and reads the answer, a line too.
func (c *client) ask(text string) (string, error) {
	if err := c.send(text); err != nil {
		return "", err
	}
	return c.answer()
}

func (c *client) send(text string) error {
	c.stage.asked[c.index].Text = text
	_, err := c.Write([]byte(text + "\n"))
	return err
}

func (c *client) answer() (string, error) {
	c.SetReadDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(c).ReadString('\n')
	q := &c.stage.asked[c.index]
	q.End, q.Reply = c.stage.time(time.Now()), strings.TrimSpace(line)
	return q.Reply, err
}

// once makes a request on a connection of its own.
func (s *stage) once(ctx context.Context, port int) (string, error) {
	c, err := s.dial(ctx, port)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.ask("hello")
}

// time is in ns since 1970 until the recording is there, whose clock it gets then.
func (s *stage) time(t time.Time) recording.Time { return recording.Time(t.UnixNano()) }
