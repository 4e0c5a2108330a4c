package recording

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestWriteAndRead(t *testing.T) {
	r := &Recording{
		Command:   []string{"a", "b"},
		Processes: []Process{{PID: 7, Name: "a"}},
		Sockets:   []Socket{{ID: 1, Listens: true, Local: "127.0.0.1:80"}, {ID: 2, From: 1}},
		Calls:     []Call{{PID: 7, Name: "accept", FD: &FD{Number: 3, Socket: 1}, New: &FD{Number: 4, Socket: 2}, Args: []Arg{{"sockfd", "3"}}}},
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&b)
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v; want %+v", got, err, r)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, tt := range []struct{ json, why string }{
		{`[]`, "no recording"},
		{`{"schema":"other/1"}`, "schema"},
		{`{"schema":"syscallflow/1","sockets":[{"id":1},{"id":1}]}`, "two sockets"},
		{`{"schema":"syscallflow/1","sockets":[{"id":0}]}`, "begin at 1"},
		{`{"schema":"syscallflow/1","sockets":[{"id":1,"from":2}]}`, "no socket 2"},
		{`{"schema":"syscallflow/1","sockets":[{"id":1,"pair":1}]}`, "itself"},
		{`{"schema":"syscallflow/1","processes":[{"pid":-1}]}`, "PID"},
		{`{"schema":"syscallflow/1","calls":[{"pid":3}]}`, "process 3"},
		{`{"schema":"syscallflow/1","processes":[{"pid":3}],"calls":[{"pid":3,"passed":[{"socket":9}]}]}`, "no socket 9"},
		{`{"schema":"syscallflow/1","processes":[{"pid":3}],"calls":[{"pid":3,"size":-1}]}`, "impossible"},
		{`{"schema":"syscallflow/1","packets":[{"socket":9}]}`, "no socket 9"},
		{`{"schema":"syscallflow/1","depths":[{"socket":0,"queue":-1}]}`, "impossible"},
		{`{"schema":"syscallflow/1","clock_error_ns":-1}`, "clock"},
	} {
		if _, err := Read(strings.NewReader(tt.json)); err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: %v; want a word of %q", tt.json, err, tt.why)
		}
	}
}

// FuzzRead finds what makes reading panic, and what Check lets through that it
// would refuse a second time.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"schema":"syscallflow/1","processes":[{"pid":3}],"sockets":[{"id":1,"listens":true},{"id":2,"from":1}],"calls":[{"pid":3,"name":"accept","fd":{"number":3,"socket":1},"new":{"socket":2}}]}`))
	f.Add([]byte(`{"schema":"syscallflow/1","packets":[{"from":"127.0.0.1:1","to":"[::1]:2","raw":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := r.Write(&again); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&again); err != nil {
			t.Errorf("what was written isn't read: %v", err)
		}
	})
}
