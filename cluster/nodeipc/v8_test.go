package nodeipc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// What Node's v8.serialize makes of a value is read as what JSON.stringify makes
// of it, and what is written here Node reads as the same.
func TestV8IsNodes(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs node: ", err)
	}
	const script = `
const { DefaultSerializer, deserialize } = require('v8');
class S extends DefaultSerializer {  // as child_process does: bytes as they are, anything else as a plain object
  _writeHostObject(o) {
    if (ArrayBuffer.isView(o)) { this.writeUint32(0); return super._writeHostObject(o); }
    this.writeUint32(1); this.writeValue({ ...o });
  }
}
const shared = { x: 1 };
const sparse = [1, 2]; sparse[5] = 'e';
const holes = [1, , 3];
const values = [null, true, false, 0, -1, 1, 63, -64, 2147483647, -2147483648, 4294967295, 1.5, -1e300, 1e21, NaN,
  '', 'str', 'é', 'ÿ', 'ж', '日本', '\u{1F600}', 'e\u2028\\n"', 'a'.repeat(300), 'ж'.repeat(301),
  {}, [], [1, 'two', [3], { four: 4 }], { a: 1, b: undefined, c: null, d: [undefined] }, { 1: 'i', '-1': 'j', ключ: 'ж' },
  { p: shared, q: shared, r: [shared] }, sparse, holes, new Date(0), { d: new Date(1700000000123) },
  { cmd: 'NODE_CLUSTER', act: 'queryServer', index: 0, data: null, address: null, port: 8101, addressType: 4, fd: undefined, flags: undefined, backlog: 0, seq: 1 }];
const lines = [];
for (const v of values) {
  const s = new S(); s.writeHeader(); s.writeValue(v);
  lines.push([s.releaseBuffer().toString('hex'), JSON.stringify(v)]);
}
let input = '';
process.stdin.on('data', (d) => input += d).on('end', () => {
  const back = input.trim().split('\n').filter(Boolean).map((h) => JSON.stringify(deserialize(Buffer.from(h, 'hex'))));
  console.log(JSON.stringify({ lines, back }));
});`
	run := func(in string) (out struct {
		Lines [][2]string
		Back  []string
	}) {
		t.Helper()
		cmd := exec.Command(node, "-e", script)
		cmd.Stdin = strings.NewReader(in)
		p, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(p, &out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	lines := run("").Lines
	if len(lines) < 30 {
		t.Fatalf("%d values", len(lines))
	}
	var written strings.Builder
	for _, l := range lines {
		p, _ := hex.DecodeString(l[0])
		got, err := v8ToJSON(p)
		if err != nil || !reflect.DeepEqual(parsed(got), parsed([]byte(l[1]))) {
			t.Errorf("%s: read %s, %v", l[1], got, err)
		}
		out, err := jsonToV8(nil, []byte(l[1]))
		if err != nil {
			t.Errorf("%s: %v", l[1], err)
		}
		written.WriteString(hex.EncodeToString(out) + "\n")
	}
	for i, back := range run(written.String()).Back {
		if !reflect.DeepEqual(parsed([]byte(lines[i][1])), parsed([]byte(back))) {
			t.Errorf("%s: Node read %s", lines[i][1], back)
		}
	}
}

func parsed(text []byte) (v any) {
	if json.Unmarshal(text, &v) != nil {
		return string(text) + " is no JSON"
	}
	return v
}

// A Buffer, as child_process sends it, is one in JSON; a Map is a list of pairs.
func TestV8Special(t *testing.T) {
	for _, c := range []struct{ hex, want string }{
		{"ff0f5c000a026162", `{"type":"Buffer","data":[97,98]}`},
		{"ff0f5c016f22017849027b01", `{"x":1}`},
		{"ff0f3b2201614902" + "3a02", `[["a",1]]`},
		{"ff0f2749022c01", `[1]`},
		{"ff0f6f2201615e007b01", ""}, // contains itself
		{"ff0f5a", ""},               // a BigInt
		{"ff105f", ""},               // a later version
		{"ff0f41ffffffff0f", ""},     // a long array that isn't there
		{"ff0f61ffffffff0f4000ffffffff0f", ""},
		{"ff0f22ff", ""},
		{"ff0f5e00", ""},
	} {
		p, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v8ToJSON(p)
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %s, %v", c.hex, got, err)
		}
	}
}

// A value that names itself again and again would be of any size as JSON.
func TestV8Bomb(t *testing.T) {
	p := []byte{v8Header, 15}
	// [[...]] whose k-th element is ten times the one before.
	const depth = 9
	p = append(p, 'A', depth+1, 'A', 1, '"', 1, 'x', '$', 0, 1)
	for k := range byte(depth) {
		p = append(p, 'A', 10)
		for range 10 {
			p = append(p, '^', k+1)
		}
		p = append(p, '$', 0, 10)
	}
	p = append(p, '$', 0, depth+1)
	if out, err := v8ToJSON(p); err != ErrTooLong {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

// Sparse arrays in one another take no more memory than one does.
func TestV8Holes(t *testing.T) {
	for n, whole := range map[byte]bool{1: true, 2: false} {
		p := []byte{v8Header, 15, 'A', n + 1, '"', 100}
		p = append(p, strings.Repeat("x", 100)...)
		for range n {
			p = append(p, 'a', 90, '@', 0, 90)
		}
		p = append(p, '$', 0, n+1)
		if _, err := v8ToJSON(p); (err == nil) != whole {
			t.Errorf("%d: %v", n, err)
		}
	}
}

func FuzzV8(f *testing.F) {
	for _, s := range []string{`{"cmd":"NODE_CLUSTER","seq":1,"x":[1,null,"ж",1.5]}`, `"é"`, `[[],{}]`} {
		p, err := jsonToV8(nil, []byte(s))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Add([]byte("\xff\x0f\x5c\x00\x0a\x02ab"))
	f.Fuzz(func(t *testing.T, p []byte) {
		text, err := v8ToJSON(p)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is no JSON", text)
		}
		again, err := jsonToV8(nil, text)
		if err != nil {
			return // too deep
		}
		if back, err := v8ToJSON(again); err != nil || !bytes.Equal(back, text) {
			t.Fatalf("%s became %s, %v", text, back, err)
		}
	})
}
