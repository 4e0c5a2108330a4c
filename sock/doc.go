// Package sock is one descriptor and what the kernel offers to do with it: a
// method per system call, named after it, an address that compares and copies
// like a number, and a catalogue of socket options.
//
// Nothing is hidden: a method makes the one call it is named after. New
// descriptors are always close-on-exec and non-blocking. EINTR is retried
// where that is safe. Errors are *[os.SyscallError] over an errno, so that
// errors.Is(err, unix.EADDRINUSE) works.
//
// An [FD] is a value without a finalizer: whoever holds it closes it, once.
// Its owners in this module are onconn/connwrap for connections and
// onconn/listen for listening sockets.
package sock

import _ "onconn/internal/linux"
