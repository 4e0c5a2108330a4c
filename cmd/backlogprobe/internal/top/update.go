package top

import (
	"strings"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"onconn/internal/terminal"
)

// Update is of tea.Model.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case lookMsg:
		m.err = msg.err
		switch {
		case msg.err != nil:
		case m.paused:
			m.held = msg.report
		default:
			m = m.show(msg.report)
		}
	case noteMsg:
		m.note = string(msg)
	case tea.PasteMsg:
		if m.typing {
			m.typed += terminal.Clean(msg.Content)
		}
	case tea.KeyPressMsg:
		if m.typing {
			return m.typeKey(msg)
		}
		return m.key(msg)
	}
	return m, nil
}

// key handles a key outside of the filter's line.
func (m model) key(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	m.note = ""
	name := k.String()
	switch name {
	case "q", "ctrl+c":
		return m, tea.Quit
	case "ctrl+z":
		return m, tea.Suspend
	case "h", "?":
		m.help = !m.help
		return m, nil
	}
	if m.help { // any other key leaves it, and does nothing more
		m.help = false
		return m, nil
	}
	switch name {
	case "space":
		return m.pause(), nil
	case "s":
		m.order = (m.order + 1) % orders
		return m.arrange(), nil
	case "d":
		m.dropsOnly = !m.dropsOnly
		return m.arrange(), nil
	case "/":
		m.typing, m.typed = true, m.filter.text
	case "enter":
		_, m.detail = m.row()
		m.chosen = m.chosen || m.detail
	case "esc":
		m.detail = false
		return m.arrange(), nil
	case "r":
		return m, resetPeaks(m.reset)
	case "w":
		return m, writeSnapshot(m.report)
	case "up", "k":
		return m.move(-1), nil
	case "down", "j":
		return m.move(1), nil
	case "pgup":
		return m.move(-m.page()), nil
	case "pgdown":
		return m.move(m.page()), nil
	case "home", "g":
		return m.move(-len(m.rows)), nil
	case "end", "G":
		return m.move(len(m.rows)), nil
	}
	return m, nil
}

// typeKey handles a key in the filter's line.
func (m model) typeKey(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	switch name := k.String(); name {
	case "ctrl+c":
		return m, tea.Quit
	case "enter":
		m.typing, m.filter = false, newFilter(m.typed)
		return m.arrange(), nil
	case "esc":
		m.typing = false
	case "ctrl+u":
		m.typed = ""
	case "backspace":
		_, last := utf8.DecodeLastRuneInString(m.typed)
		m.typed = strings.TrimSuffix(m.typed, m.typed[len(m.typed)-last:])
	default:
		m.typed += terminal.Clean(k.Text)
	}
	return m, nil
}

// pause holds the screen, or shows what came meanwhile.
func (m model) pause() model {
	m.paused = !m.paused
	if !m.paused && m.held != nil {
		m, m.held = m.show(m.held), nil
	}
	return m
}
