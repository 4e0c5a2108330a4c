// Package lesson is a guided course: each lesson runs a server on this machine, shows
// what was recorded, and explains what was measured in that run. Where the machine
// behaves otherwise than the text, the lesson says so.
package lesson

import (
	"context"
	"fmt"
	"time"

	"onconn/cmd/syscallflow/internal/recording"
)

// Most is the number of the last lesson.
const Most = 9

// A Lesson is one of the course.
type Lesson struct {
	Title    string
	Question string
	// Try are commands to go on with.
	Try []string
	// Think is a question, and Answer what is to be said to it.
	Think, Answer string

	run func(ctx context.Context, r *Run) error
}

// All are the lessons: lesson N is All()[N-1].
func All() []Lesson {
	return []Lesson{accepting, queues, overflow, robin, shared, inherited, reuseports, reload, timeWait}
}

// A Run is what one run of a lesson has shown.
type Run struct {
	Number int
	Lesson
	Program   string   // that was looked at
	Steps     []string // what was done
	Facts     []Fact
	Texts     []Text // the explanation
	Myths     []Myth
	Recording *recording.Recording
}

// A Text is a paragraph that is true if the facts are as expected that it needs.
type Text struct {
	Text  string
	Needs []string
}

// A Myth is what is often said, and what was seen instead.
type Myth struct {
	Said, Seen string
	Needs      []string
}

// Do runs lesson n, from 1.
func Do(ctx context.Context, n int) (*Run, error) {
	if n < 1 || n > Most {
		return nil, fmt.Errorf("there is no lesson %d: they are 1 to %d", n, Most)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r := &Run{Number: n, Lesson: All()[n-1]}
	if err := r.run(ctx, r); err != nil {
		return nil, fmt.Errorf("lesson %d: %w", n, err)
	}
	return r, nil
}

func (r *Run) step(format string, values ...any) {
	r.Steps = append(r.Steps, fmt.Sprintf(format, values...))
}

// say adds a paragraph that needs these facts.
func (r *Run) say(text string, needs ...string) { r.Texts = append(r.Texts, Text{text, needs}) }

func (r *Run) myth(said, seen string, needs ...string) {
	r.Myths = append(r.Myths, Myth{said, seen, needs})
}
