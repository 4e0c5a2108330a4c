package backlog

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

// ownerOf is what Owners knows of a process of ours.
func ownerOf(t *testing.T, pid, fd int) Owner {
	t.Helper()
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		t.Fatal(err)
	}
	cgroup, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	o := Owner{PID: pid, Command: strings.TrimSpace(string(comm)), FD: fd, UID: os.Getuid()}
	o.Unit, o.Container = cgroupNames(string(cgroup))
	return o
}

func TestOwners(t *testing.T) {
	testleak.Zombies(t)
	testleak.FDs(t)
	shared, _ := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 1)
	unixSocket, _ := listening(t, sock.UnixAddr(""), sock.Stream, 0, 1)
	again, err := unixSocket.Dup()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	gone, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	inodes := []uint32{inode(t, shared), inode(t, unixSocket), inode(t, gone), 0}
	gone.Close()

	var o Owners
	self := os.Getpid()
	want := map[uint32][]Owner{
		inodes[0]: {ownerOf(t, self, int(shared))},
		inodes[1]: {ownerOf(t, self, int(unixSocket))},
	}
	expect := func(why string) {
		t.Helper()
		if got := o.Find(inodes); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, not %v", why, got, want)
		}
	}
	expect("at first")
	expect("remembered")

	t.Run("shared", func(t *testing.T) {
		pid, _ := child(t, "hold", shared, nil)
		o = Owners{}
		want[inodes[0]] = []Owner{ownerOf(t, self, int(shared)), ownerOf(t, pid, 3)}
		if pid < self {
			want[inodes[0]][0], want[inodes[0]][1] = want[inodes[0]][1], want[inodes[0]][0]
		}
		expect("with a child")
		expect("with a child, remembered")
		found := o.Find(inodes)
		found[inodes[0]][0].PID = 1 // the caller's copy
		expect("after a change to the map")
	})
	want[inodes[0]] = []Owner{ownerOf(t, self, int(shared))}
	expect("after the child has gone")
	expect("as remembered then")
	if got := (&Owners{}).Find(nil); len(got) != 0 {
		t.Errorf("of no sockets: %v", got)
	}
}

// Processes that come and go while /proc is read do no harm.
func TestOwnersWhileProcessesDie(t *testing.T) {
	testleak.Zombies(t)
	testleak.FDs(t)
	fd, _ := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 1)
	wanted := inode(t, fd)
	self := []Owner{ownerOf(t, os.Getpid(), int(fd))}
	var forks sync.WaitGroup
	forks.Go(func() {
		for range 30 {
			pid, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			syscall.Wait4(pid, nil, 0, nil)
		}
	})
	defer forks.Wait()
	for range 20 {
		var o Owners
		// Between fork and exec a child shares our descriptors.
		got := o.Find([]uint32{wanted})[wanted]
		if len(got) == 0 || len(got) == 1 && !reflect.DeepEqual(got, self) {
			t.Errorf("%v, not %v", got, self)
		}
	}
}

func TestOwnersForget(t *testing.T) {
	testleak.FDs(t)
	o := Owners{known: map[uint32]known{}}
	for i := range uint32(5000) {
		o.known[1<<31+i] = known{owners: []Owner{{PID: 1 << 22, FD: 9}}, at: time.Now()}
	}
	fd, _ := listening(t, sock.UnixAddr(""), sock.Stream, 0, 1)
	if got := o.Find([]uint32{inode(t, fd)}); len(got) != 1 {
		t.Errorf("%v", got)
	}
	if len(o.known) > 1100 {
		t.Errorf("it remembers %d sockets", len(o.known))
	}
}

func TestOwnersUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	testleak.FDs(t)
	fd, _ := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 1)
	arg := fmt.Sprint("owners ", inode(t, fd))
	if _, said := child(t, arg, sock.None, &syscall.Credential{Uid: 65534, Gid: 65534}); said != "0 owners" {
		t.Errorf("another user sees %q", said)
	}
	// A socket of its own is seen.
	if _, said := child(t, arg, fd, &syscall.Credential{Uid: 65534, Gid: 65534}); said != "1 owners" {
		t.Errorf("another user sees %q of what it holds", said)
	}
}

// BenchmarkOwners looks through 15,000 and more descriptors, and verifies what it found.
func BenchmarkOwners(b *testing.B) {
	fd, _ := listening(b, inet("127.0.0.1:0"), sock.Stream, 0, 1)
	inodes := []uint32{inode(b, fd)}
	for range 15000 {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			b.Skip("too few descriptors: ", err)
		}
		defer unix.Close(dup)
	}
	b.Run("unknown", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var o Owners
			if len(o.Find(inodes)) != 1 {
				b.Fatal("not found")
			}
		}
	})
	b.Run("known", func(b *testing.B) {
		var o Owners
		b.ReportAllocs()
		for b.Loop() {
			if len(o.Find(inodes)) != 1 {
				b.Fatal("not found")
			}
		}
	})
}
