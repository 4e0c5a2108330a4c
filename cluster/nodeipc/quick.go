package nodeipc

import (
	"bytes"
	"strconv"

	"onconn/sock"
)

// The three messages that there are for each connection, as Node writes them. To
// have encoding/json look at them costs more than all else that is done with one.
var (
	quickACK     = []byte(`{"cmd":"NODE_HANDLE_ACK"}`)
	quickAnswer  = []byte(`{"cmd":"NODE_CLUSTER","ack":`)
	quickYes     = []byte(`,"accepted":true,"seq":`)
	quickNewConn = []byte(`{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","act":"newconn","key":"`)
	quickSeq     = []byte(`","seq":`)
)

// quick reads one of them. What it doesn't know is for parse.
func quick(text []byte) (m Message, enveloped, ok bool) {
	m.FD = sock.None
	if bytes.Equal(text, quickACK) {
		m.Act = HandleACK
		return m, false, true
	}
	if rest, is := bytes.CutPrefix(text, quickAnswer); is {
		ack, seq, found := bytes.Cut(rest, quickYes)
		m.Act, m.Accepted = Reply, true
		return m, false, found && number(ack, &m.Ack) && number(bytes.TrimSuffix(seq, []byte("}")), &m.Seq) && len(seq) > 1 && seq[len(seq)-1] == '}'
	}
	if rest, is := bytes.CutPrefix(text, quickNewConn); is {
		name, seq, found := bytes.Cut(rest, quickSeq)
		end := []byte("}}")
		m.Act, m.Key, m.Enveloped, m.Type = NewConn, string(name), true, "net.Native"
		return m, true, found && isPlain(m.Key) && bytes.HasSuffix(seq, end) && number(seq[:len(seq)-len(end)], &m.Seq)
	}
	return m, false, false
}

// number reads a number as JSON has it: without a sign, and no zero before others.
func number(p []byte, n *uint64) bool {
	if len(p) == 0 || p[0] < '0' || p[0] > '9' || p[0] == '0' && len(p) > 1 {
		return false
	}
	v, err := strconv.ParseUint(string(p), 10, 64)
	*n = v
	return err == nil
}

// appendAnswer is an answer to newconn as it is written, without its end.
func appendAnswer(out []byte, newconn uint64, accepted bool, seq uint64) []byte {
	out = strconv.AppendUint(append(out, quickAnswer...), newconn, 10)
	out = strconv.AppendBool(append(out, `,"accepted":`...), accepted)
	out = strconv.AppendUint(append(out, `,"seq":`...), seq, 10)
	return append(out, '}')
}

// appendNewConn is the envelope of a connection as it is written, without its end.
// The key has nothing that JSON escapes.
func appendNewConn(out []byte, key string, seq uint64) []byte {
	out = append(append(out, quickNewConn...), key...)
	out = strconv.AppendUint(append(out, quickSeq...), seq, 10)
	return append(out, "}}"...)
}
