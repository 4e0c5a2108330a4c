package top

import (
	"encoding/json"
	"fmt"
	"os"

	tea "charm.land/bubbletea/v2"

	"onconn/cmd/backlogprobe/internal/survey"
)

func resetPeaks(reset func()) tea.Cmd {
	return func() tea.Msg {
		reset()
		return noteMsg("peaks, times full and stalls count from the next second on")
	}
}

// writeSnapshot writes the report into the current directory. It replaces
// nothing.
func writeSnapshot(r *survey.Report) tea.Cmd {
	return func() tea.Msg {
		if r == nil {
			return noteMsg("there is nothing to write yet")
		}
		name := "backlogprobe-" + r.Time.Format("20060102-150405") + ".json"
		if err := writeJSON(name, r); err != nil {
			return noteMsg(fmt.Sprintf("not written: %v", err))
		}
		dir, _ := os.Getwd()
		return noteMsg(fmt.Sprintf("written: %s in %s", name, dir))
	}
}

func writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
