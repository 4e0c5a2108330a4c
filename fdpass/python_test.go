package fdpass

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"onconn/internal/testleak"
	"onconn/sock"
)

// pythonPeer receives a message with a socket, answers on that, and sends a
// message with a socket of its own, on which it answers too.
const pythonPeer = `
import socket
s = socket.socket(fileno=3)
s.setblocking(True)
data, fds, flags, _ = socket.recv_fds(s, 64, 4)
assert data == b"to python" and len(fds) == 2 and flags & socket.MSG_CTRUNC == 0, (data, fds, flags)
for fd in fds:
    t = socket.socket(fileno=fd)
    t.setblocking(True)
    t.sendall(b"python has it")
    t.close()
a, b = socket.socketpair()
socket.send_fds(s, [b"from ", b"python"], [a.fileno(), s.fileno()])
a.close()
assert b.recv(64) == b"go has it"
`

func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip(err)
	}
	if exec.Command(python, "-c", "import socket; socket.send_fds").Run() != nil {
		t.Skip("socket.send_fds needs Python 3.9")
	}
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			testleak.FDs(t)
			a, b := pair(t, kind)
			peer := startProgram(t, python, []string{"python3", "-c", pythonPeer}, syscall.SysProcAttr{}, nil, b)
			b.Close()
			own, err := a.Dup()
			if err != nil {
				t.Fatal(err)
			}
			c, err := NewConn(own)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(20 * time.Second))

			near1, far1 := pair(t, sock.Stream)
			near2, far2 := pair(t, sock.Stream)
			if err := c.SendMsg([]byte("to python"), far1, far2); err != nil {
				t.Fatal(err)
			}
			far1.Close()
			far2.Close()
			for _, near := range []sock.FD{near1, near2} {
				if err := readable(near); err != nil {
					t.Fatal(err)
				}
				p := make([]byte, 64)
				if n, err := near.Read(p); string(p[:n]) != "python has it" {
					t.Fatalf("%q, %v", p[:n], err)
				}
			}

			p, fds := make([]byte, 64), make([]sock.FD, 4)
			n, nfd, err := c.ReceiveMsg(p, fds)
			if string(p[:n]) != "from python" || nfd != 2 || err != nil {
				t.Fatalf("%q, %d, %v", p[:n], nfd, err)
			}
			defer fds[1].Close()
			if err := answer(fds[0], "go has it"); err != nil {
				t.Error(err)
			}
			peer.finish()
		})
	}
}
