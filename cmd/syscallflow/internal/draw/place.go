package draw

import "onconn/cmd/syscallflow/internal/story"

// Columns of the text drawing.
const (
	timeCells = 8  // of the time, before the first lane
	rightMin  = 12 // after the last lane, for what stays in it
	rightMax  = 24
	gapMin    = 9 // between two lanes
	gapWanted = 13
	gapMax    = 34
)

// fits is how many lanes a width has room for.
func fits(width int) int {
	return max((width-timeCells-1-rightMin)/gapWanted+1, 2)
}

// place distributes the lanes over the width: what is said between two of them,
// or in the last one, gets the room that it wants while there is some.
func (d *drawing) place() {
	n := len(d.Lanes)
	d.x = make([]int, n)
	if n == 0 {
		return
	}
	want := make([]int, n) // gaps, and the margin
	for i := range want {
		want[i] = gapMin
		if i < n-1 {
			want[i] = max(gapMin, min(len([]rune(d.Lanes[i].Name)), gapWanted)+1)
		}
	}
	want[n-1] = rightMin
	for i := range d.Steps {
		s := &d.Steps[i]
		left, right := min(s.From, s.To), max(s.From, s.To)
		name, outcome := d.name(s).cells(), d.outcome(s).cells()
		switch {
		case s.Kind == story.Rest:
		case right == left:
			want[n-1] = max(want[n-1], min(name+outcome+4, rightMax)*btoi(left == n-1))
		default:
			if right == left+1 {
				want[left] = max(want[left], min(name+6, gapMax))
			}
			want[n-1] = max(want[n-1], min(outcome+3, rightMax)*btoi(right == n-1))
		}
	}
	least := make([]int, n)
	for i := range least {
		least[i] = gapMin
	}
	least[n-1] = rightMin
	room := d.style.Width - timeCells - 1
	for total(want) > room { // the greatest gives way
		most := -1
		for i := range want {
			if want[i] > least[i] && (most < 0 || want[i] > want[most]) {
				most = i
			}
		}
		if most < 0 {
			break
		}
		want[most]--
	}
	for n > 1 && total(want) < room {
		least := 0
		for i := range n - 1 {
			if want[i] < want[least] {
				least = i
			}
		}
		if want[least] >= gapMax {
			break
		}
		want[least]++
	}
	x := timeCells + 1
	for i := range d.x {
		d.x[i] = x
		x += want[i]
	}
}

func total(n []int) (sum int) {
	for _, v := range n {
		sum += v
	}
	return sum
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
