package nodeipc

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// appendJSON writes what v8Reader has read.
func appendJSON(out []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errV8Deep
	}
	if len(out) > MaxMessage { // an object that is named often
		return nil, ErrTooLong
	}
	var err error
	switch v := v.(type) {
	case nil, undefined:
		return append(out, "null"...), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return append(out, "null"...), nil
		}
		if v == math.Trunc(v) && math.Abs(v) < 1e21 {
			return strconv.AppendFloat(out, v, 'f', -1, 64), nil
		}
		return strconv.AppendFloat(out, v, 'g', -1, 64), nil
	case string:
		if isPlain(v) {
			return append(append(append(out, '"'), v...), '"'), nil
		}
	case *list:
		out = append(out, '[')
		for i, e := range v.of {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendJSON(out, e, depth+1); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	case *object:
		out = append(out, '{')
		first := true
		for _, m := range v.members {
			if _, none := m.value.(undefined); none {
				continue
			}
			if !first {
				out = append(out, ',')
			}
			first = false
			if out, err = appendJSON(out, m.key, depth+1); err != nil {
				return nil, err
			}
			if out, err = appendJSON(append(out, ':'), m.value, depth+1); err != nil {
				return nil, err
			}
		}
		return append(out, '}'), nil
	}
	p, err := plainJSON(v)
	return append(out, p...), err
}

// isPlain reports whether JSON has nothing to escape in s.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// plainJSON is json.Marshal without the escapes for HTML, as JSON.stringify.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// jsonToV8 serializes the value that a JSON text stands for.
func jsonToV8(out, text []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	out, err := appendV8(append(out, v8Header, v8Version), d, 0)
	if err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("more than one value")
	}
	return out, nil
}

func appendV8(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errV8Deep
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case nil:
		return append(out, '0'), nil
	case bool:
		if t {
			return append(out, 'T'), nil
		}
		return append(out, 'F'), nil
	case json.Number:
		return appendNumber(out, t)
	case string:
		return appendString(out, t), nil
	case json.Delim:
		if t == '{' {
			return appendObject(out, d, depth)
		}
		return appendArray(out, d, depth)
	}
	return nil, fmt.Errorf("unexpected %v", t)
}

func appendNumber(out []byte, n json.Number) ([]byte, error) {
	if i, err := strconv.ParseInt(string(n), 10, 32); err == nil {
		return binary.AppendUvarint(append(out, 'I'), uint64(uint32(i<<1)^uint32(i>>31))), nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint64(append(out, 'N'), math.Float64bits(f)), nil
}

// appendString writes Latin-1 where it can, or else UTF-8, which V8 reads though
// it never writes it.
func appendString(out []byte, s string) []byte {
	latin := make([]byte, 0, len(s))
	for _, c := range s {
		if c > 0xff {
			out = binary.AppendUvarint(append(out, 'S'), uint64(len(s)))
			return append(out, s...)
		}
		latin = append(latin, byte(c))
	}
	out = binary.AppendUvarint(append(out, '"'), uint64(len(latin)))
	return append(out, latin...)
}

func appendObject(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	n := uint64(0)
	var err error
	for out = append(out, 'o'); d.More(); n++ {
		for range 2 { // the name, and the value
			if out, err = appendV8(out, d, depth+1); err != nil {
				return nil, err
			}
		}
	}
	_, err = d.Token()
	return binary.AppendUvarint(append(out, '{'), n), err
}

func appendArray(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	n := uint64(0)
	var values []byte
	var err error
	for ; d.More(); n++ {
		if values, err = appendV8(values, d, depth+1); err != nil {
			return nil, err
		}
	}
	out = binary.AppendUvarint(append(out, 'A'), n)
	out = append(append(out, values...), '$', 0)
	_, err = d.Token()
	return binary.AppendUvarint(out, n), err
}
