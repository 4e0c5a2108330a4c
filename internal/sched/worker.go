package sched

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"onconn/accept"
	"onconn/cluster"
	"onconn/fdpass"
	"onconn/reuseport/steer"
	"onconn/sock"
)

// channelFD is a worker's end of the channel to its parent.
const channelFD = 3

// worker accepts as the role says until the parent ends. It gets its number, its
// slot on the board, its listening socket and maybe the board.
func worker(r role) error {
	channel, err := fdpass.NewConn(channelFD)
	if err != nil {
		return err
	}
	defer channel.Close()
	var payload [2]byte
	fds := make([]sock.FD, 2)
	_, n, err := channel.ReceiveMsg(payload[:], fds)
	if err != nil {
		return fmt.Errorf("what the parent sends first: %w", err)
	}
	var published *steer.Publisher
	if n == 2 {
		if published, err = steer.OpenPublisher(fds[1], int(payload[1])); err != nil {
			return err
		}
	}
	s, err := newService(int(payload[0]), published)
	if err != nil {
		return err
	}
	if err := s.listen(r.Way, fds[0]); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if published != nil {
		go s.beat(r.HangAfter/10, ctx.Done())
	}
	s.loop.Post(func() { channel.SendMsg([]byte("ready")) })
	go func() {
		channel.ReceiveMsg(payload[:], nil) // it says nothing more: this is its end
		cancel()
	}()
	return s.loop.Run(ctx)
}

// listen has the loop accept from the socket in the role's way.
func (s *service) listen(w Way, fd sock.FD) (err error) {
	switch w {
	case Exclusive:
		// What Shared does, without the way back to the end of the line.
		return s.loop.Watch(fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, func(fd sock.FD, _ uint32) {
			if conn, peer, err := fd.Accept(); err == nil {
				s.connected(conn, peer)
			}
		})
	case Shared:
		_, err = s.loop.Add(fd, s.connected, accept.Shared())
	default:
		_, err = s.loop.Add(fd, s.connected)
	}
	return err
}

// clusterAddress is what the listener of a cluster is known by.
const clusterAddress = "127.0.0.1:0"

// clusterWorker serves what the primary hands over. The next connection is taken
// when the loop has dealt with the last one.
func clusterWorker() error {
	ln, err := cluster.Listen("tcp", clusterAddress)
	if err != nil {
		return err
	}
	defer ln.Close()
	s, err := newService(cluster.ID()-1, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		turned := make(chan struct{})
		for {
			fd, peer, err := ln.(fdListener).AcceptFD()
			if err != nil {
				return
			}
			s.loop.Post(func() {
				s.connected(fd, peer)
				turned <- struct{}{}
			})
			<-turned
		}
	}()
	return s.loop.Run(ctx)
}

// fdListener is what the listeners of a cluster are besides.
type fdListener interface {
	AcceptFD() (sock.FD, sock.Addr, error)
}
