package backlog

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
