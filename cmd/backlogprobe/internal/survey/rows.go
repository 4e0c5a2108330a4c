package survey

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"onconn/backlog"
	"onconn/internal/words"
	"onconn/sock"
)

// report fills in what was seen.
func (s *Survey) report(r *Report, all []seen) {
	procs := processes{}
	hidden, sampled := 0, 0
	for i := range all {
		n := &all[i]
		r.Namespaces = append(r.Namespaces, n.Namespace)
		rows := n.rows(r)
		owners, unknown := s.own(rows, procs)
		hidden += unknown
		for _, row := range rows {
			sampled = max(sampled, row.samples)
		}
		if len(s.options.Filter.owners) > 0 {
			rows = slices.DeleteFunc(rows, func(row Row) bool {
				return !s.options.Filter.Match(row.Observation.Listener, owners[row.Inode])
			})
		}
		if s.options.Sum {
			rows = fold(rows)
		}
		n.share(rows, r)
		n.hurt(rows, r)
		s.accepters(rows, r)
		r.Listeners = append(r.Listeners, rows...)
	}
	if sampled > 0 && r.Sampled > 0 {
		r.Interval = r.Sampled / time.Duration(sampled) // as it was: with many listeners it grows
	}
	if hidden > 0 {
		r.UnknownWhy["owners"] = hiddenOwners(hidden)
	} else if !s.options.Owners {
		r.UnknownWhy["owners"] = "not asked for"
	}
	r.Listeners = sorted(r.Listeners)
}

// sorted orders rows by address. They are large, so their order is sorted first.
func sorted(rows []Row) []Row {
	order := make([]*Row, len(rows))
	for i := range rows {
		order[i] = &rows[i]
	}
	slices.SortFunc(order, func(a, b *Row) int {
		return cmp.Or(cmp.Compare(a.Netns, b.Netns), cmp.Compare(a.Port, b.Port), strings.Compare(a.Local, b.Local),
			cmp.Compare(a.Cookie, b.Cookie))
	})
	all := make([]Row, len(rows))
	for i, row := range order {
		all[i] = *row
	}
	return all
}

// own fills in who holds the sockets, and counts those that nobody seems to.
// Looking costs some microseconds for each descriptor of the host.
func (s *Survey) own(rows []Row, procs processes) (owners map[uint32][]backlog.Owner, hidden int) {
	if !s.options.Owners {
		return nil, 0
	}
	const few = 1000
	all := !s.options.SkipQuiet || len(s.options.Filter.owners) > 0 ||
		len(rows) <= few && !slices.ContainsFunc(rows, func(row Row) bool { return !row.Quiet() })
	var wanted []uint32
	for i := range rows {
		if all || !rows[i].Quiet() {
			wanted = append(wanted, rows[i].Inode)
		}
	}
	owners = s.owners.Find(wanted)
	for i := range rows {
		row := &rows[i]
		if !all && row.Quiet() {
			continue
		}
		for _, owner := range owners[row.Inode] {
			p := procs.get(owner.PID)
			row.Owners = append(row.Owners, Owner{PID: owner.PID, Command: owner.Command, FD: owner.FD,
				Unit: owner.Unit, Container: owner.Container, Parent: p.parent, Stopped: p.stopped})
		}
		if row.Owners == nil {
			hidden++
		}
	}
	return owners, hidden
}

func hiddenOwners(n int) string {
	if os.Geteuid() != 0 {
		return fmt.Sprintf("%s hidden: run as root for names (queues and drops are complete)", words.Count(n, "owner"))
	}
	return fmt.Sprintf("%s unknown: held by the kernel, or outside of our pid namespace", words.Count(n, "owner"))
}

func hiddenNamespaces(n int) string {
	if os.Geteuid() != 0 {
		return fmt.Sprintf("network namespaces of %s hidden: run as root for all", processCount(n))
	}
	return fmt.Sprintf("network namespaces of %s can't be seen", processCount(n))
}

func processCount(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

// rows are the listeners that there are now.
func (n *seen) rows(r *Report) []Row {
	before := make(map[uint64]*backlog.Observation, len(n.from))
	for i := range n.from {
		before[n.from[i].Cookie] = &n.from[i]
	}
	rows := make([]Row, 0, len(n.to))
	for _, o := range n.to {
		if o.Gone {
			continue
		}
		from := before[o.Cookie]
		if from == nil { // it began to listen during the look
			from = &backlog.Observation{Listener: o.Listener}
			from.Drops -= o.Dropped
		}
		row := Row{
			Netns: n.Name, Proto: proto(o.Listener), Local: n.local(o.Listener), Port: int(o.Addr.Port()),
			Depth: o.Depth, Limit: o.Limit, Capacity: o.Capacity(), Peak: o.Peak,
			Full: o.Full, Fulls: o.Fulls, Drops: o.Drops, Dropped: o.Drops - from.Drops,
			Stall: o.Stall, Inode: o.Inode, Cookie: o.Cookie, Observation: o,
			samples: o.Samples - from.Samples, watched: n.watcher != nil, since: r.Sampled > 0,
		}
		if !internet(o.Listener) {
			row.Port = 0
		}
		row.rates(from, &o)
		rows = append(rows, row)
	}
	n.shared(rows, r)
	n.unknown(rows, r)
	return rows
}

// rates fills in what came and was accepted in the time that was counted.
func (row *Row) rates(from, to *backlog.Observation) {
	counted := (to.Counted - from.Counted).Seconds()
	if counted <= 0 || to.Arrived < 0 {
		return
	}
	arrivals := float64(to.Arrived-max(from.Arrived, 0)) / counted
	accepts := float64(to.Accepted-max(from.Accepted, 0)) / counted
	row.Arrivals, row.Accepts = &arrivals, &accepts
}

// shared takes rates away where listeners on several addresses share a port, as
// they are counted by port.
func (n *seen) shared(rows []Row, r *Report) {
	first := map[int]string{}
	several := map[int]bool{}
	for _, row := range rows {
		if local, ok := first[row.Port]; ok && local != row.Local {
			several[row.Port] = true
		}
		first[row.Port] = row.Local
	}
	for i := range rows {
		row := &rows[i]
		switch {
		case row.Port == 0:
			row.Arrivals, row.Accepts = nil, nil
			why(r, "unix sockets don't count them")
		case several[row.Port]:
			row.Arrivals, row.Accepts = nil, nil
			why(r, "counted by port, and several addresses share one")
		case row.Arrivals == nil && row.Observation.Counted == 0:
			why(r, "needs a longer look: they are counted once a second, and more seldom where there are many connections")
		}
	}
}

// why says why rates are unknown.
func why(r *Report, reason string) {
	for _, field := range []string{"arrivals_per_second", "accepts_per_second"} {
		if have := r.UnknownWhy[field]; !strings.Contains(have, reason) {
			r.UnknownWhy[field] = strings.TrimPrefix(have+"; "+reason, "; ")
		}
	}
}

func proto(l backlog.Listener) string {
	switch {
	case l.Addr.Family() == sock.Unix && l.Type == sock.SeqPacket:
		return "unix-seqpacket"
	case l.Addr.Family() == sock.Unix:
		return "unix"
	case l.MPTCP:
		return "mptcp"
	case l.Addr.Family() == sock.Inet6:
		return "tcp6"
	}
	return "tcp"
}

// local is the address as ss(8) prints it.
func (n *seen) local(l backlog.Listener) string {
	if !internet(l) {
		return cmp.Or(l.Addr.Name(), "*") // ss calls an unnamed one so
	}
	ap := l.Addr.AddrPort()
	ip := ap.Addr().WithZone("")
	host := ip.String()
	switch {
	case l.Addr.Family() == sock.Inet:
	case ip.Is4(): // mapped
		host = "[::ffff:" + host + "]"
	case ip.IsUnspecified() && !l.V6Only:
		host = "*"
	default:
		host = "[" + host + "]"
	}
	if l.Interface != 0 {
		host += "%" + n.interfaceName(l.Interface)
	}
	return fmt.Sprintf("%s:%d", host, ap.Port())
}

// interfaceName knows names in our own namespace only.
func (n *seen) interfaceName(index int) string {
	if n.ns.Path() == "" {
		if i, err := net.InterfaceByIndex(index); err == nil {
			return i.Name
		}
	}
	return fmt.Sprintf("if%d", index)
}
