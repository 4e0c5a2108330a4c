package follow

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/cmd/syscallflow/internal/recording"
	"onconn/sock"
)

// measure reads how many connections wait at a listener, just before and just after
// one is taken.
func (r *Recorder) measure(p *process, number int, s *socket, at recording.Time) {
	if s.family != unix.AF_INET && s.family != unix.AF_INET6 {
		return // of unix sockets it takes too long
	}
	r.look(p, number, func(fd sock.FD) {
		q, err := backlog.Of(fd)
		d := recording.Depth{Time: at, Socket: s.ID, Queue: q.Depth, Limit: q.Limit}
		if err != nil || d.Queue == s.depth.Queue && d.Limit == s.depth.Limit {
			return
		}
		s.depth = d
		r.recording.Depths = append(r.recording.Depths, d)
	})
}

// maxQuick is how many calls are enough to know what they take.
const maxQuick = 10_000

// clockError is what a call that never waits takes between its two stops, nearly
// always: neither of the two times can be more wrong than that.
func (r *Recorder) clockError() recording.Time {
	if len(r.quick) < 5 {
		return 50_000 // what an idle machine shows
	}
	slices.Sort(r.quick)
	return r.quick[len(r.quick)*95/100]
}

// Finish is the recording, when the tracer is done. at is the end of it.
func (r *Recorder) Finish(at int64) *recording.Recording {
	rec := r.recording
	for _, p := range r.processes {
		p.close()
	}
	rec.Took, rec.Clock = r.Time(at), r.clockError()
	rec.Sockets = make([]recording.Socket, len(r.sockets))
	for i, s := range r.sockets {
		rec.Sockets[i] = s.Socket
	}
	if r.dropped > 0 {
		rec.Unseen = append(rec.Unseen, fmt.Sprintf("Only the first %d calls were kept; %d came after them.",
			len(rec.Calls), r.dropped))
	}
	return rec
}
