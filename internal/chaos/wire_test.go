package chaos

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Every byte of an answer counts.
func TestEveryByteIsVerified(t *testing.T) {
	request := make([]byte, headerSize+40)
	n := numbers(1)
	n.fill(request[headerSize:])
	h := header{magic: magicRequest, run: 7, client: 1, number: 99, index: 2, size: 40}
	h.put(request)
	answer := slices.Clone(request)
	h.magic, h.worker, h.flags = magicAnswer, 3, flagClosing
	h.put(answer)
	if got, err := checkAnswer(request, answer); err != nil || got != h {
		t.Fatalf("a right answer: %v, %v", got, err)
	}
	for i := range answer {
		bad := slices.Clone(answer)
		bad[i] ^= 1
		if _, err := checkAnswer(request, bad); err == nil {
			t.Errorf("byte %d may differ", i)
		}
	}
	// With a right sum, what it says must still be the answer to the request.
	for name, change := range map[string]func(*header){
		"run": func(h *header) { h.run++ }, "client": func(h *header) { h.client++ }, "number": func(h *header) { h.number++ },
		"index": func(h *header) { h.index++ }, "worker": func(h *header) { h.worker = 0 }, "magic": func(h *header) { h.magic = magicRequest },
	} {
		other := h
		change(&other)
		bad := slices.Clone(answer)
		other.put(bad)
		if _, err := checkAnswer(request, bad); err == nil {
			t.Errorf("the %s may differ", name)
		}
	}
	bad := slices.Clone(answer)
	bad[headerSize] ^= 1
	h.put(bad)
	if _, err := checkAnswer(request, bad); err == nil {
		t.Error("the payload may differ")
	}
}

func TestWhole(t *testing.T) {
	m := make([]byte, headerSize+5)
	header{magic: magicAnswer, size: 5}.put(m)
	for i := range headerSize {
		if n, err := whole(m[:i], magicAnswer); n != 0 || err != nil {
			t.Errorf("%d bytes: %d, %v", i, n, err)
		}
	}
	if n, err := whole(m, magicAnswer); n != len(m) || err != nil {
		t.Errorf("all: %d, %v", n, err)
	}
	if _, err := whole(m, magicRequest); err == nil {
		t.Error("an answer is taken for a request")
	}
	header{magic: magicAnswer, size: maxPayload + 1}.put(m)
	if _, err := whole(m, magicAnswer); err == nil {
		t.Error("a payload may be too long")
	}
}

// A quantile is what sorting says, but for an eighth.
func TestHistogram(t *testing.T) {
	var h, other histogram
	var all []time.Duration
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10000 {
		d := time.Duration(r.ExpFloat64() * float64(200*time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			h.add(d)
		} else {
			other.add(d)
		}
	}
	h.merge(&other)
	slices.Sort(all)
	for _, q := range []float64{0.5, 0.9, 0.99, 0.999, 1} {
		want := all[int(q*float64(len(all)-1))]
		if got := h.quantile(q); got < want || got > want+want/4 {
			t.Errorf("quantile %v is %v instead of %v", q, got, want)
		}
	}
	if h.Worst != all[len(all)-1] {
		t.Errorf("the worst is %v", h.Worst)
	}
	over := 0
	for _, d := range all {
		if d > time.Second {
			over++
		}
	}
	if h.Over1s != int64(over) {
		t.Errorf("%d above a second, not %d", h.Over1s, over)
	}
}
