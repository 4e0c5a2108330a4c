package nodeipc

import (
	"reflect"
	"testing"
)

// What is read quickly is what parse makes of it, and what is no such message is
// left to it.
func FuzzQuick(f *testing.F) {
	for _, s := range []string{
		`{"cmd":"NODE_HANDLE_ACK"}`, `{"cmd":"NODE_CLUSTER","ack":12,"accepted":true,"seq":3}`,
		`{"cmd":"NODE_CLUSTER","ack":012,"accepted":true,"seq":3}`, `{"cmd":"NODE_CLUSTER","ack":1,"accepted":true,"seq":3}}`,
		string(appendNewConn(nil, "null:80:4:undefined:0", 7)), string(appendAnswer(nil, 1, false, 2)),
		`{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","act":"newconn","key":"a\"b","seq":1}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, _, ok := quick(text)
		if !ok {
			return
		}
		w, _, err := parseWire(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var want Message
		if w.Cmd == cmdHandle {
			want, err = unwrap(w, cutting{text: text})
		} else {
			want, err = w.message()
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %+v, not %+v, %v", text, got, want, err)
		}
	})
}
