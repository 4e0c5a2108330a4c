package cluster

import (
	"encoding/json"
	"strings"
	"testing"

	"onconn/internal/testleak"
	"onconn/sock"
)

// A program's message looks on the channel as encoding/json would have written it,
// and comes out as it went in.
func TestUserMessage(t *testing.T) {
	testleak.FDs(t)
	for _, v := range []any{nil, 1, "}", `"data":{"op":"ping"}`, "<\u2028>", map[string]any{"op": "disconnect"}, []int{}, strings.Repeat("x", 60<<10)} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs, err := sock.Pair(sock.SeqPacket)
		if err != nil {
			t.Fatal(err)
		}
		c, err := newChannel(ours)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.sendUser(data); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, MaxMessage)
		n, err := theirs.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := json.Marshal(message{Op: opUser, Data: data}); string(p[:n]) != string(want) {
			t.Errorf("%.80s is sent as %.120s", data, p[:n])
		}
		m, err := parseMessage(p[:n])
		if got, e := m.said(); err != nil || e != nil || m.Op != opUser || string(got) != string(data) {
			t.Errorf("%.80s arrives as %s %.80s, %v, %v", data, m.Op, got, err, e)
		}
		c.close()
		theirs.Close()
	}
}

func TestUserMessageBad(t *testing.T) {
	for _, p := range []string{`{"op":"message","data":}`, `{"op":"message","data":1,"seq":2}`, `{"op":"message","data":{]}`} {
		m, err := parseMessage([]byte(p))
		if err == nil {
			_, err = m.said()
		}
		if err == nil {
			t.Errorf("%s is taken for a message", p)
		}
	}
}
