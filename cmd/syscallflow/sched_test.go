package main

import (
	"reflect"
	"strings"
	"testing"

	"onconn/internal/sched"
)

func TestSchedConfig(t *testing.T) {
	usual := schedOptions{workers: 4, runs: 1, scale: 1, clients: 2}
	c, err := usual.config()
	if err != nil || len(c.Cases) != 3 || c.Ways != nil || c.Seed == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	hermes := usual
	hermes.hermes, hermes.seed = []int{5, 1}, 7
	c, err = hermes.config()
	if err != nil || len(c.Cases) != 2 || c.Cases[0].Name != "cheap" || !reflect.DeepEqual(c.Ways, sched.HermesWays()) || c.Seed != 7 {
		t.Errorf("%+v, %v", c, err)
	}
	for want, spoil := range map[string]func(*schedOptions){
		"no way \"best\"": func(o *schedOptions) { o.ways = []string{"best"} },
		"--workers 1":     func(o *schedOptions) { o.workers = 1 },
		"--workers 33":    func(o *schedOptions) { o.workers = 33 },
		"--runs":          func(o *schedOptions) { o.runs = 0 },
		"--scale 0":       func(o *schedOptions) { o.scale = 0 },
		"--hermes 6":      func(o *schedOptions) { o.hermes = []int{6} },
	} {
		o := usual
		spoil(&o)
		if _, err := o.config(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
