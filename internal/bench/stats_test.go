package main

import "testing"

func TestSpread(t *testing.T) {
	if got, want := spread([]float64{4, 1, 3, 2, 5}), (Spread{2, 3, 4}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := spread([]float64{1, 2}), (Spread{1.25, 1.5, 1.75}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if got := spread(nil); got != (Spread{}) {
		t.Errorf("of nothing: %v", got)
	}
}

// TestRatios: they are within rounds, so that a slow round is slow for both.
func TestRatios(t *testing.T) {
	windows := []Window{
		window("ours", 0, 20), window("theirs", 0, 10),
		window("theirs", 1, 100), window("ours", 1, 300),
		window("ours", 2, 40), // without its pair
		window("theirs", 3, 1), window("ours", 3, 99),
	}
	windows[6].Done = few - 1
	if got, want := ratios(windows, "ours", "theirs", cpu), (Spread{2.25, 2.5, 2.75}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
