package draw

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/recording/recordingtest"
	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/terminal"
)

func html(t testing.TB, s *story.Story) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// hostile is what programs may say of themselves.
const hostile = "</script></title></svg><script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{.}}\x1b[2J\u202e\n;#%"

// attack is a recording in which everything that a program chooses is hostile.
func attack() *recording.Recording {
	server := netip.MustParseAddrPort("127.0.0.1:80")
	client := netip.MustParseAddrPort("127.0.0.1:5000")
	return &recording.Recording{
		Schema: recording.Schema, Command: []string{hostile}, Kernel: hostile, Machine: hostile, Clock: 1000, Took: 1e9,
		Processes: []recording.Process{{PID: 7, Name: hostile, Args: []string{hostile}, End: 5e8, Status: hostile}},
		Sockets: []recording.Socket{
			{ID: 1, Family: "AF_UNIX", Type: "SOCK_STREAM", Local: "/" + hostile, Listens: true, Backlog: 5},
			{ID: 2, Family: "AF_INET", Type: "SOCK_STREAM", Local: "127.0.0.1:80", Listens: true, Backlog: 5},
			{ID: 3, Family: hostile, Local: hostile, Peer: "127.0.0.1:5000", From: 2},
		},
		Calls: []recording.Call{
			{PID: 7, Name: "bind", Begin: 1, End: 2, Address: hostile, FD: &recording.FD{Number: 3, Socket: 1}, Errno: hostile},
			{PID: 7, Name: "listen", Begin: 3, End: 4, FD: &recording.FD{Number: 3, Socket: 1}, Args: []recording.Arg{{Name: hostile, Text: hostile}, {Name: "backlog", Text: hostile}}},
			{PID: 7, Name: "accept", Begin: 5, End: 6, FD: &recording.FD{Number: 4, Socket: 2}, New: &recording.FD{Number: 5, Socket: 3}},
			{PID: 7, Name: "write", Begin: 7, End: 8, Return: 9, FD: &recording.FD{Number: 5, Socket: 3, Name: hostile}, Data: []byte("HTTP/1.1 " + hostile), Size: 99},
			{PID: 7, Name: hostile, Begin: 9, End: 10, FD: &recording.FD{Number: 5, Socket: 3}, Args: []recording.Arg{{Text: hostile}}},
		},
		Packets:  []recording.Packet{{Time: 5, From: client, To: server, Flags: hostile + "S", Size: 3, Raw: []byte(hostile)}},
		Requests: []recording.Request{{From: client, To: server, Text: hostile, Err: hostile}},
		Unseen:   []string{hostile},
	}
}

func TestHostile(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		s := story.Tell(attack(), story.Options{Verbose: verbose})
		page := html(t, s)
		if n := strings.Count(page, "<script"); n != 2 {
			t.Errorf("%d scripts in the page", n)
		}
		for _, bad := range []string{"<img", "<script>alert", "\x1b", "\u202e"} {
			if strings.Contains(page, bad) {
				t.Errorf("the page has %q", bad)
			}
		}
		for _, style := range []terminal.Style{{Width: 80}, {Width: 80, ASCII: true}} {
			if got := text(t, s, style); strings.ContainsAny(got, "\x1b\u202e") {
				t.Errorf("the text can steer a terminal: %q", got)
			}
		}
		var b bytes.Buffer
		if err := Mermaid(&b, s); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			codes := regexp.MustCompile(`#\d+;`).ReplaceAllString(strings.ReplaceAll(line, "<br/>", ""), "")
			if strings.ContainsAny(strings.NewReplacer("->>", "", "-->>", "", "-x", "", "-)", "").Replace(codes), ";<>%") {
				t.Errorf("Mermaid would misread %q", line)
			}
		}
	}
}

// TestPage finds what the page says to who can't run it: the policy, the steps
// as JSON, and that nothing comes from elsewhere.
func TestPage(t *testing.T) {
	for name, r := range recordingtest.All(t) {
		s := story.Tell(r, story.Options{})
		page := html(t, s)
		if m := regexp.MustCompile(`(src|@import|url\()`).FindString(page[:strings.Index(page, "<body>")]); strings.Contains(page, " src=") || m == "url(" {
			t.Errorf("%s: the page loads something", name)
		}
		if !strings.Contains(page, "default-src 'none'") && !strings.Contains(page, "default-src &#39;none&#39;") {
			t.Errorf("%s: no policy", name)
		}
		_, rest, _ := strings.Cut(page, `id="steps">`)
		data, _, _ := strings.Cut(rest, "</script>")
		var details []detail
		if err := json.Unmarshal([]byte(data), &details); err != nil || len(details) != len(s.Steps) {
			t.Errorf("%s: %d details for %d steps: %v", name, len(details), len(s.Steps), err)
		}
		if n := strings.Count(page, `<g class="step`); n != len(s.Steps) {
			t.Errorf("%s: %d steps drawn of %d", name, n, len(s.Steps))
		}
	}
}

// TestFigure checks that no label is cut or lies over another one.
func TestFigure(t *testing.T) {
	for name, r := range recordingtest.All(t) {
		for _, verbose := range []bool{false, true} {
			s := story.Tell(r, story.Options{Verbose: verbose})
			f := draft(s)
			for i := 1; i < len(f.Lanes); i++ {
				a, b := f.Lanes[i-1], f.Lanes[i]
				if room := b.X - a.X; room < (width(a.Name)+width(b.Name))/2 || room < (width(a.Detail)+width(b.Detail))/2 {
					t.Errorf("%s: the heads of %s and %s overlap", name, a.Name, b.Name)
				}
			}
			for _, g := range f.Steps {
				label := width(strings.TrimSpace(g.Label + " " + g.Letter))
				left, right := g.LabelX, g.LabelX+label
				if g.Middle {
					left, right = left-label/2, right-label/2
				}
				if left < 78 || right > f.Width {
					t.Errorf("%s: step %d: %q is cut", name, g.N, g.Label)
				}
				if g.Line && label > max(g.X1, g.X2)-min(g.X1, g.X2) {
					t.Errorf("%s: step %d: %q is longer than its arrow", name, g.N, g.Label)
				}
				if g.Local && right > g.ResultX {
					t.Errorf("%s: step %d: %q lies over %q", name, g.N, g.Label, g.Result)
				}
				if end := g.ResultX + width(g.Result+" "+g.Note); !g.Rest && end > f.Width {
					t.Errorf("%s: step %d: %q is cut", name, g.N, g.Result)
				}
			}
		}
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	for name, r := range recordingtest.All(t) {
		page := html(t, story.Tell(r, story.Options{}))
		from, to := strings.Index(page, "<svg"), strings.Index(page, "</svg>")
		d := xml.NewDecoder(strings.NewReader(page[from : to+len("</svg>")]))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
	}
}

func TestMermaid(t *testing.T) {
	var b bytes.Buffer
	if err := Mermaid(&b, story.Tell(recordingtest.Load(t, "made/node-rr"), story.Options{})); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for _, want := range []string{
		"sequenceDiagram",
		"    participant L3 as node worker<br/>26664",
		"    L2-)L3: SCM_RIGHTS 22 ●D = 14",
		"    L0->>L1: SYN ●D",
		"    Note over L0,L4: 2.0 s idle: epoll_wait",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, b.String())
		}
	}
	if got := mermaid("the end; bend #1"); got != "the e#110;d#59; bend #35;1" {
		t.Errorf("%q", got)
	}
}
