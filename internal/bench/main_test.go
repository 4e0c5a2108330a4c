package main

import (
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"serve", "load", "hold"}, os.Args[1]) {
		main() // the harness starts itself
	}
	goleak.VerifyTestMain(m)
}
