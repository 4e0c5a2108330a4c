package survey

import (
	"encoding/json"
	"testing"
	"time"

	"onconn/internal/netns"
	"onconn/internal/testleak"
)

// What one reading can't tell is null, with a reason, and not 0.
func TestOnceJSON(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	listen(t, n, "127.0.0.1:8080", 5, false)
	r := look(t, open(t, n, Options{Once: true}), 0)
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Namespaces []map[string]any
		Listeners  []map[string]any
		Why        map[string]string `json:"unknown_why"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	row := v.Listeners[0]
	for _, field := range []string{"peak", "full_ns", "times_full", "longest_stall_ns", "drops_delta", "arrivals_per_second", "clients_hurt"} {
		if value, there := row[field]; !there || value != nil || v.Why[field] == "" {
			t.Errorf("%s is %v, because %q", field, value, v.Why[field])
		}
	}
	if row["drops"] != 0.0 || row["limit"] != 5.0 || v.Namespaces[0]["counters_delta"] != nil {
		t.Errorf("%v %v", row, v.Namespaces[0]["counters_delta"])
	}
}

// A look of a second has rates, whenever in a second of the clock it begins.
func TestRatesOfASecond(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	listen(t, n, "127.0.0.1:8080", 5, false)
	now := time.Now()
	<-time.After(now.Truncate(time.Second).Add(1950 * time.Millisecond).Sub(now)) // when a count is skipped
	r := look(t, open(t, n, Options{}), time.Second)
	if r.Listeners[0].Arrivals == nil || r.Sampled > 5*time.Second {
		t.Errorf("%+v, %v", r.Listeners[0], r.UnknownWhy)
	}
}
