package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Upgrade has this process become its program's file as it is now, with the same
// arguments, by execve(2): a new version of the primary. The process number stays,
// the workers go on serving, and what comes meanwhile waits in the kernel's
// queues. Upgrade returns only if it comes to nothing, and then everything is as
// before.
//
// First the new program is tried: started as a child, which has to come to its
// own [Primary.Start] with a configuration that fits, within ReadyTimeout. So what
// the program does before Start is done twice. Start then takes over instead of
// starting workers; those that run keep their program until a Reload. Events that
// OnEvent has not been told of within a second are lost.
//
// SIGUSR1, SIGUSR2, SIGTTIN and SIGTTOU wait until the new program wants them
// (signal.Notify); for other children than workers that it starts they stay
// blocked. SIGHUP is ignored until then. SIGTERM and SIGINT in this moment end the
// process, and the workers drain.
func (p *Primary) Upgrade(ctx context.Context) error {
	ctx, end, err := p.operate(ctx, "upgrade")
	if err != nil {
		return err
	}
	defer end()
	if err := p.mayUpgrade(); err != nil {
		return fmt.Errorf("cluster: upgrade: nothing has changed: %w", err)
	}
	if err := p.rehearse(ctx); err != nil {
		return fmt.Errorf("cluster: upgrade: %s can't take over, and nothing has changed: %w", p.program, err)
	}
	thaw, err := p.freeze()
	if err != nil {
		return err
	}
	defer thaw()
	if err := p.become(); err != nil {
		return fmt.Errorf("cluster: upgrade: nothing has changed: %w", err)
	}
	return nil
}

// mayUpgrade finds what an upgrade would do harm to.
func (p *Primary) mayUpgrade() error {
	if p.cfg.Node {
		return errors.New("what Node workers have not answered yet would be lost: start anew, or reload for a new version of them")
	}
	for _, w := range p.Workers() {
		w.mu.Lock()
		older := w.older && !w.spoken && !w.asked
		w.mu.Unlock()
		if older {
			// The thread that forked it is the main one by now, which ends with
			// the next execve; then it gets SIGTERM (PR_SET_PDEATHSIG).
			return fmt.Errorf("worker %d knows only LISTEN_FDS and was there before the last upgrade: reload first", w.ID)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, s := range p.slots {
		if s.closing {
			return fmt.Errorf("the program in slot %d is about to go: try again when it has", n)
		}
	}
	return nil
}

// freeze waits until nothing is half done, and keeps anything else from
// beginning until thaw is called.
func (p *Primary) freeze() (thaw func(), err error) {
	end := time.Now().Add(time.Second)
	for p.gate.Lock(); !p.events.idle() && time.Now().Before(end); p.gate.Lock() {
		p.gate.Unlock() // OnEvent may wait for it
		time.Sleep(time.Millisecond)
	}
	p.mu.Lock()
	ending := p.ending
	p.mu.Unlock()
	if ending {
		p.gate.Unlock()
		return nil, errEnding
	}
	p.stopLoop()
	for end := time.Now().Add(100 * time.Millisecond); p.relaying() && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	servers := p.all()
	for _, s := range servers {
		s.mu.Lock()
		if !s.shut {
			s.sharing.hold()
		}
	}
	return func() {
		for _, s := range servers {
			if !s.shut {
				s.sharing.release()
			}
			s.mu.Unlock()
		}
		p.runLoop()
		p.gate.Unlock()
	}, nil
}

// relaying reports whether something that a worker wrote is on its way.
func (p *Primary) relaying() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.relays {
		if r.busy.Load() {
			return true
		}
	}
	return false
}

// become executes the program. It is done by the thread that forks: workers that
// know only LISTEN_FDS are told of its death (PR_SET_PDEATHSIG), and it is the one
// that lives on (de_thread).
func (p *Primary) become() error {
	m := p.image()
	if err := m.listens(); err != nil {
		return err
	}
	memory, err := m.write()
	if err != nil {
		return err
	}
	defer memory.Close()
	env := append(os.Environ(), fmt.Sprintf("%s=%d", envImage, memory))
	fds := append(m.descriptors(), memory)
	p.starter.do(func() {
		syscall.ForkLock.Lock() // or a child of the program would get them too
		defer syscall.ForkLock.Unlock()
		if err = closeOnExec(fds, false); err == nil {
			undo := keepSignals()
			err = os.NewSyscallError("execve", syscall.Exec(p.program, os.Args, env))
			undo()
		}
		closeOnExec(fds, true)
	})
	return err
}

func closeOnExec(fds []sock.FD, on bool) (err error) {
	flags := 0
	if on {
		flags = unix.FD_CLOEXEC
	}
	for _, fd := range fds {
		if fd == sock.None {
			continue
		}
		if _, e := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags); e != nil {
			err = fmt.Errorf("descriptor %d: %w", fd, os.NewSyscallError("fcntl", e))
		}
	}
	return err
}

// rehearse starts the new program as a child, which says whether it could take
// over.
func (p *Primary) rehearse(ctx context.Context) error {
	p.gate.Lock() // what image says must fit together
	servers := p.all()
	for _, s := range servers {
		s.mu.Lock()
	}
	m := p.image()
	for _, s := range servers {
		s.mu.Unlock()
	}
	p.gate.Unlock()
	memory, err := m.write()
	if err != nil {
		return err
	}
	defer memory.Close()
	answer, theirs, err := newPipe()
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(answer), "answer")
	defer file.Close()
	pid, err := p.starter.rehearse(p.program, p.null, memory, theirs)
	theirs.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	file.SetReadDeadline(time.Now().Add(p.cfg.ReadyTimeout))
	said := make([]byte, tailSize)
	n, err := file.Read(said)
	syscall.Kill(-pid, syscall.SIGKILL) // it has said what it had to say, or never will
	status := waitStatus(pid)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it has not come to Primary.Start after %v", p.cfg.ReadyTimeout)
	case n == 0:
		return fmt.Errorf("it ended before Primary.Start, with %s", Describe(status))
	case string(said[:n]) != rehearsed:
		return errors.New(string(said[:n]))
	}
	return nil
}

// rehearsed is what a program says that could take over.
const rehearsed = "ok"
