package connwrap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/internal/testleak"
)

const copySize = 3<<20 + 7

var payload = func() []byte {
	p := make([]byte, copySize)
	rand.NewChaCha8([32]byte{}).Read(p)
	return p
}()

// A duplex is one connection with its two ends.
type duplex struct{ near, far net.Conn }

func (d duplex) Close() { d.near.Close(); d.far.Close() }

var kinds = map[string]func(t testing.TB) duplex{
	"ours tcp":  func(t testing.TB) duplex { a, b := netPair(t, "tcp4", connwrap.Config{}); return duplex{a, b} },
	"ours unix": func(t testing.TB) duplex { a, b := netPair(t, "unix", connwrap.Config{}); return duplex{a, b} },
	"net tcp":   func(t testing.TB) duplex { a, b := netPair(t, "tcp4", connwrap.Config{}); return duplex{b, a} },
	"net unix":  func(t testing.TB) duplex { a, b := netPair(t, "unix", connwrap.Config{}); return duplex{b, a} },
}

// relay sends the payload through far end, near end, near end, far end, and
// moves it between the near ones with move.
func relay(t testing.TB, from, to duplex, move func(dst, src net.Conn) (int64, error)) {
	t.Helper()
	defer from.Close()
	defer to.Close()
	go func() {
		from.far.Write(payload)
		from.far.(interface{ CloseWrite() error }).CloseWrite()
	}()
	type result struct {
		p   []byte
		err error
	}
	got := make(chan result, 1)
	go func() {
		p, err := io.ReadAll(to.far)
		got <- result{p, err}
	}()
	n, err := move(to.near, from.near)
	if err != nil || n != copySize {
		t.Errorf("moved %d of %d bytes, %v", n, copySize, err)
	}
	check(t, to.near.(interface{ CloseWrite() error }).CloseWrite())
	if r := <-got; r.err != nil || !bytes.Equal(r.p, payload) {
		t.Errorf("arrived: %d of %d bytes, or other ones, %v", len(r.p), copySize, r.err)
	}
}

func ioCopy(dst, src net.Conn) (int64, error) { return io.Copy(dst, src) }
func ioCopyN(dst, src net.Conn) (int64, error) {
	return io.CopyN(dst, src, copySize)
}

// Every pair of ours with another stream is spliced, in either direction.
func TestCopySplices(t *testing.T) {
	for _, p := range [][2]string{
		{"ours tcp", "ours tcp"}, {"ours unix", "ours tcp"}, {"ours tcp", "ours unix"},
		{"net tcp", "ours tcp"}, {"net unix", "ours tcp"}, {"net tcp", "ours unix"}, {"net unix", "ours unix"},
		{"ours tcp", "net tcp"}, {"ours tcp", "net unix"}, {"ours unix", "net tcp"}, {"ours unix", "net unix"},
	} {
		t.Run(fmt.Sprintf("%s to %s", p[0], p[1]), func(t *testing.T) {
			testleak.FDs(t)
			got := strace(t, "splice", func() { relay(t, kinds[p[0]](t), kinds[p[1]](t), ioCopy) })
			if sum := got["splice"].sum; sum != 2*copySize {
				t.Errorf("splice moved %d bytes, want %d into the pipe and out", sum, 2*copySize)
			}
		})
	}
}

func TestCopyNSplices(t *testing.T) {
	testleak.FDs(t)
	got := strace(t, "splice", func() { relay(t, kinds["net tcp"](t), kinds["ours tcp"](t), ioCopyN) })
	if sum := got["splice"].sum; sum != 2*copySize {
		t.Errorf("splice moved %d bytes, want %d", sum, 2*copySize)
	}
}

// An echo server copies a connection to itself.
func TestCopyToItself(t *testing.T) {
	for _, network := range append(streams, "unixpacket") {
		testleak.FDs(t)
		a, b := pair(t, network, connwrap.Config{})
		done := make(chan error, 1)
		go func() { _, err := io.Copy(a, a); done <- err }()
		for range 3 {
			must[int](t)(b.Write([]byte("echo")))
			p := make([]byte, 16)
			if n, err := b.Read(p); err != nil || string(p[:n]) != "echo" {
				t.Errorf("%s: %q, %v", network, p[:n], err)
			}
		}
		check(t, b.Close())
		check(t, <-done)
	}
}

// What a LimitedReader leaves stays in the source, by splice or by a buffer.
func TestCopyNLeavesTheRest(t *testing.T) {
	testleak.FDs(t)
	from, to := kinds["net tcp"](t), kinds["ours tcp"](t)
	go func() { from.far.Write(payload); from.far.Close() }()
	at := 0
	for _, n := range []int{3, 100 << 10, 0, 70 << 10, 4} {
		if n, err := io.CopyN(to.near, from.near, int64(n)); err != nil || n != int64(n) {
			t.Fatal(n, err)
		}
		p := make([]byte, n)
		if _, err := io.ReadFull(to.far, p); err != nil || !bytes.Equal(p, payload[at:at+n]) {
			t.Errorf("other bytes than those at %d, %v", at, err)
		}
		at += n
	}
	go io.Copy(io.Discard, to.far)
	l := &io.LimitedReader{R: from.near, N: 2 * copySize}
	want := int64(copySize - at)
	if n, err := to.near.(io.ReaderFrom).ReadFrom(l); err != nil || n != want || l.N != 2*copySize-want {
		t.Errorf("%d bytes, %v; the limit is %d now", n, err, l.N)
	}
	to.Close()
}

// ownRead embeds a *net.TCPConn but reads its own way, which must be used.
type ownRead struct {
	*net.TCPConn
	io.Reader
}

func (r ownRead) Read(p []byte) (int, error)         { return r.Reader.Read(p) }
func (r ownRead) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{r}) }

type ownFile struct {
	*os.File
	io.Reader
}

func (r ownFile) Read(p []byte) (int, error)         { return r.Reader.Read(p) }
func (r ownFile) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{r}) }

func TestReadFromKeepsToReadOfWrappers(t *testing.T) {
	testleak.FDs(t)
	a, b := netPair(t, "tcp4", connwrap.Config{})
	_, other := netPair(t, "tcp4", connwrap.Config{})
	f := must[*os.File](t)(os.CreateTemp(t.TempDir(), ""))
	defer f.Close()
	must[int](t)(f.WriteString("of the file"))
	for _, r := range []io.Reader{
		ownRead{other.(*net.TCPConn), bytes.NewReader([]byte("own"))},
		ownFile{f, bytes.NewReader([]byte("own"))},
	} {
		n, err := a.ReadFrom(r)
		p := make([]byte, 3)
		check(t, b.SetReadDeadline(time.Now().Add(10*time.Second)))
		must[int](t)(io.ReadFull(b, p))
		if n != 3 || err != nil || string(p) != "own" {
			t.Errorf("%T: %d bytes %q, %v", r, n, p, err)
		}
	}
}

func TestCopyDeadlinesAndErrors(t *testing.T) {
	testleak.FDs(t)
	from, to := kinds["ours tcp"](t), kinds["net tcp"](t)
	check(t, from.near.SetReadDeadline(time.Now().Add(time.Millisecond)))
	if _, err := io.Copy(to.near, from.near); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("source's deadline: %v", err)
	}
	check(t, from.near.SetReadDeadline(time.Time{}))

	must[int](t)(from.far.Write([]byte("x")))
	check(t, to.near.Close())
	if _, err := io.Copy(to.near, from.near); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed destination: %v", err)
	}

	done := make(chan error, 1)
	to = kinds["ours unix"](t)
	go func() { _, err := io.Copy(to.near, from.near); done <- err }()
	must[int](t)(from.far.Write([]byte("y")))
	must[int](t)(to.far.Read(make([]byte, 1))) // it is under way
	check(t, from.near.Close())
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("source closed while it waits: %v", err)
	}
}

// file makes a file with the payload in it.
func file(t testing.TB) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "payload.bin")
	check(t, os.WriteFile(name, payload, 0o600))
	f := must[*os.File](t)(os.Open(name))
	t.Cleanup(func() { f.Close() })
	return f
}

func TestCopyFileSendfile(t *testing.T) {
	for name, want := range map[string][]byte{"Copy": payload, "CopyN": payload[:copySize-1000]} {
		for _, network := range streams {
			t.Run(name+" "+network, func(t *testing.T) {
				testleak.FDs(t)
				send := func() {
					a, b := netPair(t, network, connwrap.Config{})
					f := file(t)
					go func() {
						if name == "CopyN" {
							io.CopyN(a, f, int64(len(want)))
						} else {
							io.Copy(a, f)
						}
						a.CloseWrite()
					}()
					if p, err := io.ReadAll(b); err != nil || !bytes.Equal(p, want) {
						t.Errorf("arrived: %d of %d bytes, or other ones, %v", len(p), len(want), err)
					}
				}
				got := strace(t, "sendfile", send)
				if sum := got["sendfile"].sum; sum != len(want) {
					t.Errorf("sendfile moved %d bytes, want %d", sum, len(want))
				}
			})
		}
	}
}

// What sendfile can't read or write goes through a buffer.
func TestCopyFileFallsBack(t *testing.T) {
	testleak.FDs(t)
	a, b := netPair(t, "tcp4", connwrap.Config{})
	const noSplice = "/proc/self/auxv" // its file operations have no splice_read
	want := must[[]byte](t)(os.ReadFile(noSplice))
	f := must[*os.File](t)(os.Open(noSplice))
	defer f.Close()
	if n, err := io.Copy(a, f); err != nil || int(n) != len(want) {
		t.Fatal(n, err)
	}
	check(t, a.Close())
	if p, err := io.ReadAll(b); err != nil || !bytes.Equal(p, want) {
		t.Errorf("%q, %v", p, err)
	}

	s, c := pair(t, "unixpacket", connwrap.Config{})
	go func() { io.Copy(s, file(t)); s.Close() }()
	var got bytes.Buffer
	_, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{c}, make([]byte, 1<<20)) // more than any message
	if err != nil || !bytes.Equal(got.Bytes(), payload) {
		t.Errorf("unixpacket: %d of %d bytes, or other ones, %v", got.Len(), copySize, err)
	}
}

func TestCopyToAndFromOthers(t *testing.T) {
	testleak.FDs(t)
	a, b := pair(t, "tcp4", connwrap.Config{})
	go func() {
		io.Copy(a, bytes.NewReader(payload))
		a.CloseWrite()
	}()
	var got bytes.Buffer
	if n, err := io.Copy(&got, b); err != nil || n != copySize || !bytes.Equal(got.Bytes(), payload) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := a.ReadFrom(bytes.NewReader(payload)); n != 0 || !errors.Is(err, unix.EPIPE) {
		t.Errorf("after CloseWrite: %d, %v", n, err)
	}
	failing := io.MultiReader(bytes.NewReader([]byte("x")), errReader{})
	if n, err := b.ReadFrom(failing); n != 1 || !errors.Is(err, errRead) {
		t.Errorf("error of the reader: %d, %v", n, err)
	}
}

var errRead = errors.New("failed on purpose")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errRead }
