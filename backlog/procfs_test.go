package backlog

import (
	"encoding/binary"
	"math"
	"strconv"
	"testing"
)

func TestSocketInode(t *testing.T) {
	for link, want := range map[string]uint32{
		"socket:[4242]":       4242,
		"socket:[4294967295]": math.MaxUint32,
	} {
		if n, ok := socketInode([]byte(link)); !ok || n != want {
			t.Errorf("%q: %d, %v", link, n, ok)
		}
	}
	for _, link := range []string{"", "socket:[]", "socket:[1", "socket:[x]", "socket:[4294967296]",
		"socket:[99999999999999999999]", "socket:[-1]", "pipe:[1]", "/socket:[1]", "socket:[1] (deleted)"} {
		if n, ok := socketInode([]byte(link)); ok {
			t.Errorf("%q is %d", link, n)
		}
	}
}

// dirent encodes struct linux_dirent64.
func dirent(name string) []byte {
	b := make([]byte, (19+len(name)+1+7)&^7)
	binary.NativeEndian.PutUint16(b[16:], uint16(len(b)))
	copy(b[19:], name)
	return b
}

func TestDirentNames(t *testing.T) {
	var got []string
	direntNames(append(append(dirent("."), dirent("a name that is long")...), dirent("7")...), func(name []byte) {
		got = append(got, string(name))
	})
	if len(got) != 3 || got[0] != "." || got[1] != "a name that is long" || got[2] != "7" {
		t.Errorf("%q", got)
	}
}

func FuzzProc(f *testing.F) {
	f.Add(append(dirent("12"), dirent("x")...))
	f.Add([]byte("socket:[4242]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		direntNames(b, func(name []byte) {
			if cap(name) == len(name) || name[:len(name)+1][len(name)] != 0 {
				t.Errorf("no NUL behind %q", name)
			}
			if n, ok := number(name); ok {
				if want, err := strconv.ParseUint(string(name), 10, 64); err != nil || n != want {
					t.Errorf("%q is %d, not %d, %v", name, n, want, err)
				}
			}
		})
		if n, ok := socketInode(b); ok && n == 0 && string(b) != "socket:[0]" && len(b) < 11 {
			t.Errorf("%q is 0", b)
		}
	})
}
