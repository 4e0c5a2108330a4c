package backlog

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// A NamespaceFile is a network namespace that was found.
type NamespaceFile struct {
	Name      string // as ip-netns(8) calls it, else "pid:PID(COMMAND)" of a process in it
	Path      string // for [OpenNamespace]: empty for our own
	ID        uint64
	Own       bool  // we are in it
	Processes int   // in it, as far as we see
	PIDs      []int // the lowest five of them
}

// FindNamespaces finds the network namespaces that have a name or a process,
// our own first. hidden is the number of processes whose namespace we may not
// see: those of other users, when we are not root.
func FindNamespaces() (found []NamespaceFile, hidden int, err error) {
	var own unix.Stat_t
	if err := unix.Stat(threadNamespace, &own); err != nil {
		return nil, 0, &os.PathError{Op: "stat", Path: threadNamespace, Err: err}
	}
	all := map[uint64]*NamespaceFile{own.Ino: {ID: own.Ino, Own: true}}
	if err := named(all); err != nil {
		return nil, 0, err
	}
	if hidden, err = inhabited(all); err != nil {
		return nil, 0, err
	}
	for _, n := range all {
		if n.Own {
			n.Path = ""
		}
		found = append(found, *n)
	}
	slices.SortFunc(found, func(a, b NamespaceFile) int {
		switch {
		case a.Own:
			return -1
		case b.Own:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return found, hidden, nil
}

// named adds the namespaces that ip-netns(8) keeps. A file there on which
// nothing is mounted is a left-over.
func named(all map[uint64]*NamespaceFile) error {
	for _, dir := range []string{"/run/netns", "/var/run/netns"} {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) && !os.IsPermission(err) {
			return err
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			var file unix.Stat_t
			var system unix.Statfs_t
			if unix.Stat(path, &file) != nil || unix.Statfs(path, &system) != nil || system.Type != unix.NSFS_MAGIC {
				continue
			}
			if n := entry(all, file.Ino); n.Name == "" {
				n.Name, n.Path = e.Name(), path
			}
		}
	}
	return nil
}

// inhabited adds the namespaces of processes.
func inhabited(all map[uint64]*NamespaceFile) (hidden int, err error) {
	const few = 5
	var link [64]byte
	err = eachProcess(func(proc, pid int) {
		size, err := unix.Readlinkat(proc, strconv.Itoa(pid)+"/ns/net", link[:])
		if os.IsPermission(err) {
			hidden++
		}
		if err != nil {
			return
		}
		id, ok := namespaceInode(link[:size])
		if !ok {
			return
		}
		n := entry(all, id)
		if n.Processes++; len(n.PIDs) < few {
			n.PIDs = append(n.PIDs, pid)
		}
		if n.Name == "" {
			n.Name = fmt.Sprintf("pid:%d(%s)", pid, command(pid))
			n.Path = fmt.Sprintf("/proc/%d/ns/net", pid)
		}
	})
	return hidden, err
}

func entry(all map[uint64]*NamespaceFile, id uint64) *NamespaceFile {
	if all[id] == nil {
		all[id] = &NamespaceFile{ID: id}
	}
	return all[id]
}

// namespaceInode reads "net:[4026531840]".
func namespaceInode(link []byte) (uint64, bool) {
	digits, ok := bytes.CutPrefix(link, []byte("net:["))
	if !ok || !bytes.HasSuffix(digits, []byte("]")) {
		return 0, false
	}
	return number(digits[:len(digits)-1])
}
