package lesson

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// serverRole is a program that makes one system call for each line it is told, as a
// lesson wants to see it, and answers with what came of it. Its sockets block, as
// those of the simplest servers do. It ends when its input does.
func serverRole([]string) error {
	s := &server{out: os.Stdout}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fmt.Fprintln(s.out, s.answer(in.Text()))
	}
	return errors.Join(in.Err(), s.end())
}

type server struct {
	out      *os.File
	children []*child
}

// A child is the same program, told by its parent.
type child struct {
	pid int
	in  *os.File
	out *bufio.Reader
	to  *os.File // of out
}

// answer is "ok VALUE", or the name of an errno.
func (s *server) answer(line string) string {
	words := strings.Fields(line)
	if len(words) == 0 {
		return "EINVAL"
	}
	if words[0] == "child" { // child N LINE
		n := number(words, 1)
		if n < 0 || n >= len(s.children) || len(words) < 3 {
			return "EINVAL"
		}
		return s.children[n].tell(strings.Join(words[2:], " "))
	}
	call, ok := calls[words[0]]
	if !ok {
		return "ENOSYS"
	}
	value, err := call(s, words)
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return unix.ErrnoName(errno)
	}
	if err != nil {
		return "EIO"
	}
	return strings.TrimSpace("ok " + value)
}

func number(words []string, i int) int {
	if i >= len(words) {
		return -1
	}
	n, err := strconv.Atoi(words[i])
	if err != nil {
		return -1
	}
	return n
}

// calls are what the server can be told, each with the descriptor first.
var calls = map[string]func(s *server, words []string) (string, error){
	"socket": func(_ *server, _ []string) (string, error) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return strconv.Itoa(fd), err
	},
	"reuseaddr": set(unix.SOL_SOCKET, unix.SO_REUSEADDR),
	"reuseport": set(unix.SOL_SOCKET, unix.SO_REUSEPORT),
	"defer":     set(unix.SOL_TCP, unix.TCP_DEFER_ACCEPT),
	// bind FD PORT: on the loopback; answers with the port.
	"bind": func(_ *server, w []string) (string, error) {
		fd := number(w, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: number(w, 2), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return "", err
		}
		a, err := sock.FD(fd).Getsockname()
		return strconv.Itoa(int(a.Port())), err
	},
	"listen": func(_ *server, w []string) (string, error) { return "", unix.Listen(number(w, 1), number(w, 2)) },
	// accept FD: answers with the descriptor, the peer's port and the own one.
	"accept": func(_ *server, w []string) (string, error) {
		fd, peer, err := accept(number(w, 1))
		if err != nil {
			return "", err
		}
		a, err := sock.FD(fd).Getsockname()
		return fmt.Sprint(fd, " ", peer.Port(), " ", a.Port()), err
	},
	"read": func(_ *server, w []string) (string, error) {
		p := make([]byte, 256)
		n, err := unix.Read(number(w, 1), p)
		return strings.TrimSpace(string(p[:max(n, 0)])), err
	},
	"write": func(_ *server, w []string) (string, error) {
		_, err := unix.Write(number(w, 1), []byte(strings.Join(w[2:], " ")+"\n"))
		return "", err
	},
	"nonblock": func(_ *server, w []string) (string, error) { return "", unix.SetNonblock(number(w, 1), true) },
	"close":    func(_ *server, w []string) (string, error) { return "", unix.Close(number(w, 1)) },
	"serve":    serve,
	// spawn [FD]: a child that has the descriptor as its 3.
	"spawn": func(s *server, w []string) (string, error) {
		c, err := spawn(number(w, 1))
		if err != nil {
			return "", err
		}
		s.children = append(s.children, c)
		return strconv.Itoa(c.pid), nil
	},
}

func set(level, option int) func(*server, []string) (string, error) {
	return func(_ *server, w []string) (string, error) {
		return "", unix.SetsockoptInt(number(w, 1), level, option, max(number(w, 2), 1))
	}
}

// accept waits for a connection.
func accept(fd int) (int, netip.AddrPort, error) {
	for {
		conn, from, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if a, ok := from.(*unix.SockaddrInet4); ok {
			return conn, netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), err
		}
		return conn, netip.AddrPort{}, err
	}
}

// spawn starts a child. Not by os/exec: its ExtraFiles change O_NONBLOCK, which
// belongs to the socket.
func spawn(fd int) (*child, error) {
	var in, out [2]int
	if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		unix.Close(in[0])
		unix.Close(in[1])
		return nil, err
	}
	files := []uintptr{uintptr(in[0]), uintptr(out[1]), 2}
	if fd >= 0 {
		files = append(files, uintptr(fd))
	}
	pid, err := syscall.ForkExec(self(), []string{os.Args[0], rolePrefix + "server"}, &syscall.ProcAttr{Env: os.Environ(), Files: files})
	unix.Close(in[0])
	unix.Close(out[1])
	c := &child{pid: pid, in: os.NewFile(uintptr(in[1]), "pipe"), to: os.NewFile(uintptr(out[0]), "pipe")}
	if err != nil {
		c.in.Close()
		c.to.Close()
		return nil, err
	}
	c.out = bufio.NewReader(c.to)
	return c, nil
}

func (c *child) tell(line string) string {
	fmt.Fprintln(c.in, line)
	text, err := c.out.ReadString('\n')
	if err != nil {
		return "EPIPE"
	}
	return strings.TrimSpace(text)
}

// end lets the children go, and waits for them.
func (s *server) end() error {
	for _, c := range s.children {
		c.in.Close()
		for {
			if _, err := unix.Wait4(c.pid, nil, 0, nil); err != unix.EINTR {
				break
			}
		}
		c.to.Close()
	}
	return nil
}
