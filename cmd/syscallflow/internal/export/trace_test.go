package export

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"onconn/cmd/syscallflow/internal/recording/recordingtest"
)

func TestChromeTrace(t *testing.T) {
	r := recordingtest.Load(t, "made/node-rr")
	var b bytes.Buffer
	if err := ChromeTrace(&b, r); err != nil {
		t.Fatal(err)
	}
	var got struct{ TraceEvents []traceEvent }
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	phases := map[string]int{}
	flow := []int{} // the processes through which the first connection goes
	for _, e := range got.TraceEvents {
		phases[e.Phase]++
		if e.Cat == "socket" && e.ID == "100" && (len(flow) == 0 || flow[len(flow)-1] != e.PID) {
			flow = append(flow, e.PID)
		}
		if e.Phase == "X" && (e.Took == nil || *e.Took < 0) {
			t.Errorf("%s has no length", e.Name)
		}
	}
	if phases["X"] != len(r.Calls) || phases["i"] != len(r.Packets) || phases["C"] != len(r.Depths) {
		t.Errorf("%v for %d calls, %d packets and %d depths", phases, len(r.Calls), len(r.Packets), len(r.Depths))
	}
	if phases["s"] == 0 || phases["s"] != phases["f"] {
		t.Errorf("%d flows begin and %d end", phases["s"], phases["f"])
	}
	// The primary closes its copy after the worker has received the other.
	if !slices.Equal(flow, []int{26657, 26664, 26657, 26664}) {
		t.Errorf("the connection goes through %v", flow)
	}
}
