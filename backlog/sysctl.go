package backlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Sysctls are the settings that govern the queues of a network namespace. A
// setting that this kernel lacks, or hides, is -1.
type Sysctls struct {
	// Somaxconn (net.core.somaxconn) is the most that listen(2) grants. It is
	// read at the call: listeners that exist keep what they have.
	Somaxconn int
	// MaxSynBacklog (net.ipv4.tcp_max_syn_backlog) limits unfinished
	// handshakes, to three quarters of it, only while SynCookies is 0.
	MaxSynBacklog int
	// SynCookies (net.ipv4.tcp_syncookies): 1 answers with a cookie, and keeps
	// nothing, once a listener's queue of handshakes is full; 0 drops the SYN
	// then; 2 always answers with a cookie.
	SynCookies int
	// AbortOnOverflow (net.ipv4.tcp_abort_on_overflow): 1 answers a final ACK
	// that finds the accept queue full with a reset. A SYN that finds it full is
	// dropped in silence either way.
	AbortOnOverflow int
	// SynackRetries (net.ipv4.tcp_synack_retries): 5 keeps an unfinished
	// handshake for about 63 seconds.
	SynackRetries int
	// MigrateReq (net.ipv4.tcp_migrate_req): 1 moves what waits in a closing
	// member of a SO_REUSEPORT group to another member.
	MigrateReq int
	// FastOpen (net.ipv4.tcp_fastopen): bit 2 lets listeners use it.
	FastOpen int
}

// fields are where the settings of settingFiles go.
func (s *Sysctls) fields() [len(settingFiles)]*int {
	return [...]*int{&s.Somaxconn, &s.MaxSynBacklog, &s.SynCookies, &s.AbortOnOverflow,
		&s.SynackRetries, &s.MigrateReq, &s.FastOpen}
}

var settingFiles = [...]string{"core/somaxconn", "ipv4/tcp_max_syn_backlog", "ipv4/tcp_syncookies",
	"ipv4/tcp_abort_on_overflow", "ipv4/tcp_synack_retries", "ipv4/tcp_migrate_req", "ipv4/tcp_fastopen"}

// settings are the open files of settingFiles, nil where the kernel has none. An
// open file of /proc/sys stays with the namespace of the thread that opened it.
type settings [len(settingFiles)]*os.File

func (s *settings) open() error {
	for i, name := range settingFiles {
		f, err := os.Open("/proc/sys/net/" + name)
		switch {
		case err == nil:
			s[i] = f
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
			return err
		}
	}
	return nil
}

// Sysctls reads the settings of the namespace that govern its queues.
func (n *Namespace) Sysctls() (Sysctls, error) {
	var s Sysctls
	var buf [32]byte
	for i, field := range s.fields() {
		*field = -1
		f := n.settings[i]
		if f == nil {
			continue
		}
		size, err := f.ReadAt(buf[:], 0)
		if err != nil && err != io.EOF {
			return Sysctls{}, err
		}
		if *field, err = strconv.Atoi(strings.TrimSpace(string(buf[:size]))); err != nil {
			return Sysctls{}, fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	return s, nil
}

// named are the settings by their names in sysctl(8).
func (s *Sysctls) named() map[string]*int {
	return map[string]*int{
		"net.core.somaxconn":             &s.Somaxconn,
		"net.ipv4.tcp_max_syn_backlog":   &s.MaxSynBacklog,
		"net.ipv4.tcp_syncookies":        &s.SynCookies,
		"net.ipv4.tcp_abort_on_overflow": &s.AbortOnOverflow,
		"net.ipv4.tcp_synack_retries":    &s.SynackRetries,
		"net.ipv4.tcp_migrate_req":       &s.MigrateReq,
		"net.ipv4.tcp_fastopen":          &s.FastOpen,
	}
}

// MarshalJSON names the settings as sysctl(8) does, with null for -1.
func (s Sysctls) MarshalJSON() ([]byte, error) {
	m := s.named()
	for name, v := range m {
		if *v < 0 {
			m[name] = nil
		}
	}
	return json.Marshal(m)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Sysctls) UnmarshalJSON(data []byte) error {
	var m map[string]*int
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	for name, v := range s.named() {
		*v = -1
		if n := m[name]; n != nil {
			*v = *n
		}
	}
	return nil
}
