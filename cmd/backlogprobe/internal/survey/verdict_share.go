package survey

import (
	"fmt"
	"slices"
	"strings"

	"onconn/internal/words"
)

// fewest is how many connections it takes before shares mean something.
const fewest = 50

// fair is the Jain index below which a distribution is called uneven: four
// workers of which one does half of the work have 0.75.
const fair = 0.75

// Accepters are the owners that accept, the busiest first: not a parent that
// only keeps the socket for its workers.
func (r *Row) Accepters() []Owner {
	parents := map[int]bool{}
	for _, o := range r.Owners {
		parents[o.Parent] = true
	}
	var all []Owner
	for _, o := range r.Owners {
		if o.Share != nil && !(*o.Share == 0 && parents[o.PID]) {
			all = append(all, o)
		}
	}
	slices.SortStableFunc(all, func(a, b Owner) int {
		switch {
		case *a.Share > *b.Share:
			return -1
		case *a.Share < *b.Share:
			return 1
		}
		return a.PID - b.PID
	})
	return all
}

// Jain is the fairness index of Jain, Chiu and Hawe: 1 when all have the same
// share, 1/n when one has everything.
func Jain(all []Owner) float64 {
	sum, squares := 0.0, 0.0
	for _, o := range all {
		sum += *o.Share
		squares += *o.Share * *o.Share
	}
	if squares == 0 {
		return 1
	}
	return sum * sum / (float64(len(all)) * squares)
}

func (j *judgement) uneven(row *Row) {
	all := row.Accepters()
	if len(all) < 2 || Jain(all) >= fair {
		return
	}
	what := "of the connections that they hold"
	if all[0].How == "counted" {
		accepted := 0.0
		for _, o := range all {
			accepted += *o.Accepts * j.r.Sampled.Seconds()
		}
		if accepted < fewest {
			return
		}
		what = "of the accepts " + j.during()
	}
	least := all[len(all)-1]
	f := found(Warning, row, "uneven", fmt.Sprintf("%d processes share it: %s %s (Jain index %.2f); %s[%d] takes least.",
		len(all), percentages(all), what, Jain(all), least.Command, least.PID))
	if row.Members == nil {
		f.Lines = append(f.Lines, "At light load the wake order of epoll does that: with EPOLLEXCLUSIVE the worker that registered first gets all. It hurts when that one is busy. SO_REUSEPORT spreads them, or EPOLL_CTL_DEL and ADD after an accept.")
	} else {
		f.Lines = append(f.Lines, "The kernel chooses the socket by a hash of the addresses; a slow worker gets its share all the same.")
	}
	f.Try = []string{"backlogprobe top " + j.target(row)}
	j.add(f)
}

// percentages is "62/31/7/0 %".
func percentages(all []Owner) string {
	const most = 8
	var parts []string
	for i, o := range all {
		if i == most {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, strings.TrimSuffix(words.Percent(*o.Share), "%"))
	}
	return strings.Join(parts, "/") + " %"
}
