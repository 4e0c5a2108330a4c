// Inherit is the article's Python sample: a process listens, forks, and then
// parent and child both accept from the socket. Nothing is passed: a child has
// its parent's descriptors.
//
//	go run ./examples/inherit
//
// Things to try while it runs:
//
//	for i in 1 2 3 4; do curl -s telnet://127.0.0.1:8888 </dev/null; done
//	ss -lntp 'sport = :8888'    Send-Q is the backlog, 0; two processes hold the socket
//	kill -STOP PARENT CHILD     and connect twice: the first connection waits in the queue,
//	                            the second is not even made; kill -CONT, and both are served
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"onconn/listen"
	"onconn/sock"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8888", "where to listen, `IP:port`")
	flag.Parse()
	var err error
	switch {
	case flag.NArg() == 1 && flag.Arg(0) == "child": // as fork starts it
		err = acceptConn("child", 3)
	case flag.NArg() > 0:
		fmt.Fprintf(os.Stderr, "inherit: unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	default:
		err = parent(*address)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "inherit:", err)
		os.Exit(1)
	}
}

func parent(address string) error {
	fd, err := openSocket(address)
	if err != nil {
		return err
	}
	pid, err := fork(fd)
	if err != nil {
		return err
	}
	at, err := fd.Getsockname()
	if err == nil {
		fmt.Printf("parent %d and child %d listen on %v; try a few times: curl -s telnet://%v </dev/null\n", os.Getpid(), pid, at, at)
		err = acceptConn("parent", fd)
	}
	if p, err := os.FindProcess(pid); err == nil {
		p.Signal(syscall.SIGTERM) // a terminal's Ctrl-C has reached it already
		state, _ := p.Wait()
		fmt.Printf("child %d has ended: %v\n", pid, state)
	}
	return err
}

// openSocket makes the system calls of the sample: socket, bind, listen.
func openSocket(address string) (sock.FD, error) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return sock.None, fmt.Errorf("-listen %q: an IP address and a port, please: %w", address, err)
	}
	addr := sock.IPAddr(ap)
	fd, err := sock.Socket(addr.Family(), sock.Stream, sock.TCP)
	if err != nil {
		return sock.None, err
	}
	// The sample lacks this: it can't be started again for a minute, while
	// connections that it closed are in TIME_WAIT.
	if err := sock.ReuseAddr.Set(fd, true); err != nil {
		return sock.None, err
	}
	if err := fd.Bind(addr); err != nil {
		return sock.None, fmt.Errorf("%v: %w", addr, err)
	}
	// A backlog of 0 is not "none": the kernel lets one connection more wait
	// than the backlog says, so one may. Node and nginx ask for 511.
	return fd, fd.Listen(0)
}

// fork starts this program again, with the socket as the child's descriptor 3:
// Go can't fork without exec. The descriptor here is close-on-exec, the one
// there is not, and both are the same socket.
func fork(fd sock.FD) (pid int, err error) {
	// The kernel sends Pdeathsig when the thread that forked ends; this
	// goroutine, and with the lock its thread, lives as long as the process.
	runtime.LockOSThread()
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	return syscall.ForkExec(program, []string{"inherit", "child"}, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2, uintptr(fd)},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}, // the child goes with its parent
	})
}

// acceptConn is the same in both processes. Shared has the kernel wake one of
// them for each connection, as it does when they block in accept(2).
func acceptConn(who string, fd sock.FD) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := listen.Config{Shared: true}.Own(fd)
	if err != nil {
		return fmt.Errorf("%s: descriptor %d is no inherited socket; run it without arguments: %w", who, fd, err)
	}
	context.AfterFunc(ctx, func() { ln.Close() })
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Printf("Got connection from in %s\n", who)
		fmt.Fprintf(c, "Thank you for your connecting to %s\n", who)
		c.Close()
	}
}
