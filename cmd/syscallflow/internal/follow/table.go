package follow

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
)

// A table is the sockets among a process's descriptors, and its epoll instances.
type table struct{ entries map[int]*entry }

// An entry is what a number means. Several numbers may share one.
type entry struct {
	socket *socket
	name   string // of what isn't a socket
}

func newTable() *table { return &table{map[int]*entry{}} }

func (t *table) copy() *table { return &table{maps.Clone(t.entries)} }

// fd is a descriptor for the recording.
func (e *entry) fd(number int) *recording.FD {
	if e == nil {
		return &recording.FD{Number: number}
	}
	f := &recording.FD{Number: number, Name: e.name}
	if e.socket != nil {
		f.Socket = e.socket.ID
	}
	return f
}

// listens reports whether it is a listening socket.
func (e *entry) listens() bool { return e != nil && e.socket != nil && e.socket.Listens }

// scan reads the table of a process that stands still.
func (r *Recorder) scan(p *process) {
	p.table = newTable()
	dir := fmt.Sprintf("/proc/%d/fd", p.pid)
	open, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, f := range open {
		number, _ := strconv.Atoi(f.Name())
		target, _ := os.Readlink(dir + "/" + f.Name())
		switch {
		case strings.HasPrefix(target, "socket:["):
			if e := r.learn(p, number); e.socket != nil {
				p.table.entries[number] = e
			}
		case target == "anon_inode:[eventpoll]":
			p.table.entries[number] = &entry{name: "eventpoll"}
		}
	}
}

// inode is that of a descriptor, if it is a socket; else 0.
func (p *process) inode(number int) (inode uint64) {
	target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.pid, number))
	if text, ok := strings.CutPrefix(target, "socket:["); ok {
		inode, _ = strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
	}
	return inode
}

// describe is a descriptor that isn't in the table: a name for what isn't a socket.
func (p *process) describe(number int) string {
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.pid, number))
	if err != nil {
		return ""
	}
	if name, ok := strings.CutPrefix(target, "anon_inode:"); ok {
		return strings.Trim(name, "[]")
	}
	if kind, _, ok := strings.Cut(target, ":["); ok {
		return kind
	}
	return target
}

func (e *entry) isSocket() bool { return e != nil && e.socket != nil }
