package serve

import (
	"context"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"onconn/accept"
	"onconn/fdpass"
	"onconn/sock"
)

// handoff is testdata/peers/handoff.c with packages accept and fdpass, without a
// cluster's care for the workers: the primary accepts on a loop, and the workers'
// loops accept from their queues.
func handoff(ctx context.Context, addr string, workers int) error {
	queues := make([]*fdpass.Queue, workers)
	pids := make([]int, workers)
	for i := range queues {
		var err error
		if queues[i], err = fdpass.NewQueue(); err != nil {
			return err
		}
		if pids[i], err = startWorker(queues[i].ReceiveEnd()); err != nil {
			return err
		}
	}
	err := onLoop(ctx, addr, func(*accept.Loop) func(sock.FD, sock.Addr) {
		return roundRobin(queues)
	})
	for i, q := range queues {
		err = errors.Join(err, q.Close()) // at which it ends
		if _, e := syscall.Wait4(pids[i], nil, 0, nil); e != nil {
			err = errors.Join(err, e)
		}
	}
	return err
}

// startWorker runs this program as the server "handoff-worker", whose descriptor 3
// is a duplicate of fd.
func startWorker(fd sock.FD) (int, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	return syscall.ForkExec(program, []string{program, "serve", "handoff-worker", "-", "1"}, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2, uintptr(fd)},
	})
}

// roundRobin gives each queue a connection in turn, or the next one if it is full.
func roundRobin(queues []*fdpass.Queue) func(sock.FD, sock.Addr) {
	record := make([]fdpass.Record, 1)
	turn := 0
	return func(conn sock.FD, peer sock.Addr) {
		record[0] = fdpass.Record{FD: conn, Peer: peer}
		for range queues {
			turn = (turn + 1) % len(queues)
			if n, _ := queues[turn].Send(record); n == 1 {
				break
			}
		} // with no room anywhere it is cut off
		conn.CloseNow()
	}
}

func handoffWorker(ctx context.Context, _ string, _ int) error {
	const queue = sock.FD(3)
	unix.CloseOnExec(int(queue))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	loop, err := accept.New(accept.Options{OnError: func(*accept.Listener, error) { stop() }}) // io.EOF
	if err != nil {
		return err
	}
	defer loop.Close()
	if _, err := loop.Add(fdpass.NewReceiver(queue), newWeb(loop).onconnection); err != nil {
		return err
	}
	return loop.Run(ctx)
}
