package probe

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/sock"
)

// A view is what the kernel shows of the listener on this host. It outlives
// nothing: the probe closes it.
type view struct {
	ns      *backlog.Namespace
	members []backlog.Listener // more than one: a SO_REUSEPORT group
}

// Why there is no view.
var (
	errHidden  = errors.New("nobody listens there in this network namespace")
	errForeign = errors.New("the kernel of another host doesn't show us its queues")
)

// look finds the listener that a connection to the target reaches.
func look(t Target) (*view, error) {
	if !t.Local {
		return nil, errForeign
	}
	ns, err := backlog.OpenNamespace("")
	if err != nil {
		return nil, err
	}
	v := &view{ns: ns}
	if t.Addr.Family() == sock.Unix {
		v.members, err = unixMembers(ns, t.Addr)
	} else {
		v.members, err = tcpMembers(ns, t.Addr)
	}
	if err == nil && len(v.members) == 0 {
		err = errHidden
	}
	if err != nil {
		ns.Close()
		return nil, err
	}
	return v, nil
}

// tcpMembers lets the kernel choose, as it does for a SYN, and adds the
// listeners of the very same address: they are a group.
func tcpMembers(ns *backlog.Namespace, a sock.Addr) ([]backlog.Listener, error) {
	one, err := ns.Lookup(a.AddrPort(), 0)
	nobody := errors.Is(err, unix.ENOENT)
	if err != nil && !nobody {
		return nil, err
	}
	all, err := ns.Listeners()
	if err != nil {
		return nil, err
	}
	if nobody {
		if i := slices.IndexFunc(all, func(l backlog.Listener) bool { return l.Addr.Port() == a.Port() }); i >= 0 {
			return nil, fmt.Errorf("%w; but somebody does on %s", errHidden, all[i].Addr)
		}
		return nil, errHidden
	}
	return slices.DeleteFunc(all, func(l backlog.Listener) bool {
		return l.Addr != one.Addr || l.Interface != one.Interface
	}), nil
}

func unixMembers(ns *backlog.Namespace, a sock.Addr) ([]backlog.Listener, error) {
	all, err := ns.UnixListeners()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(l backlog.Listener) bool {
		return l.Type != sock.Stream || !samePath(l.Addr.Name(), a.Name())
	}), nil
}

// samePath reports whether two names of sockets are of one: the server may have
// bound a relative path, and the user may have given a link, as /var/run is.
func samePath(bound, given string) bool {
	if bound == given {
		return true
	}
	if !strings.HasPrefix(given, "/") || path.Base(bound) != path.Base(given) {
		return false
	}
	a, err := os.Stat(given)
	if err != nil {
		return false
	}
	b, err := os.Stat(bound)
	return err == nil && os.SameFile(a, b)
}

func (v *view) close() {
	if v != nil {
		v.ns.Close()
	}
}

func (v *view) has(l backlog.Listener) bool {
	return slices.ContainsFunc(v.members, func(m backlog.Listener) bool { return m.Cookie == l.Cookie })
}

// now reads the queues again. What has closed meanwhile is left out.
func (v *view) now() (queueState, error) {
	var s queueState
	for _, m := range v.members {
		l, err := v.read(m)
		if errors.Is(err, unix.ENOENT) {
			s.gone = true
			continue
		}
		if err != nil {
			return s, err
		}
		s.depth += l.Depth
		s.capacity += l.Capacity()
		s.drops += int(l.Drops)
	}
	return s, nil
}

func (v *view) read(m backlog.Listener) (backlog.Listener, error) {
	if m.Addr.Family() != sock.Unix {
		return v.ns.Lookup(m.Addr.AddrPort(), m.Cookie)
	}
	all, err := v.ns.UnixListeners()
	if err != nil {
		return m, err
	}
	if i := slices.IndexFunc(all, func(l backlog.Listener) bool { return l.Cookie == m.Cookie }); i >= 0 {
		return all[i], nil
	}
	return m, unix.ENOENT
}

// A queueState is the sum of a group, or one listener.
type queueState struct {
	depth, capacity, drops int
	gone                   bool // a member has closed, and its drops are lost
}
