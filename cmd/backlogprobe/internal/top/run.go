package top

import (
	"context"
	"errors"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
)

// A Source is where listeners are looked at: a [survey.Survey].
type Source interface {
	Look(ctx context.Context, d time.Duration) (*survey.Report, error)
	Reset()
}

// Options say how to show it.
type Options struct {
	Style  terminal.Style
	Filter string   // what Source was told to select, for the heading
	Input  *os.File // terminals both
	Output *os.File
}

// refresh is how long a look takes, and so the time between two screens.
const refresh = time.Second

// Run shows what s sees until the user quits, or ctx is done. A look that fails
// is shown and tried again.
func Run(ctx context.Context, s Source, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	profile := colorprofile.ASCII
	if o.Style.Colour {
		profile = colorprofile.ANSI
	}
	p := tea.NewProgram(newModel(o.Style, o.Filter, s.Reset), tea.WithContext(ctx),
		tea.WithInput(o.Input), tea.WithOutput(o.Output), tea.WithColorProfile(profile))
	done := make(chan struct{})
	go func() {
		defer close(done)
		look(ctx, s, p.Send)
	}()
	_, err := p.Run()
	cancel()
	<-done
	if errors.Is(err, tea.ErrInterrupted) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// look sends reports: one at once, and then each of the time since the last.
func look(ctx context.Context, s Source, send func(tea.Msg)) {
	for d := time.Duration(0); ctx.Err() == nil; d = refresh {
		report, err := s.Look(ctx, d)
		if ctx.Err() != nil {
			return
		}
		send(lookMsg{report, err})
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(refresh):
			}
		}
	}
}
