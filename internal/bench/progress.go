package main

import (
	"fmt"
	"os"
	"time"
)

// A pace tells from the steps that were taken how long the others will take.
type pace struct {
	begun     time.Time
	took, all int
}

// expect adds the steps of tables that are to be measured.
func (b *bench) expect(tables []Table, runs int) {
	for _, t := range tables {
		for _, name := range t.Servers {
			if b.missing[name] != nil {
				continue
			}
			b.pace.all += runs * b.roundsOf(t)
			if !t.Memory {
				b.pace.all += runs // to warm up
			}
		}
	}
}

// step says what is done next.
func (b *bench) step(format string, args ...any) {
	b.progress("%s%s", fmt.Sprintf(format, args...), b.pace.left(time.Now()))
}

func (p *pace) left(now time.Time) string {
	if p.took == 0 {
		p.begun = now
	}
	p.took++
	done := p.took - 1
	if done == 0 || done >= p.all {
		return ""
	}
	left := now.Sub(p.begun) * time.Duration(p.all-done) / time.Duration(done)
	return fmt.Sprintf(" (%v left)", left.Round(time.Second))
}

// progress writes over the line before.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
}
