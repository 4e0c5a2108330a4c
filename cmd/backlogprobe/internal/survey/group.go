package survey

import "onconn/backlog"

// fold makes one Row of sockets that share an address by SO_REUSEPORT.
func fold(rows []Row) []Row {
	type key struct {
		local string
		typ   int
	}
	folded := make([]Row, 0, len(rows))
	index := make(map[key]int, len(rows))
	for _, row := range rows {
		k := key{row.Local, int(row.Observation.Type)}
		i, ok := index[k]
		if !ok || row.Port == 0 { // a unix path that was bound anew isn't shared
			index[k] = len(folded)
			folded = append(folded, row)
			continue
		}
		group := &folded[i]
		if group.Members == nil {
			first := *group
			group.Members = []Row{first}
			group.Inode, group.Cookie = 0, 0
		}
		group.join(row)
	}
	return folded
}

// Quiet reports whether there is nothing to see: nobody comes, waits, or was
// ever refused.
func (r *Row) Quiet() bool {
	return r.Depth == 0 && r.Peak == 0 && r.Drops == 0 && r.HalfOpen == 0 && (r.Arrivals == nil || *r.Arrivals == 0)
}

// join adds a member to a group.
func (g *Row) join(row Row) {
	g.Members = append(g.Members, row)
	g.Depth += row.Depth
	g.Limit += row.Limit
	g.Capacity += row.Capacity
	g.Drops += row.Drops
	g.Dropped += row.Dropped
	g.Fulls += row.Fulls
	g.Full = max(g.Full, row.Full)
	g.Stall = max(g.Stall, row.Stall)
	g.Peak = max(g.Peak, row.Peak)
	if worse(row.Observation, g.Observation) {
		g.Observation = row.Observation
	}
	for _, o := range row.Owners { // an owner may hold several members
		if !g.ownedBy(o.PID) {
			g.Owners = append(g.Owners, o)
		}
	}
}

func (g *Row) ownedBy(pid int) bool {
	for _, o := range g.Owners {
		if o.PID == pid {
			return true
		}
	}
	return false
}

// worse reports whether a is nearer to its limit than b.
func worse(a, b backlog.Observation) bool {
	return a.Depth*b.Capacity() > b.Depth*a.Capacity() ||
		a.Depth*b.Capacity() == b.Depth*a.Capacity() && a.Peak*b.Capacity() > b.Peak*a.Capacity()
}

// Worst is the queue that decides: that of a listener alone, or of the fullest
// member of a group.
func (r *Row) Worst() Row {
	worst := *r
	for i, m := range r.Members {
		if i == 0 || m.Depth*worst.Capacity > worst.Depth*m.Capacity ||
			m.Depth*worst.Capacity == worst.Depth*m.Capacity && m.Peak*worst.Capacity > worst.Peak*m.Capacity {
			worst = m
		}
	}
	return worst
}
