package main

import (
	"time"

	"onconn/cmd/backlogprobe/internal/load"
	"onconn/cmd/backlogprobe/internal/survey"
)

// adviceJSON is an advice as JSON; null is unknown.
type adviceJSON struct {
	Schema      string        `json:"schema"`
	Local       string        `json:"local,omitempty"`
	Netns       string        `json:"netns,omitempty"`
	Watched     time.Duration `json:"watched_ns"`
	Sockets     int           `json:"sockets"` // the figures below are of each
	Limit       *int          `json:"limit"`
	Peak        *int          `json:"peak"`
	Arrivals    float64       `json:"arrivals_per_second"` // computed with
	Retries     bool          `json:"arrivals_include_retries"`
	Accepts     *float64      `json:"accepts_per_second"`
	AcceptsSeen *float64      `json:"accepts_per_second_at_least"`
	Stall       time.Duration `json:"longest_stall_ns"` // computed with
	Mean        float64       `json:"mean"`
	Margin      float64       `json:"margin"`
	Backlog     int           `json:"backlog"`
	Recommended *int          `json:"recommended"` // null: no backlog is enough
	Overloaded  bool          `json:"overloaded"`
	FillsIn     time.Duration `json:"fills_in_ns,omitempty"`
	Most        *int          `json:"most_for_promise"`
	Memory      int64         `json:"memory_bytes"`

	UnknownWhy map[string]string `json:"unknown_why,omitempty"`
}

func newAdviceJSON(l load.Load, a load.Advice, row *survey.Row) adviceJSON {
	j := adviceJSON{
		Schema: survey.Schema, Watched: l.Watched, Sockets: max(l.Sockets, 1),
		Arrivals: a.Load.Arrivals, Retries: a.Retries, Stall: a.Load.Stall,
		Mean: a.Mean, Margin: a.Margin, Backlog: a.Backlog, Overloaded: a.Overloaded,
		Memory: a.Memory, UnknownWhy: map[string]string{},
	}
	if row != nil {
		j.Local, j.Netns, j.Limit, j.Peak, j.AcceptsSeen = row.Local, row.Netns, &l.Limit, &l.Peak, &l.Seen
		j.FillsIn = a.FillsIn
	} else {
		j.FillsIn = a.Advice.FillsIn
		for _, name := range []string{"limit", "peak", "accepts_per_second_at_least"} {
			j.UnknownWhy[name] = "nothing was watched"
		}
	}
	if !a.Overloaded {
		j.FillsIn, j.Recommended = 0, &a.Recommended
	} else {
		j.UnknownWhy["recommended"] = "more arrive than are accepted: no backlog is enough"
	}
	if a.Load.Accepts > 0 {
		j.Accepts, j.Most = &a.Load.Accepts, &a.Most
	} else {
		j.UnknownWhy["accepts_per_second"] = "not given"
		if row != nil {
			j.UnknownWhy["accepts_per_second"] = whyNoAccepts(l)
		}
		j.UnknownWhy["most_for_promise"] = j.UnknownWhy["accepts_per_second"]
	}
	return j
}
