package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func tree() *cobra.Command {
	root := &cobra.Command{Use: "tool"}
	root.AddCommand(
		&cobra.Command{Use: "cut", Short: "Cut it", Run: func(*cobra.Command, []string) {}},
		&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return errors.New("broken") }},
		&cobra.Command{Use: "found", RunE: func(*cobra.Command, []string) error { return ExitCode(2) }},
	)
	Complete(root)
	return root
}

func TestExecute(t *testing.T) {
	for args, want := range map[string]int{
		"cut": 0, "fail": Failure, "found": 2, "cut --no-such-flag": WrongUsage, "man": WrongUsage, "--version": 0,
	} {
		if code := Execute(tree(), strings.Fields(args)); code != want {
			t.Errorf("tool %s: exit code %d, want %d", args, code, want)
		}
	}
}

func TestMan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if code := Execute(tree(), []string{"man", dir}); code != 0 {
		t.Fatal(code)
	}
	page, err := os.ReadFile(filepath.Join(dir, "tool-cut.1"))
	if err != nil || !strings.Contains(string(page), "Cut it") {
		t.Errorf("%v: %s", err, page)
	}
}
