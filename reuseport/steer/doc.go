// Package steer has the kernel choose the member of a [reuseport.Group] by what
// the members are doing: an eBPF program of type SK_REUSEPORT, which skips those
// that hang or are full.
//
// Members publish by stores into memory that the program reads: the counters
// that their listeners count in anyway ([reuseport.Counting]), and a heartbeat
// ([Publisher.Beat]). No system call is made for it.
//
// Making a [Program] needs CAP_BPF; [Supported] says what is missing. Using it
// needs nothing: a parent makes it and sends [Program.Descriptors] to processes
// without privileges (package fdpass), which steer by [Open] and publish by
// [OpenPublisher]. Where it can't be made, [reuseport.Weighted] and its kind
// work for everybody.
//
// Linux 5.12, for atomic additions that return the old value.
package steer
