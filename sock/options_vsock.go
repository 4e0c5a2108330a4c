package sock

import (
	"golang.org/x/sys/unix"
)

// Options of AF_VSOCK, which is a level too, sorted by name. See vsock(7).
var (
	VsockBufferMaxSize = define(same[uint64](), Info{Level: unix.AF_VSOCK, Number: unix.SO_VM_SOCKETS_BUFFER_MAX_SIZE, Name: "SO_VM_SOCKETS_BUFFER_MAX_SIZE", Unit: "bytes", Since: "3.9", Inherited: true,
		Doc: "Upper limit of the buffer size."})
	VsockBufferMinSize = define(same[uint64](), Info{Level: unix.AF_VSOCK, Number: unix.SO_VM_SOCKETS_BUFFER_MIN_SIZE, Name: "SO_VM_SOCKETS_BUFFER_MIN_SIZE", Unit: "bytes", Since: "3.9", Inherited: true,
		Doc: "Lower limit of the buffer size."})
	VsockBufferSize = define(same[uint64](), Info{Level: unix.AF_VSOCK, Number: unix.SO_VM_SOCKETS_BUFFER_SIZE, Name: "SO_VM_SOCKETS_BUFFER_SIZE", Unit: "bytes", Since: "3.9", Inherited: true,
		Doc: "Receive buffer of a connection, within the two limits."})
)
