package nodeipc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// The format of V8's ValueSerializer, src/objects/value-serializer.cc. Versions
// from 13 on (Node 16) differ in nothing that a message has.
const (
	v8Header  = 0xff
	v8Version = 13 // what is written: every Node since 16 reads it
	v8Newest  = 15 // what is read

	maxDepth = 512
)

var (
	errV8Short = errors.New("a value ends too early")
	errV8Deep  = errors.New("a value is nested too deeply, or contains itself")
)

// v8ToJSON gives the JSON that a serialized value stands for, as JSON.stringify
// would: without undefined members, with null for what JSON has not, and bytes as
// a Buffer's. Maps are lists of pairs, sets lists.
func v8ToJSON(p []byte) ([]byte, error) {
	r := v8Reader{p: p}
	if len(p) < 2 || p[0] != v8Header {
		return nil, errors.New("a serialized value without its header")
	}
	r.at = 1
	version, err := r.varint()
	if err != nil || version < v8Version || version > v8Newest {
		return nil, fmt.Errorf("serializer version %d: it is %d to %d (Node 16 to 24)", version, v8Version, v8Newest)
	}
	v, err := r.value(0)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, v, 0)
}

// The values that are not Go's own.
type (
	undefined struct{}
	list      struct{ of []any }
	object    struct{ members []member }
	member    struct {
		key   string
		value any
	}
)

type v8Reader struct {
	p       []byte
	at      int
	objects []any // for back references
	places  int   // of sparse arrays so far
}

func (r *v8Reader) byte() (byte, error) {
	if r.at >= len(r.p) {
		return 0, errV8Short
	}
	r.at++
	return r.p[r.at-1], nil
}

// tag is the next byte that isn't padding.
func (r *v8Reader) tag() (byte, error) {
	for {
		b, err := r.byte()
		if err != nil || b != 0 {
			return b, err
		}
	}
}

func (r *v8Reader) varint() (uint64, error) {
	n, size := binary.Uvarint(r.p[r.at:])
	if size <= 0 {
		return 0, errV8Short
	}
	r.at += size
	return n, nil
}

func (r *v8Reader) bytes(n uint64) ([]byte, error) {
	if n > uint64(len(r.p)-r.at) {
		return nil, errV8Short
	}
	r.at += int(n)
	return r.p[r.at-int(n) : r.at], nil
}

func (r *v8Reader) sized() ([]byte, error) {
	n, err := r.varint()
	if err != nil {
		return nil, err
	}
	return r.bytes(n)
}

func (r *v8Reader) double() (float64, error) {
	b, err := r.bytes(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
}

// remember makes v what a back reference may name.
func (r *v8Reader) remember(v any) { r.objects = append(r.objects, v) }

func (r *v8Reader) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errV8Deep
	}
	t, err := r.tag()
	if err != nil {
		return nil, err
	}
	switch t {
	case '_', '-': // undefined, and a hole of an array
		return undefined{}, nil
	case '0':
		return nil, nil
	case 'T', 'F':
		return t == 'T', nil
	case 'y', 'x': // Boolean objects
		r.remember(t == 'y')
		return t == 'y', nil
	case 'I':
		n, err := r.varint()
		return float64(int32(uint32(n)>>1) ^ -int32(uint32(n)&1)), err
	case 'U':
		n, err := r.varint()
		return float64(uint32(n)), err
	case 'N':
		return r.double()
	case 'n': // a Number object
		f, err := r.double()
		r.remember(f)
		return f, err
	case 'D':
		f, err := r.double()
		v := dateOf(f)
		r.remember(v)
		return v, err
	case 'Z':
		return nil, errors.New("a BigInt is no JSON")
	case '"', 'c', 'S':
		return r.str(t)
	case 'o':
		return r.object(depth)
	case 'A', 'a':
		return r.array(t, depth)
	case ';':
		return r.collection(':', true, depth)
	case '\'':
		return r.collection(',', false, depth)
	case '\\':
		return r.host(depth)
	case '^':
		n, err := r.varint()
		if err != nil {
			return nil, err
		}
		if n >= uint64(len(r.objects)) {
			return nil, errors.New("a reference to no object")
		}
		return r.objects[n], nil
	}
	return nil, fmt.Errorf("a value of an unknown kind, %q", t)
}

func dateOf(ms float64) any {
	if math.IsNaN(ms) || math.Abs(ms) > 8.64e15 {
		return nil
	}
	return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02T15:04:05.000Z")
}

func (r *v8Reader) str(t byte) (string, error) {
	b, err := r.sized()
	if err != nil {
		return "", err
	}
	switch t {
	case '"':
		s := make([]rune, len(b))
		for i, c := range b {
			s[i] = rune(c)
		}
		return string(s), nil
	case 'c':
		if len(b)%2 != 0 {
			return "", errV8Short
		}
		u := make([]uint16, len(b)/2)
		for i := range u {
			u[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		return string(utf16.Decode(u)), nil
	}
	return strings.ToValidUTF8(string(b), "\ufffd"), nil
}

func (r *v8Reader) object(depth int) (any, error) {
	o := &object{}
	r.remember(o)
	err := r.members('{', depth, func(key string, v any) { o.members = append(o.members, member{key, v}) })
	if err != nil {
		return nil, err
	}
	_, err = r.varint() // their number
	return o, err
}

// members reads keys and values until the tag end.
func (r *v8Reader) members(end byte, depth int, add func(string, any)) error {
	for {
		t, err := r.tag()
		if err != nil {
			return err
		}
		if t == end {
			return nil
		}
		r.at--
		key, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		var name string
		switch k := key.(type) {
		case string:
			name = k
		case float64:
			name = strconv.FormatFloat(k, 'f', -1, 64)
		default:
			return fmt.Errorf("a member whose name is a %T", key)
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		add(name, v)
	}
}

func (r *v8Reader) array(t byte, depth int) (any, error) {
	n, err := r.varint()
	if err != nil {
		return nil, err
	}
	l := &list{}
	r.remember(l)
	end := byte('$')
	if t == 'a' {
		end = '@'
		if n > uint64(len(r.p)-r.places) { // mostly holes, which JSON has to spell out
			return nil, errors.New("sparse arrays that are too long")
		}
		r.places += int(n)
		l.of = make([]any, n)
	} else {
		for range n {
			v, err := r.value(depth + 1) // at least a byte each
			if err != nil {
				return nil, err
			}
			l.of = append(l.of, v)
		}
	}
	err = r.members(end, depth, func(key string, v any) {
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(l.of) {
			l.of[i] = v
		}
	})
	if err != nil {
		return nil, err
	}
	for range 2 { // the number of members, and the length
		if _, err := r.varint(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// collection is a Map or a Set.
func (r *v8Reader) collection(end byte, pairs bool, depth int) (any, error) {
	l := &list{}
	r.remember(l)
	for {
		t, err := r.tag()
		if err != nil {
			return nil, err
		}
		if t == end {
			_, err = r.varint()
			return l, err
		}
		r.at--
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if pairs {
			second, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			v = &list{[]any{v, second}}
		}
		l.of = append(l.of, v)
	}
}

// host is an object of Node's own: bytes, or what it sends as a plain object.
func (r *v8Reader) host(depth int) (any, error) {
	kind, err := r.varint()
	if err != nil {
		return nil, err
	}
	if kind != 0 {
		at := len(r.objects)
		r.remember(undefined{})
		v, err := r.value(depth + 1)
		r.objects[at] = v
		return v, err
	}
	if _, err := r.varint(); err != nil { // which kind of view
		return nil, err
	}
	n, err := r.varint()
	if err != nil {
		return nil, err
	}
	b, err := r.bytes(n)
	if err != nil {
		return nil, err
	}
	data := &list{of: make([]any, len(b))}
	for i, c := range b {
		data.of[i] = float64(c)
	}
	o := &object{[]member{{"type", "Buffer"}, {"data", data}}}
	r.remember(o)
	return o, nil
}
