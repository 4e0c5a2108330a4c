package nodeipc

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"onconn/internal/testleak"
	"onconn/sock"
)

// What a program sends comes in its order, with one descriptor on its way at a time.
func TestHandles(t *testing.T) {
	testleak.FDs(t)
	for _, s := range []Serialization{JSON, Advanced} {
		a, b := channels(t, s)
		fd := aSocket(t)
		for i := range 3 {
			if err := a.QueueHandle(json.RawMessage(fmt.Sprint(i)), fd); err != nil {
				t.Fatal(err)
			}
			a.NextHandle()
			if err := a.Send(json.RawMessage(fmt.Sprintf(`"after %d"`, i))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			for try := range 3 { // twice it has no descriptors
				m := receive(t, b)
				if m.Act != User || !m.Enveloped || m.FD == sock.None || string(m.Data) != fmt.Sprint(i) || m.Type != "net.Socket" {
					t.Fatalf("%+v", m)
				}
				m.FD.Close()
				if sent, err := a.NextHandle(); sent || err != nil {
					t.Error("two are on their way", err)
				}
				b.Acknowledge(try == 2)
				m = receive(t, a)
				if err := a.HandleAnswered(m.Act == HandleACK); err != nil {
					t.Error(err)
				}
				a.NextHandle()
			}
			if m := receive(t, b); string(m.Data) != fmt.Sprintf(`"after %d"`, i) {
				t.Fatalf("%+v", m)
			}
		}
		if a.HandlesWait() {
			t.Error("something waits")
		}
		if err := a.Flush(); err != nil {
			t.Error(err)
		}
	}
}

// What the peer refuses 4 times is lost, and what comes after it is not.
func TestHandleLost(t *testing.T) {
	testleak.FDs(t)
	a, b := channels(t, JSON)
	a.QueueHandle(json.RawMessage("1"), aSocket(t))
	a.NextHandle()
	a.Send(json.RawMessage("2"))
	for try := 1; ; try++ {
		m := receive(t, b)
		if !m.Enveloped {
			if string(m.Data) != "2" || try != maxNACKs+1 {
				t.Errorf("%+v in try %d", m, try)
			}
			break
		}
		m.FD.Close()
		err := a.HandleAnswered(false)
		if errors.Is(err, ErrHandleLost) != (try == maxNACKs) {
			t.Errorf("try %d: %v", try, err)
		}
		a.NextHandle()
	}
	if err := a.HandleAnswered(true); err != nil { // never asked for: who counts them says so
		t.Error(err)
	}
}

// Descriptors that wait are closed with the channel, and none comes after that.
func TestHandlesClosed(t *testing.T) {
	testleak.FDs(t)
	a, _ := channels(t, JSON)
	fd := aSocket(t)
	for range 5 {
		if err := a.QueueHandle(json.RawMessage("1"), fd); err != nil {
			t.Fatal(err)
		}
		a.NextHandle()
	}
	a.Close()
	if err := a.QueueHandle(json.RawMessage("1"), fd); err == nil {
		t.Error("a closed channel takes a descriptor")
	}
	if err := a.QueueHandle(json.RawMessage(`{"cmd":"NODE_X"}`), fd); !errors.Is(err, errInternal) {
		t.Error(err)
	}
}
