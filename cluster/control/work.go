package control

import (
	"fmt"
	"net"
	"time"

	"onconn/cluster"
)

// lookEvery is how often a client that waits is told how far it is.
const lookEvery = 200 * time.Millisecond

// work does what takes time. It goes on if the client doesn't wait for its end.
func (s *Server) work(c net.Conn, r request) {
	send(c, answer{Progress: begins[r.Op]}) // also proves that this process is alive
	before := lastID(s.target.Status())
	done := make(chan error, 1)
	go func() { done <- s.do(r) }()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := begins[r.Op]
	for {
		select {
		case err := <-done:
			if err != nil {
				send(c, failure(err))
			} else {
				send(c, answer{Done: true})
			}
			return
		case <-tick.C:
			if text := progress(r, s.target.Status(), before); text != last {
				send(c, answer{Progress: text})
				last = text
			}
		}
	}
}

var begins = map[op]string{opReload: "reloading", opScale: "scaling", opUpgrade: "upgrading"}

func (s *Server) do(r request) error {
	switch r.Op {
	case opReload:
		return s.target.Reload(s.ctx)
	case opScale:
		return s.target.Scale(s.ctx, r.Workers)
	}
	return s.target.Upgrade(s.ctx)
}

// progress says how far it is; before is the greatest number of a worker when it
// began.
func progress(r request, status cluster.Status, before int) string {
	online, fresh := 0, 0
	for _, w := range status.Workers {
		if w.State == "online" {
			online++
			if w.ID > before {
				fresh++
			}
		}
	}
	switch r.Op {
	case opReload:
		return fmt.Sprintf("%d of %d workers are new", fresh, status.Target)
	case opScale:
		return fmt.Sprintf("%d online, %d wanted", online, r.Workers)
	}
	return begins[r.Op]
}

func lastID(status cluster.Status) (id int) {
	for _, w := range status.Workers {
		id = max(id, w.ID)
	}
	return id
}
