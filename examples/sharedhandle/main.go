// Sharedhandle is the hand-made cluster of the article's end, without package
// cluster: a master forks four children, listens on port 8000, sends each child
// the listening socket, and closes its own descriptor. The children accept from
// the one socket, and the kernel chooses who gets a connection.
//
//	go run ./examples/sharedhandle
//
// Things to try while it runs:
//
//	for i in 1 2 3 4 5 6 7 8; do curl http://localhost:8000; done
//	ss -lntp 'sport = :8000'    one socket, four processes, the master isn't among them
//	kill PID                    of a child: nobody starts another, package cluster would
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"onconn/fdpass"
	"onconn/listen"
	"onconn/sock"
)

func main() {
	address := flag.String("listen", ":8000", "where to listen, `host:port`")
	children := flag.Int("children", 4, "how many children, 1 or more")
	flag.Parse()
	var err error
	switch {
	case flag.NArg() == 1 && flag.Arg(0) == "child": // as fork starts it
		err = child()
	case flag.NArg() > 0 || *children < 1:
		fmt.Fprintln(os.Stderr, "sharedhandle: can't make sense of", os.Args[1:])
		flag.Usage()
		os.Exit(2)
	default:
		err = master(*address, *children)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sharedhandle:", err)
		os.Exit(1)
	}
}

func master(address string, n int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second Ctrl-C kills
	var running sync.WaitGroup
	defer running.Wait()
	var channels []*fdpass.Conn
	for range n {
		c, err := fork(&running)
		if err != nil {
			return err
		}
		defer c.Close() // which tells the child to go
		channels = append(channels, c)
	}

	ln, err := listen.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer ln.Close()
	for _, c := range channels { // the article's w1.send({type: 'handle'}, server)
		if err := c.SendMsg([]byte("handle"), ln.Descriptor()); err != nil {
			return err
		}
	}
	at := ln.Addr().String()
	fmt.Printf("listening on %s; try a few times: curl http://%s\n", at, strings.Replace(at, "[::]", "localhost", 1))

	// The article's server.close(): the socket goes on listening as long as
	// somebody has it, and this process must not keep connections waiting.
	ln.Close()
	<-ctx.Done()
	return nil
}

// fork starts this program again, as a child that has the other end of the
// channel as its descriptor 3. os/exec isn't used, since its ExtraFiles would
// make the socket blocking, for both processes.
func fork(running *sync.WaitGroup) (*fdpass.Conn, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ours, theirs, err := sock.Pair(sock.SeqPacket)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	pid, err := syscall.ForkExec(program, []string{"sharedhandle", "child"}, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2, uintptr(theirs)},
		Sys:   &syscall.SysProcAttr{Setpgid: true}, // a terminal's Ctrl-C is for the master alone
	})
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start a child: %w", err)
	}
	running.Go(func() {
		if p, err := os.FindProcess(pid); err == nil {
			state, _ := p.Wait()
			fmt.Printf("child %d has ended: %v\n", pid, state)
		}
	})
	return fdpass.NewConn(ours)
}
