package chaos

import "time"

// A Kind is a kind of event.
type Kind string

// What the script does.
const (
	Kill           Kind = "kill"            // SIGKILL to one worker
	KillAll        Kind = "kill all"        // to all
	Crash          Kind = "crash"           // a worker panics with a request in hand
	Exit           Kind = "out of memory"   // a worker is gone in the middle of a request
	Stop           Kind = "stop"            // SIGSTOP, and SIGCONT after a while
	Stall          Kind = "stall"           // a worker accepts nothing for a while
	Squeeze        Kind = "squeeze"         // a worker has no descriptors for a while
	SqueezePrimary Kind = "squeeze primary" // the primary has none
	Reload         Kind = "reload"
	Scale          Kind = "scale"
	Upgrade        Kind = "upgrade"
)

// weights are how often each kind comes, of 100.
var weights = []struct {
	kind   Kind
	weight int
}{
	{Kill, 20}, {KillAll, 3}, {Crash, 9}, {Exit, 7}, {Stop, 14}, {Stall, 12}, {Squeeze, 9},
	{SqueezePrimary, 5}, {Reload, 9}, {Scale, 8}, {Upgrade, 4},
}

// A step is an event of the script. Which worker it means depends on who is
// there by then.
type step struct {
	Kind Kind
	Gap  int           // connections since the step before
	Pick int           // the worker
	For  time.Duration // how long it lasts
	N    int           // of what it sets: a limit, a number of workers
}

// A script is an endless sequence of steps, the same for the same seed.
type script struct {
	numbers numbers
	workers int
}

func newScript(seed uint64, workers int) *script {
	return &script{numbers: numbers(seed ^ 0x736372697074), workers: workers}
}

// meanGap is how many connections there are between two steps on average, if
// none has to wait.
const meanGap = 900

func (s *script) next() step {
	e := step{Gap: 1 + s.numbers.below(2*meanGap), Pick: s.numbers.below(1 << 16)}
	at := s.numbers.below(100)
	for _, w := range weights {
		if at -= w.weight; at < 0 {
			e.Kind = w.kind
			break
		}
	}
	e.For = time.Duration(10+s.numbers.below(190)) * time.Millisecond
	if s.numbers.below(20) == 0 {
		e.For += time.Duration(s.numbers.below(1500)) * time.Millisecond
	}
	switch e.Kind {
	case Squeeze:
		e.N = 8 + s.numbers.below(60)
	case SqueezePrimary:
		// Not for long: after a second without descriptors the primary gives
		// some clients up, so that the others can see that it lives.
		e.N, e.For = 8+s.numbers.below(60), min(e.For, 500*time.Millisecond)
	case Scale:
		e.N = 2 + s.numbers.below(s.workers+1)
	}
	return e
}
