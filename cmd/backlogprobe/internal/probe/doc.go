// Package probe measures what a listener really holds: how many connections
// fit into its queues, what the next client sees, and how long it waits. It
// connects, or sends bare SYNs through a TUN device, within bounds of number
// and time, and leaves nothing behind.
//
// A program that imports it becomes, when it is started under one of the names
// that package reserves for argv[0], a child of the probe: the one that resumes
// a stopped server, or the one that runs a demo in a namespace of its own.
package probe
