package sched

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"time"

	"onconn/fdpass"
	"onconn/listen"
	"onconn/reuseport"
	"onconn/reuseport/steer"
	"onconn/sock"
)

// A server is workers that share a port in some way.
type server interface {
	address() netip.AddrPort
	pids() []int   // of the workers, by number
	others() []int // of those that work for them
	close() error
}

// start starts the workers, and returns when all accept.
func start(ctx context.Context, w Way, c Config) (server, error) {
	if w == RoundRobin {
		return startCluster(ctx, c)
	}
	s := &group{done: make(chan struct{})}
	err := s.open(ctx, w, c)
	for i := 0; i < c.Workers && err == nil; i++ {
		err = s.start(i, role{Way: w, HangAfter: c.HangAfter}, c.Command)
	}
	for i := 0; i < len(s.workers) && err == nil; i++ {
		err = s.workers[i].ready(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", w, err), s.close())
	}
	if s.program != nil {
		go s.settle()
	}
	return s, nil
}

// A group is workers that accept by themselves, from one socket or from one
// each.
type group struct {
	listener *listen.Listener // of all, or
	members  *reuseport.Group
	program  *steer.Program

	workers []*process
	done    chan struct{}
}

type process struct {
	cmd     *exec.Cmd
	channel *fdpass.Conn
}

// open makes the sockets.
func (s *group) open(ctx context.Context, w Way, c Config) (err error) {
	policy, steered := w.policy()
	switch {
	case steered:
		s.program, err = steer.New(steer.Config{Policy: policy, Members: c.Workers, HangAfter: c.HangAfter, Limit: c.Limit})
		if err == nil {
			s.members, err = reuseport.Config{Steering: s.program}.Listen(ctx, "tcp", "127.0.0.1:0", c.Workers)
		}
	case w == Hash:
		s.members, err = reuseport.Listen("tcp", "127.0.0.1:0", c.Workers)
	default:
		s.listener, err = listen.Config{}.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	return err
}

// start starts a worker and gives it what it needs.
func (s *group) start(i int, r role, argv []string) error {
	ours, theirs, err := sock.Pair(sock.SeqPacket)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(theirs), "channel")
	defer file.Close()
	channel, err := fdpass.NewConn(ours)
	if err != nil {
		return err
	}
	p := &process{cmd: command(argv, r), channel: channel}
	p.cmd.ExtraFiles = []*os.File{file} // channelFD
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		channel.Close()
		return err
	}
	s.workers = append(s.workers, p)
	payload := []byte{byte(i), 0}
	if s.members == nil {
		return channel.SendMsg(payload, s.listener.Descriptor())
	}
	m := s.members.Member(reuseport.ID(i + 1))
	if s.program == nil {
		return channel.SendMsg(payload, m.Descriptor())
	}
	slot, _ := s.program.Slot(m.ID)
	payload[1] = byte(slot)
	return channel.SendMsg(payload, m.Descriptor(), s.program.Descriptors()[2])
}

// startLimit is how long workers may take to start.
const startLimit = 20 * time.Second

func (p *process) ready(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { p.channel.SetReadDeadline(time.Now()) })
	defer stop()
	p.channel.SetReadDeadline(time.Now().Add(startLimit))
	var buf [16]byte
	if _, _, err := p.channel.ReceiveMsg(buf[:], nil); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("worker %d: %w", p.cmd.Process.Pid, err))
	}
	return nil
}

// settle does what the users of a program that counts do.
func (s *group) settle() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := s.program.Settle(); err != nil {
				slog.Warn(err.Error())
			}
		case <-s.done:
			return
		}
	}
}

func (s *group) address() netip.AddrPort {
	if s.members != nil {
		return tcpAddress(s.members.Addr())
	}
	return tcpAddress(s.listener.Addr())
}

func tcpAddress(a net.Addr) netip.AddrPort { return sock.FromNetAddr(a).AddrPort() }

func (s *group) pids() (pids []int) {
	for _, p := range s.workers {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return pids
}

func (s *group) others() []int { return nil }

// close ends the workers and closes the sockets.
func (s *group) close() error {
	close(s.done)
	var errs []error
	for _, p := range s.workers {
		errs = append(errs, p.end())
	}
	if s.listener != nil {
		errs = append(errs, s.listener.Close())
	}
	if s.members != nil {
		errs = append(errs, s.members.Close())
	}
	if s.program != nil {
		errs = append(errs, s.program.Close())
	}
	return errors.Join(errs...)
}

// end closes the channel, by which the worker knows.
func (p *process) end() error {
	p.channel.Close()
	kill := time.AfterFunc(startLimit, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("worker %d: %w", p.cmd.Process.Pid, err)
	}
	return nil
}
