package accept

import "onconn/sock"

// serve accepts a burst from a source that is ready, and deals with the error
// that ended it.
func (l *Loop) serve(ls *Listener) {
	n, err := l.burst(ls)
	if n > 0 {
		l.shortage.relieved()
		if ls.shared {
			l.requeue(ls)
		}
	}
	if err != nil {
		l.trouble(ls, err)
	}
}

// burst accepts until nothing waits, the source is paused or removed, or others
// should have their turn: epoll reports what is left again. An error that it
// returns needs to be dealt with.
func (l *Loop) burst(ls *Listener) (n int, err error) {
	ls.calling.Lock()
	defer ls.calling.Unlock()
	limit := l.opts.Burst
	if l.slept && !ls.shared {
		// It is likely to be alone, and asking epoll for more costs no more than
		// an accept that finds nothing.
		limit = 1
	}
	try := ls.listens && ls.wanted() && (limit == 1 || nonblocking(ls.fd))
	for range limit {
		if !ls.wanted() {
			break
		}
		conn, peer, e := ls.accept(try)
		if e != nil {
			class := Classify(e)
			if class == Retry {
				continue
			}
			if class != Again {
				err = e
			}
			break
		}
		n++
		l.accepted.Add(1)
		l.forget(conn)
		ls.onconnection(conn, peer)
	}
	if n > 0 && ls.afterBurst != nil {
		ls.afterBurst()
	}
	return n, err
}

// accept takes a connection. try: it can't block.
func (ls *Listener) accept(try bool) (sock.FD, sock.Addr, error) {
	if try {
		return ls.fd.TryAccept()
	}
	return ls.src.Accept()
}

// nonblocking is asked before each burst, since whoever shares the socket may clear
// O_NONBLOCK.
func nonblocking(fd sock.FD) bool {
	ok, err := fd.Nonblocking()
	return ok && err == nil
}

// trouble deals with an error that accepting from ls, or putting it into the
// epoll set, has met.
func (l *Loop) trouble(ls *Listener, err error) {
	if ls.removed.Load() {
		return
	}
	if Classify(err) == Exhausted {
		l.starve(ls, err)
		return
	}
	ls.Remove()
	if l.opts.OnError != nil {
		l.opts.OnError(ls, err)
		return
	}
	l.opts.Logger.Error("accept: a source failed and was removed", "descriptor", ls.fd, "error", err)
}
