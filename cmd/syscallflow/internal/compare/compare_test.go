package compare

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"onconn/cmd/syscallflow/internal/recording/recordingtest"
	"onconn/internal/golden"
	"onconn/internal/terminal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProfile(t *testing.T) {
	p := Of(recordingtest.Load(t, "made/node-rr"))
	if p.Connections != 2 || p.Handed != 2 || p.Shared || p.Backlog != 511 || p.Listeners != 1 || p.Empty != 2 {
		t.Errorf("%+v", p)
	}
	for name, want := range map[string]Counts{
		"accept4": {4, 0}, "sendmsg": {2, 0}, "recvmsg": {0, 2}, "close": {2, 2}, "read": {0, 2}, "bind": {}, "epoll_wait": {},
	} {
		if got := p.Serving[name]; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if p.Setup["bind"] != 1 || p.Setup["listen"] != 1 {
		t.Errorf("%v", p.Setup)
	}
	shared := Of(recordingtest.Load(t, "made/shared"))
	if !shared.Shared || shared.Connections != 5 || shared.Empty != 15 || shared.Handed != 0 {
		t.Errorf("%+v", shared)
	}
	if none := Of(recordingtest.Load(t, "made/in-use")); none.Connections != 0 || none.Calls() != 0 {
		t.Errorf("%+v", none)
	}
}

func TestWrite(t *testing.T) {
	for _, pair := range [][2]string{{"node-rr", "shared"}, {"python", "in-use"}, {"python", "python"}} {
		a, b := recordingtest.Load(t, "made/"+pair[0]), recordingtest.Load(t, "made/"+pair[1])
		for _, style := range []terminal.Style{{Width: 80}, {Width: 80, ASCII: true}, {Width: 80, Colour: true}} {
			var out bytes.Buffer
			if err := Write(&out, a, b, style); err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(out.String(), "\n") {
				if n := terminal.Cells(line); n > style.Width {
					t.Errorf("%d cells: %s", n, line)
				}
				if i := strings.IndexFunc(line, func(r rune) bool { return r > 0x7e }); style.ASCII && i >= 0 {
					t.Errorf("not ASCII: %s", line)
				}
			}
			if style != (terminal.Style{Width: 80}) {
				continue
			}
			golden.Check(t, pair[0]+"+"+pair[1]+".txt", out.String())
		}
	}
}
