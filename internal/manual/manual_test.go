package manual

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestCommand(t *testing.T) {
	wrong := errors.New("wrong usage")
	tree := func() *cobra.Command {
		root := &cobra.Command{Use: "tool", SilenceErrors: true, SilenceUsage: true}
		root.AddCommand(&cobra.Command{Use: "cut", Short: "Cut it", Run: func(*cobra.Command, []string) {}})
		root.AddCommand(Command(func(err error) error { return errors.Join(wrong, err) }))
		return root
	}
	dir := filepath.Join(t.TempDir(), "new")
	root := tree()
	root.SetArgs([]string{"man", dir})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "tool-cut.1"))
	if err != nil || !strings.Contains(string(page), "Cut it") {
		t.Errorf("%v: %s", err, page)
	}
	root = tree()
	root.SetArgs([]string{"man"})
	if err := root.Execute(); !errors.Is(err, wrong) {
		t.Error(err)
	}
}
