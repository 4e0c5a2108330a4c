package backlog

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

// foundNamespace finds a namespace by its ID.
func foundNamespace(t *testing.T, id uint64) (NamespaceFile, bool) {
	t.Helper()
	all, _, err := FindNamespaces()
	if err != nil {
		t.Fatal(err)
	}
	if !all[0].Own || slices.ContainsFunc(all[1:], func(n NamespaceFile) bool { return n.Own }) {
		t.Errorf("our own isn't the first, or not the only one: %+v", all)
	}
	for _, n := range all {
		if n.ID == id {
			return n, true
		}
	}
	return NamespaceFile{}, false
}

func TestFindOwnNamespace(t *testing.T) {
	testleak.FDs(t)
	n, ok := foundNamespace(t, opened(t, "").ID())
	if !ok || !n.Own || n.Path != "" || n.Name == "" || n.Processes == 0 || len(n.PIDs) > 5 || !slices.IsSorted(n.PIDs) {
		t.Errorf("%+v, %v", n, ok)
	}
}

func TestFindNamespaceOfProcess(t *testing.T) {
	testleak.Zombies(t)
	testleak.FDs(t)
	ns := netns.New(t)
	if n, ok := foundNamespace(t, ns.ID()); ok {
		t.Fatalf("it has no process: %+v", n)
	}
	var pid int
	ns.Do(func() { pid, _ = child(t, "hold", sock.None, nil) })
	n, ok := foundNamespace(t, ns.ID())
	want := NamespaceFile{
		Name:      "pid:" + strconv.Itoa(pid) + "(" + command(pid) + ")",
		Path:      "/proc/" + strconv.Itoa(pid) + "/ns/net",
		ID:        ns.ID(),
		Processes: 1,
		PIDs:      []int{pid},
	}
	if !ok || n.Name != want.Name || n.Path != want.Path || n.ID != want.ID || n.Own || n.Processes != 1 || !slices.Equal(n.PIDs, want.PIDs) {
		t.Errorf("%+v, %v; not %+v", n, ok, want)
	}
	if opened(t, n.Path).ID() != n.ID {
		t.Error("its path is of another namespace")
	}
}

// In a mount namespace of the test's thread, the directory of ip netns holds
// one namespace and left-overs.
func TestFindNamedNamespace(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and end the thread
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
			t.Error(err)
			return
		}
		const dir = "/run/netns"
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"blue", "leftover"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o444); err != nil {
				t.Error(err)
			}
		}
		if err := unix.Mount(ns.Path(), dir+"/blue", "", unix.MS_BIND, ""); err != nil {
			t.Error(err)
		}
		n, ok := foundNamespace(t, ns.ID())
		if !ok || n.Name != "blue" || n.Path != dir+"/blue" || n.Own || n.Processes != 0 {
			t.Errorf("%+v, %v", n, ok)
		}
		all, _, err := FindNamespaces()
		if err != nil || slices.ContainsFunc(all, func(n NamespaceFile) bool { return n.Name == "leftover" }) {
			t.Errorf("%+v, %v", all, err)
		}
	}()
	<-done
}

func TestFindNamespacesUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	testleak.FDs(t)
	if _, _, err := FindNamespaces(); err != nil {
		t.Error(err)
	}
	_, said := child(t, "namespaces", sock.None, &syscall.Credential{Uid: 65534, Gid: 65534})
	if said != "own true, hidden true, <nil>" {
		t.Errorf("another user sees %q", said)
	}
}

func TestNamespaceInode(t *testing.T) {
	if id, ok := namespaceInode([]byte("net:[4026531840]")); !ok || id != 4026531840 {
		t.Errorf("%d, %v", id, ok)
	}
	for _, link := range []string{"", "net:[]", "net:[1", "mnt:[1]", "net:[x]"} {
		if id, ok := namespaceInode([]byte(link)); ok {
			t.Errorf("%q is %d", link, id)
		}
	}
}
