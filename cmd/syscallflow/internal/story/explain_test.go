package story

import (
	"regexp"
	"strings"
	"testing"
)

// TestExplanations finds sentences that don't read as one.
func TestExplanations(t *testing.T) {
	page := regexp.MustCompile(`^[a-z0-9_]+\([2-8]\)$`)
	for s, e := range explanations {
		if e.text == "" || !strings.HasSuffix(e.text, ".") {
			t.Errorf("%s: %q is no sentence", s, e.text)
		}
		if e.man != "" && !page.MatchString(e.man) {
			t.Errorf("%s: %q is no page of the manual", s, e.man)
		}
	}
}
