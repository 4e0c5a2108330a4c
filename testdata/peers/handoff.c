/* HTTP by several processes: what onconn's cluster does, in C.
 *
 *	handoff ADDRESS WORKERS rr           the first process accepts, and hands over
 *	handoff ADDRESS WORKERS shared       the workers accept from one socket
 *	handoff ADDRESS WORKERS reuseport    each has a socket of its own
 *
 * Each worker of rr has a queue, a SEQPACKET pair. A connection is one record in it:
 * 32 bytes with its peer's address, and the descriptor (SCM_RIGHTS). Nobody
 * acknowledges.
 */
#include "server.h"
#include "http.h"

enum { MAX_WORKERS = 64, RECORD = 32 };

static volatile sig_atomic_t ended;

static void end(int sig)
{
	(void)sig;
	ended = 1;
}

/* A record with its descriptor, to send or to receive. */
struct record {
	char bytes[RECORD];
	struct iovec iov;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg;
};

static void record_init(struct record *r)
{
	memset(r, 0, sizeof *r);
	r->iov = (struct iovec){r->bytes, RECORD};
	r->msg = (struct msghdr){.msg_iov = &r->iov, .msg_iovlen = 1, .msg_control = &r->control,
				 .msg_controllen = sizeof r->control};
	r->control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
					    .cmsg_type = SCM_RIGHTS};
}

/* hand puts a connection into the queue of the worker whose turn it is; if that is
 * full, of the next one; if all are, it waits. */
static void hand(struct record *r, int fd, int *queues, int workers, unsigned *turn)
{
	memcpy(CMSG_DATA(&r->control.align), &fd, sizeof fd);
	for (int tries = 0;; tries++) {
		int q = queues[(*turn)++ % workers];
		if (sendmsg(q, &r->msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			break;
		if (errno != EAGAIN)
			err(1, "sendmsg");
		if (tries >= workers) {
			struct pollfd p = {.fd = q, .events = POLLOUT};
			poll(&p, 1, -1);
		}
	}
	close(fd);
}

/* primary accepts until SIGTERM, which is blocked but while it waits. */
static void primary(int ln, int *queues, int workers, const sigset_t *unblocked)
{
	int ep = epoll_on(ln, 0);
	unsigned turn = 0;
	struct record r;
	record_init(&r);
	while (!ended) {
		struct epoll_event e;
		if (epoll_pwait(ep, &e, 1, -1, unblocked) < 1)
			continue;
		for (;;) {
			struct sockaddr_storage peer;
			socklen_t size = sizeof peer;
			int fd = accept4(ln, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd < 0)
				break;
			memcpy(r.bytes, &peer, size < RECORD ? size : RECORD);
			hand(&r, fd, queues, workers, &turn);
		}
	}
}

/* receive takes a connection from a queue: -1 when it is empty. */
static int receive(struct record *r, int queue)
{
	int fd;
	r->msg.msg_controllen = sizeof r->control;
	ssize_t n = recvmsg(queue, &r->msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n == 0)
		exit(0); /* the primary has gone */
	if (n < 0)
		return -1;
	memcpy(&fd, CMSG_DATA(&r->control.align), sizeof fd);
	return fd;
}

/* worker serves what comes from a queue, or from a listening socket. */
static void worker(int source, int is_queue, unsigned more)
{
	int ep = epoll_on(source, more);
	struct record r;
	record_init(&r);
	for (;;) {
		struct epoll_event events[BURST];
		int n = epoll_wait(ep, events, BURST, -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd != source) {
				serve(fd);
				continue;
			}
			while ((fd = is_queue ? receive(&r, source)
					      : accept4(source, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
				take(ep, fd);
		}
	}
}

int main(int argc, char **argv)
{
	int workers = argc == 4 ? atoi(argv[2]) : 0;
	int rr = argc == 4 && !strcmp(argv[3], "rr"), shared = argc == 4 && !strcmp(argv[3], "shared"),
	    reuseport = argc == 4 && !strcmp(argv[3], "reuseport");
	if (workers < 1 || workers > MAX_WORKERS || !(rr || shared || reuseport))
		errx(2, "usage: %s ADDRESS WORKERS rr|shared|reuseport", argv[0]);
	all_descriptors();
	int ln = reuseport ? -1 : listen_on(argv[1], 0);
	int queues[MAX_WORKERS];
	pid_t pids[MAX_WORKERS];
	for (int i = 0; i < workers; i++) {
		int pair[2] = {-1, ln};
		if (rr && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
			err(1, "socketpair");
		if (reuseport)
			pair[1] = listen_on(argv[1], 1);
		if ((pids[i] = fork()) < 0)
			err(1, "fork");
		if (pids[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (rr)
				close(ln);
			for (int j = 0; rr && j < i; j++)
				close(queues[j]);
			close(pair[0]);
			worker(pair[1], rr, shared ? EPOLLEXCLUSIVE : 0);
		}
		queues[i] = pair[0];
		if (pair[1] != ln)
			close(pair[1]);
	}
	struct sigaction a = {.sa_handler = end};
	sigset_t term, before;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &before);
	sigaction(SIGTERM, &a, NULL);
	if (rr)
		primary(ln, queues, workers, &before);
	while (!ended)
		sigsuspend(&before);
	for (int i = 0; i < workers; i++)
		kill(pids[i], SIGTERM);
	while (wait(NULL) > 0)
		;
	return 0;
}
