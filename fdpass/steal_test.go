package fdpass

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

// serveRole answers every connection it gets, until the queue ends.
func serveRole() error {
	r := NewReceiver(childQueue)
	for {
		fd, _, err := acceptWait(r)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := answer(fd, "worker"); err != nil {
			return err
		}
	}
}

func answer(fd sock.FD, text string) error {
	_, err := fd.Write([]byte(text))
	return errors.Join(err, fd.Close())
}

// tcpClient connects to a listening socket of this process, and returns the
// accepted connection as a record too.
func tcpClient(t *testing.T, listener sock.FD) (*net.TCPConn, Record) {
	t.Helper()
	name, err := listener.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", name.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := readable(listener); err != nil {
		t.Fatal(err)
	}
	fd, from, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn), Record{fd, from}
}

func tcpListener(t *testing.T) sock.FD {
	t.Helper()
	fd, err := sock.Socket(sock.Inet, sock.Stream, sock.TCP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fd.Close() })
	if err := errors.Join(fd.Bind(sock.IPAddr(netip.MustParseAddrPort("127.0.0.1:0"))), fd.Listen(64)); err != nil {
		t.Fatal(err)
	}
	return fd
}

func wantAnswer(t *testing.T, client net.Conn, want string) {
	t.Helper()
	got, err := io.ReadAll(client)
	if string(got) != want || err != nil {
		t.Errorf("the client got %q, %v; want %q", got, err, want)
	}
}

// Connections that a stopped process doesn't take are taken back and served
// here; those that are left it serves when it goes on.
func TestStealFromAStoppedProcess(t *testing.T) {
	testleak.FDs(t)
	listener := tcpListener(t)
	q := newQueue(t)
	worker := start(t, "serve", syscall.SysProcAttr{}, nil, q.ReceiveEnd())

	send := func() net.Conn {
		client, rec := tcpClient(t, listener)
		if n, err := q.Send([]Record{rec}); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		rec.FD.Close() // in flight it lives on
		return client
	}
	for range 3 {
		wantAnswer(t, send(), "worker")
	}
	worker.stop()
	var clients []net.Conn
	for range 9 {
		clients = append(clients, send())
	}
	if n, err := q.Len(); n != len(clients) || err != nil {
		t.Fatalf("%d wait, %v", n, err)
	}
	for _, client := range clients[:6] {
		fd, from, err := q.Steal()
		if err != nil {
			t.Fatal(err)
		}
		if from.String() != client.LocalAddr().String() {
			t.Errorf("stolen: %v, want %v", from, client.LocalAddr())
		}
		if err := answer(fd, "primary"); err != nil {
			t.Error(err)
		}
		wantAnswer(t, client, "primary")
	}
	worker.signal(unix.SIGCONT)
	for _, client := range clients[6:] {
		wantAnswer(t, client, "worker")
	}
	q.Close()
	worker.finish()
}

// Connections outlive the process that should have taken them.
func TestStealFromADeadProcess(t *testing.T) {
	testleak.FDs(t)
	listener := tcpListener(t)
	q := newQueue(t)
	worker := start(t, "serve", syscall.SysProcAttr{}, nil, q.ReceiveEnd())
	worker.stop()
	client, rec := tcpClient(t, listener)
	if _, err := q.Send([]Record{rec}); err != nil {
		t.Fatal(err)
	}
	rec.FD.Close()
	worker.signal(unix.SIGKILL)
	worker.wait()

	successor := start(t, "serve", syscall.SysProcAttr{}, nil, q.ReceiveEnd())
	wantAnswer(t, client, "worker")
	q.Close()
	successor.finish()
}

// sendRole accepts a connection, puts it into a queue and ends.
func sendRole() error {
	if err := readable(childControl); err != nil {
		return err
	}
	fd, from, err := childControl.Accept()
	if err != nil {
		return err
	}
	n, err := newBatch().send(childQueue, []Record{{fd, from}})
	if n != 1 {
		return err
	}
	return nil
}

// A connection lives on after its sender has died, and then the queue ends.
func TestSenderDies(t *testing.T) {
	testleak.FDs(t)
	listener := tcpListener(t)
	send, receive := pair(t, sock.SeqPacket)
	primary := start(t, "send", syscall.SysProcAttr{}, nil, send, listener)
	send.Close()
	name, err := listener.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", name.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	primary.finish()
	r := NewReceiver(receive)
	fd, from, err := r.Accept()
	if err != nil || from.String() != client.LocalAddr().String() {
		t.Fatalf("%v, %v", from, err)
	}
	if _, _, err := r.Accept(); err != io.EOF {
		t.Errorf("the sender has gone, and the error is %v", err)
	}
	if err := answer(fd, "survivor"); err != nil {
		t.Error(err)
	}
	wantAnswer(t, client, "survivor")
}

// While the worker runs, each connection still comes out exactly once.
func TestStealIsRaceFree(t *testing.T) {
	testleak.FDs(t)
	const n = 10_000
	q := newQueue(t)
	null := devNull(t, 1)[0]
	var (
		times  [n]atomic.Int32
		stolen atomic.Int32
		wg     sync.WaitGroup
	)
	take := func(accept func() (sock.FD, sock.Addr, error)) error {
		fd, from, err := accept()
		if err == nil {
			times[from.Port()].Add(1)
			fd.Close()
		}
		return err
	}
	worker, err := q.ReceiveEnd().Dup()
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	r := NewReceiver(worker)
	for range 2 {
		wg.Go(func() {
			for {
				if err := take(func() (sock.FD, sock.Addr, error) { return acceptWait(r) }); err != nil {
					if err != io.EOF {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	wg.Go(func() {
		for {
			switch err := take(q.Steal); {
			case err == nil:
				stolen.Add(1)
			case errors.Is(err, net.ErrClosed):
				return
			case !errors.Is(err, unix.EAGAIN):
				t.Error(err)
				return
			}
		}
	})
	rs := make([]Record, n)
	for i := range rs {
		rs[i] = Record{null, peer(i)}
	}
	for len(rs) > 0 {
		sent, err := q.Send(rs[:min(len(rs), 37)])
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		rs = rs[sent:]
	}
	q.Close() // what still waits is the worker's
	wg.Wait()
	for i := range times {
		if c := times[i].Load(); c != 1 {
			t.Errorf("record %d was delivered %d times", i, c)
		}
	}
	if s := stolen.Load(); s == 0 || s == n {
		t.Logf("all were taken by one side: %d stolen of %d", s, n)
	}
}

// Without privilege the kernel also bounds what one user has in flight.
func TestTooManyInFlight(t *testing.T) {
	testleak.FDs(t)
	attr := syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	start(t, "inflight", attr, nil).finish()
}

func inflightRole() error {
	q, err := NewQueue()
	if err != nil {
		return err
	}
	limit(64)
	rs := records(childQueue-1, 200)
	n, err := q.Send(rs)
	if n > 65 || !errors.Is(err, unix.EAGAIN) || !errors.Is(err, unix.ETOOMANYREFS) {
		return errors.Join(errors.New("the limit was not met"), err)
	}
	limit(1000) // the margin for Steal
	if n == 0 {
		return nil // another process of this user has used the limit up
	}
	fd, _, err := q.Steal()
	if err != nil {
		return err
	}
	fd.Close()
	if n, err := q.Send(rs[:1]); n != 1 {
		return err
	}
	return nil
}
