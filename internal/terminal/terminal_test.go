package terminal

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

// pty opens a terminal of a width, and its other end.
func pty(t *testing.T, columns uint16) (master, tty *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo terminals:", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo terminals:", err)
	}
	t.Cleanup(func() { tty.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	return master, tty
}

func TestForWriter(t *testing.T) {
	testleak.FDs(t)
	_, tty := pty(t, 100)
	tests := []struct {
		name   string
		env    map[string]string
		colour string
		ascii  bool
		tty    bool
		want   Style
	}{
		{"pipe", map[string]string{"LANG": "C.UTF-8"}, "auto", false, false, Style{false, false, 80}},
		{"terminal", map[string]string{"LANG": "C.UTF-8"}, "auto", false, true, Style{true, false, 100}},
		{"dumb", map[string]string{"TERM": "dumb"}, "auto", false, true, Style{false, true, 100}},
		{"NO_COLOR", map[string]string{"NO_COLOR": "1", "FORCE_COLOR": "1"}, "auto", false, true, Style{false, true, 100}},
		{"always beats NO_COLOR", map[string]string{"NO_COLOR": "1"}, "always", false, false, Style{true, true, 80}},
		{"never beats FORCE_COLOR", map[string]string{"FORCE_COLOR": "1"}, "never", false, true, Style{false, true, 100}},
		{"FORCE_COLOR", map[string]string{"FORCE_COLOR": "1"}, "auto", false, false, Style{true, true, 80}},
		{"CLICOLOR_FORCE=0", map[string]string{"CLICOLOR_FORCE": "0"}, "auto", false, false, Style{false, true, 80}},
		{"--ascii", map[string]string{"LC_ALL": "de_DE.utf8"}, "auto", true, false, Style{false, true, 80}},
		{"LC_ALL before LANG", map[string]string{"LC_ALL": "POSIX", "LANG": "C.UTF-8"}, "auto", false, false, Style{false, true, 80}},
		{"LC_CTYPE before LANG", map[string]string{"LC_CTYPE": "de_DE.utf8", "LANG": "C"}, "auto", false, false, Style{false, false, 80}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, name := range []string{"NO_COLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "LC_ALL", "LC_CTYPE", "LANG"} {
				t.Setenv(name, "")
			}
			t.Setenv("TERM", "xterm")
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			var s Style
			var err error
			if tt.tty {
				s, err = ForWriter(tty, tt.colour, tt.ascii)
			} else {
				s, err = ForWriter(new(bytes.Buffer), tt.colour, tt.ascii)
			}
			if err != nil || s != tt.want {
				t.Errorf("%+v, %v; want %+v", s, err, tt.want)
			}
		})
	}
	if _, err := ForWriter(os.Stderr, "blue", false); err == nil {
		t.Error("--color=blue is no error")
	}
}

func TestDraw(t *testing.T) {
	plain, ascii := Style{}, Style{ASCII: true}
	for _, tt := range []struct{ got, want string }{
		{plain.Bar(0, 4), "    "},
		{plain.Bar(1, 4), "████"},
		{plain.Bar(2, 4), "████"},
		{plain.Bar(0.5625, 8), "████▌   "},
		{plain.Bar(0.00001, 2), "▏ "},
		{plain.Bar(0.5, 0), ""},
		{ascii.Bar(0.5, 4), "##.."},
		{plain.Spark([]float64{0, 1, 4, 8, 9}, 8), "▁▂▅██"},
		{plain.Spark([]float64{0, 0}, 0), "▁▁"},
		{plain.Spark([]float64{0.01, 100}, 0), "▂█"},
		{ascii.Spark([]float64{0, 1, 4, 8}, 8), " .=#"},
		{plain.Mark(OK) + plain.Mark(Warning) + plain.Mark(Critical) + plain.Mark(Unknown), "✓!✗?"},
		{ascii.Mark(OK) + ascii.Mark(Warning) + ascii.Mark(Critical) + ascii.Mark(Unknown), "ok!x?"},
		{Style{Colour: true}.Bad("x"), "\x1b[1;31mx\x1b[0m"},
		{plain.Bad("x"), "x"},
		{Clean("a\x1b[2Jb\n\xff é"), "a?[2Jb?? é"},
		{plain.Cut("abcdef", 4), "abc…"},
		{ascii.Cut("abcdef", 4), "abc~"},
		{plain.Cut("日本語", 5), "日本…"},
		{plain.Cut("abcd", 4), "abcd"},
		{Pad("ab", 4), "ab  "},
		{Pad("ab", -4), "  ab"},
		{Pad("abc", 2), "abc"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

func TestProgress(t *testing.T) {
	testleak.FDs(t)
	t.Setenv("LC_ALL", "C")
	master, tty := pty(t, 30)
	p := NewProgress(tty)
	p.Set(0.5, "looking at everything")
	p.Set(-1, "nearly")
	p.Done()
	p.Done() // writes nothing more
	tty.WriteString("end\n")
	want := "\r[##########..........] looki~\x1b[K\rnearly\x1b[K\r\x1b[Kend\r\n"
	got, err := bufio.NewReader(master).ReadString('\n')
	if err != nil || got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var b bytes.Buffer
	silent := NewProgress(&b)
	silent.Set(0.5, "x")
	silent.Done()
	if b.Len() > 0 {
		t.Errorf("on no terminal it wrote %q", b.String())
	}
}
