package draw

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"onconn/cmd/syscallflow/internal/recording/recordingtest"
	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/testleak"
)

// chromium runs it without a window, and returns what it prints.
func chromium(t *testing.T, args ...string) []byte {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, path, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
		"--disable-background-networking", "--no-first-run", "--user-data-dir=" + dir}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	return out
}

// probe is put into the page instead of its policy: it presses keys, and measures
// every text as the browser has drawn it.
const probe = `<script>addEventListener("load", () => {
  const press = key => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const now = () => document.querySelector(".step.now").id;
  const seen = { first: now() };
  press("ArrowRight"); press("ArrowRight"); seen.third = now();
  press("ArrowLeft"); seen.second = now();
  press("End"); seen.last = now();
  seen.what = document.getElementById("what").textContent;
  seen.raw = document.getElementById("raw").textContent;
  press("Home"); seen.home = now();
  const view = document.getElementById("flow").viewBox.baseVal;
  seen.cut = []; seen.over = [];
  const texts = [...document.querySelectorAll("#flow text")];
  const boxes = texts.map(e => e.getBBox());
  boxes.forEach((b, i) => {
    if (b.width && (b.x < 0 || b.y < 0 || b.x + b.width > view.width + 1 || b.y + b.height > view.height + 1)) seen.cut.push(texts[i].textContent);
    for (let j = 0; j < i; j++) {
      const c = boxes[j];
      const wide = Math.min(b.x + b.width, c.x + c.width) - Math.max(b.x, c.x), high = Math.min(b.y + b.height, c.y + c.height) - Math.max(b.y, c.y);
      if (wide > 1 && high > 3) seen.over.push(texts[j].textContent + " / " + texts[i].textContent);
    }
  });
  const out = document.createElement("pre"); out.id = "probe"; out.textContent = JSON.stringify(seen); document.body.append(out);
});</script>`

func TestBrowser(t *testing.T) {
	testleak.Zombies(t)
	dir := t.TempDir()
	shots := os.Getenv("SYSCALLFLOW_SHOTS") // a directory, to look at them
	for name, r := range recordingtest.All(t) {
		// A browser takes seconds to start: one with packets, one with errors, and
		// all of them for who wants to look.
		if name != "node-rr" && name != "in-use" && shots == "" {
			continue
		}
		s := story.Tell(r, story.Options{})
		page := html(t, s)
		plain, probed := filepath.Join(dir, name+".html"), filepath.Join(dir, name+".probe.html")
		policy := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>`)
		if !policy.MatchString(page) {
			t.Fatal("no policy")
		}
		for file, text := range map[string]string{plain: page, probed: policy.ReplaceAllLiteralString(page, probe)} {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		dom := string(chromium(t, "--dump-dom", "file://"+probed))
		_, rest, _ := strings.Cut(dom, `id="probe">`)
		data, _, _ := strings.Cut(rest, "</pre>")
		var seen struct {
			First, Second, Third, Last, Home, What, Raw string
			Cut, Over                                   []string
		}
		if err := json.Unmarshal([]byte(unescape(data)), &seen); err != nil {
			t.Fatalf("%s: %v in %q", name, err, data)
		}
		last := len(s.Steps)
		if seen.First != "s1" || seen.Third != fmt.Sprintf("s%d", min(3, last)) || seen.Second != "s2" || seen.Home != "s1" || seen.Last != fmt.Sprintf("s%d", last) {
			t.Errorf("%s: keys lead to %+v", name, seen)
		}
		if step := s.Steps[last-1]; !strings.Contains(seen.What, step.Label) || len(step.Raw) > 0 && !strings.Contains(seen.Raw, step.Raw[0]) {
			t.Errorf("%s: the details of %q are %q, %q", name, step.Label, seen.What, seen.Raw)
		}
		if len(seen.Cut) > 0 || len(seen.Over) > 0 {
			t.Errorf("%s: cut: %q, one over the other: %q", name, seen.Cut, seen.Over)
		}
		if name != "node-rr" && shots == "" {
			continue
		}
		// With its policy in force the script still runs.
		if dom := string(chromium(t, "--dump-dom", "file://"+plain)); !strings.Contains(dom, " now\" id=\"s1\"") {
			t.Errorf("%s: no step is chosen: the policy forbids the script", name)
		}
		image := filepath.Join(dir, name+".png")
		chromium(t, "--window-size=1400,1500", "--screenshot="+image, "file://"+plain)
		if shots != "" {
			keep(t, image, shots)
		}
		f, err := os.Open(image)
		if err != nil {
			t.Fatal(err)
		}
		config, err := png.DecodeConfig(f)
		f.Close()
		if err != nil || config.Width != 1400 {
			t.Errorf("%s: screenshot: %+v, %v", name, config, err)
		}
		pdf := filepath.Join(dir, name+".pdf")
		chromium(t, "--no-pdf-header-footer", "--print-to-pdf="+pdf, "file://"+plain)
		b, err := os.ReadFile(pdf)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`/Count (\d+)`).FindSubmatch(b); m == nil || string(m[1]) != "1" {
			t.Errorf("%s: printed on %s pages", name, m)
		}
	}
}

func keep(t *testing.T, file, dir string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func unescape(text string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text)
}
