package top

import (
	"context"
	"os"
	"os/signal"
	"syscall"
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
// is shown and tried again. Source is used by one goroutine at a time.
func Run(ctx context.Context, s Source, o Options) error {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	profile := colorprofile.ASCII
	if o.Style.Colour {
		profile = colorprofile.ANSI
	}
	resets := make(chan struct{}, 1)
	reset := func() {
		select {
		case resets <- struct{}{}:
		default: // one is asked for already
		}
	}
	p := tea.NewProgram(newModel(o.Style, o.Filter, reset), tea.WithoutSignalHandler(),
		tea.WithInput(o.Input), tea.WithOutput(o.Output), tea.WithColorProfile(profile))
	defer context.AfterFunc(ctx, p.Quit)() // bubbletea's own ways leave goroutines behind
	done := make(chan struct{})
	go func() {
		defer close(done)
		look(ctx, s, resets, p.Send)
	}()
	_, err := p.Run()
	cancel()
	<-done
	return err
}

// look sends reports: one at once, and then each of the time since the last. It
// forgets peaks before a look if that was asked for.
func look(ctx context.Context, s Source, resets <-chan struct{}, send func(tea.Msg)) {
	for d := time.Duration(0); ctx.Err() == nil; d = refresh {
		select {
		case <-resets:
			s.Reset()
		default:
		}
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
