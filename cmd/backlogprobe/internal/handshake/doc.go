// Package handshake says what became of TCP handshakes, from packets alone: an
// [Analysis] is fed with segments of a file or of a live capture and tells for
// each attempt to connect how it went, how sure that is, and by which rules. A
// [Watcher] follows only who waits at this moment, cheaply enough to run beside
// a busy server.
//
// The rules are those of Linux: tcp_conn_request, tcp_check_req and the timers
// of inet_connection_sock.c.
package handshake
