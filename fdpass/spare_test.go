package fdpass

import (
	"errors"
	"fmt"
	"io"
	"math"
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

// oldKernelVariable makes a role count its descriptors as before Linux 6.2.
const oldKernelVariable = "FDPASS_TEST_TAKE"

// limit sets the soft limit of open descriptors.
func limit(n int) {
	var l unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	l.Cur = uint64(n)
	if err := errors.Join(err, unix.Setrlimit(unix.RLIMIT_NOFILE, &l)); err != nil {
		panic(err)
	}
}

// openNow counts in another way than the code under test.
func openNow() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries) - 1 // that of ReadDir
}

// holder is a worker that keeps connections open until it serves them.
type holder struct {
	r    *Receiver
	held []sock.FD
}

func newHolder() *holder {
	if os.Getenv(oldKernelVariable) != "" {
		table.Store(cannotCount)
	}
	descriptorTable()                      // opened before anyone counts
	unix.CloseRange(50, math.MaxUint32, 0) // inherited from whoever runs the tests
	return &holder{r: NewReceiver(childQueue)}
}

// take accepts until an error, waiting for what is still to come.
func (h *holder) take() (n int, err error) {
	for {
		fd, _, err := acceptWait(h.r)
		if err != nil {
			return n, err
		}
		h.held = append(h.held, fd)
		n++
	}
}

// mustTake expects how many come, and what the end of it is.
func (h *holder) mustTake(what string, want int, end error) error {
	n, err := h.take()
	if n != want || !errors.Is(err, end) {
		return fmt.Errorf("%s: took %d, %v; want %d, %v", what, n, err, want, end)
	}
	return nil
}

// takeOne accepts where there is room for many.
func (h *holder) takeOne() error {
	fd, _, err := h.r.Accept()
	if err != nil || h.r.left == 0 {
		return fmt.Errorf("plenty of room: %d more after this one, %v", h.r.left, err)
	}
	h.held = append(h.held, fd)
	return nil
}

// fill takes all descriptors that are left.
func fill() (full []sock.FD) {
	for {
		fd, err := childQueue.Dup()
		if err != nil {
			return full
		}
		full = append(full, fd)
	}
}

// serve answers the n oldest.
func (h *holder) serve(n int) error {
	for _, fd := range h.held[:n] {
		if _, err := fd.Write([]byte("x")); err != nil {
			return err
		}
		fd.Close()
	}
	h.held = h.held[n:]
	return nil
}

// handOver gives n connections to a process in a role, and checks that it
// serves each of them.
func handOver(t *testing.T, role string, n int) {
	for _, env := range [][]string{nil, {oldKernelVariable + "=1"}} {
		t.Run(fmt.Sprint(role, env), func(t *testing.T) {
			testleak.FDs(t)
			q := newQueue(t)
			c := start(t, role, syscall.SysProcAttr{}, env, q.ReceiveEnd())
			clients := make([]sock.FD, n)
			for i := range clients {
				client, conn := pair(t, sock.Stream)
				clients[i] = client
				within(t, "the queue has room", func() bool {
					_, err := q.Send([]Record{{conn, peer(i)}})
					if err != nil && !errors.Is(err, unix.EAGAIN) {
						t.Fatal(err)
					}
					return err == nil
				})
				conn.Close()
			}
			q.Close()
			c.finish()
			for i, client := range clients {
				var p [2]byte
				if n, err := client.Read(p[:]); n != 1 || p[0] != 'x' {
					t.Errorf("connection %d was lost: read %d bytes, %v", i, n, err)
				}
			}
		})
	}
}

const connections = 100

func TestReceiverAtTheLimit(t *testing.T)           { handOver(t, "limited", connections) }
func TestReceiverWithHolesInTheTable(t *testing.T)  { handOver(t, "holes", connections) }
func TestReceiverWhileOthersOpenFiles(t *testing.T) { handOver(t, "churn", 10*connections) }

func limitedRole() error {
	h := newHolder()
	base := openNow()
	limit(base + margin + 20)
	if err := h.mustTake("up to the margin", 20, unix.EMFILE); err != nil {
		return err
	}
	if err := h.mustTake("at the margin", 0, unix.EMFILE); err != nil {
		return err
	}
	q := Queue{receive: childQueue}
	if _, _, err := q.Steal(); !errors.Is(err, unix.EMFILE) {
		return fmt.Errorf("steal at the margin: %v", err)
	}
	if err := errors.Join(h.serve(5), h.mustTake("five were closed", 5, unix.EMFILE)); err != nil {
		return err
	}
	limit(base + margin + 30)
	if err := h.mustTake("the limit was raised", 10, unix.EMFILE); err != nil {
		return err
	}
	limit(base) // below what is open
	if err := h.mustTake("the limit was lowered", 0, unix.EMFILE); err != nil {
		return err
	}
	limit(1000)
	if err := h.takeOne(); err != nil {
		return err
	}
	h.r.looked = h.r.looked.Add(time.Hour) // a look that holds
	limit(base)                            // and has room left
	if err := h.mustTake("the limit was lowered after the look", 0, unix.EMFILE); err != nil {
		return err
	}
	limit(1000)
	if err := h.takeOne(); err != nil {
		return err
	}
	files := fill() // now the last look still has room
	h.r.looked = h.r.looked.Add(-2 * lookAgain)
	if err := h.mustTake("the last look is old", 0, unix.EMFILE); err != nil {
		return err
	}
	for _, fd := range files {
		fd.Close()
	}
	if err := h.mustTake("all others", connections-37, io.EOF); err != nil {
		return err
	}
	limit(openNow())
	h.r.left = 0
	if err := h.mustTake("nothing waits", 0, io.EOF); err != nil {
		return err
	}
	return h.serve(len(h.held))
}

// holesRole fills the table, and frees numbers here and there: the lowest free
// one is far from the limit then.
func holesRole() error {
	h := newHolder()
	limit(256)
	full := fill()
	free := func(n int) {
		for i := range n {
			full[i*4].Close()
			full[i*4] = sock.None
		}
		full = full[4*n:]
	}
	if err := h.mustTake("a full table", 0, unix.EMFILE); err != nil {
		return err
	}
	free(margin)
	if err := h.mustTake("holes for the margin only", 0, unix.EMFILE); err != nil {
		return err
	}
	free(8)
	if err := h.mustTake("eight more holes", 8, unix.EMFILE); err != nil {
		return err
	}
	for _, fd := range full {
		fd.Close()
	}
	limit(1000)
	if err := h.mustTake("all others", connections-8, io.EOF); err != nil {
		return err
	}
	return h.serve(len(h.held))
}

// churnRole works near the limit while other goroutines open fewer files than
// the margin, again and again.
func churnRole() error {
	h := newHolder()
	limit(openNow() + margin + 20)
	var (
		stop atomic.Bool
		wg   sync.WaitGroup
	)
	for range 3 {
		wg.Go(func() {
			var fds [margin/3 - 1]sock.FD
			for !stop.Load() {
				for i := range fds {
					fds[i], _ = childQueue.Dup() // with the other way to count it may find none free
				}
				for _, fd := range fds {
					fd.Close()
				}
			}
		})
	}
	defer func() {
		stop.Store(true)
		wg.Wait()
	}()
	for {
		fd, _, err := acceptWait(h.r)
		switch {
		case err == nil:
			if h.held = append(h.held, fd); len(h.held) < 30 {
				continue
			}
		case err == io.EOF:
			return h.serve(len(h.held))
		case !errors.Is(err, unix.EMFILE):
			return err
		}
		if err := h.serve((len(h.held) + 1) / 2); err != nil {
			return err
		}
	}
}

func TestSpare(t *testing.T) {
	testleak.FDs(t)
	null := devNull(t, 1)[0]
	before, ok := openCount()
	if !ok {
		t.Skip("the size of /proc/self/fd counts since Linux 6.2")
	}
	if n := openNow(); n != before {
		t.Errorf("counted %d descriptors, /proc/self/fd lists %d", before, n)
	}
	devNull(t, 3)
	if after, _ := openCount(); after != before+3 {
		t.Errorf("counted %d descriptors, and %d after three more", before, after)
	}
	if n := spare(null, openLimit()); n < 1 || n > burst {
		t.Errorf("spare: %d", n)
	}
	if n := spareByTaking(null, 7); n != 7 {
		t.Errorf("spareByTaking: %d", n)
	}
	if n := testing.AllocsPerRun(100, func() { spare(null, openLimit()); spareByTaking(null, margin+burst) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
