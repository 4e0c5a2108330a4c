package handshake

import (
	"cmp"
	"container/heap"
	"slices"
)

// worst keeps the worst attempts: a heap with the least bad one on top.
type worst struct {
	keep  int
	conns []*conn
}

func (w *worst) add(c *conn) {
	if len(w.conns) < w.keep {
		heap.Push(w, c)
	} else if compare(w.conns[0], c) < 0 {
		w.conns[0] = c
		heap.Fix(w, 0)
	}
}

// compare is less than 0 if a is less bad than b. Of equals the later is.
func compare(a, b *conn) int {
	return cmp.Or(
		cmp.Compare(rank[a.Verdict.Kind], rank[b.Verdict.Kind]),
		cmp.Compare(a.Waited(), b.Waited()),
		b.Start.Compare(a.Start),
		b.Client.Compare(a.Client),
	)
}

func (w *worst) sorted() []*conn {
	return slices.SortedFunc(slices.Values(w.conns), func(a, b *conn) int { return compare(b, a) })
}

func (w *worst) Len() int           { return len(w.conns) }
func (w *worst) Less(i, j int) bool { return compare(w.conns[i], w.conns[j]) < 0 }
func (w *worst) Swap(i, j int)      { w.conns[i], w.conns[j] = w.conns[j], w.conns[i] }
func (w *worst) Push(c any)         { w.conns = append(w.conns, c.(*conn)) }
func (w *worst) Pop() any {
	c := w.conns[len(w.conns)-1]
	w.conns = w.conns[:len(w.conns)-1]
	return c
}
