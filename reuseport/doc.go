// Package reuseport makes several listening sockets on one address one thing: a
// [Group]. SO_REUSEPORT gives each worker its own accept queue, but the kernel
// chooses among them blindly, doesn't spill from a full one to an idle one, and
// resets what a closed one had queued or half-open. A Group steers, knows its
// members by numbers that stay, and lets one go without a loss ([Group.Drain]).
//
// None of it needs a privilege. [Hash], [Weighted] and [ByCPU] are classic BPF
// programs, [IncomingCPU] is a socket option. Package reuseport/steer has
// choices that know which member is busy, full or hangs, made with CAP_BPF.
//
// The kernel numbers the members by the order of listen(2), and the last one
// takes the place of one that leaves (reuseport_add_sock,
// __reuseport_detach_sock). Classic programs return such numbers, so a Group
// keeps the same books. They are wrong when a socket from outside shares the
// port, or when somebody else shuts a member down: [Group.Outsiders] and the
// errors say so.
//
// TCP only, Linux 5.3; IncomingCPU 6.2.
package reuseport
