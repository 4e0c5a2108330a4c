// Package tracer runs a program under ptrace(2) and reports the system calls that it
// is asked for, of all its threads and descendants. A seccomp(2) filter lets every
// other call pass at full speed. It knows nothing of sockets.
//
// It needs no privilege for programs that it starts itself, and Linux 5.3
// (PTRACE_GET_SYSCALL_INFO).
package tracer

import _ "onconn/internal/linux"
