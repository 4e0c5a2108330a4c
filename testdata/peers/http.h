/* HTTP for one GET at a time: it comes in one piece and without a body, and asks
 * for "Connection: close" in just these letters if it wants that. Whoever does
 * otherwise is cut off. */
#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n"
#define TEN "onconnecti"
#define BODY TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
static const char answer[] = HEAD "\r\n" BODY;
static const char last_answer[] = HEAD "Connection: close\r\n\r\n" BODY;

enum outcome { DONE, WAITS, ANSWERED };

/* serve answers the request that is there, if one is. DONE: it has closed fd. */
static inline enum outcome serve(int fd)
{
	static const char close_it[] = "Connection: close\r\n";
	char request[4096];
	ssize_t n = read(fd, request, sizeof request);
	if (n < 0 && errno == EAGAIN)
		return WAITS;
	if (n > 8 && !memcmp(request, "GET ", 4) && !memcmp(request + n - 4, "\r\n\r\n", 4)) {
		int last = memmem(request, n, close_it, sizeof close_it - 1) != NULL;
		const char *a = last ? last_answer : answer;
		ssize_t size = last ? sizeof last_answer - 1 : sizeof answer - 1;
		if (write(fd, a, size) == size && !last)
			return ANSWERED;
	}
	close(fd);
	return DONE;
}

/* take serves a new connection. Its request is mostly there already; only one that
 * is still to come costs an epoll_ctl. */
static inline void take(int ep, int fd)
{
	if (serve(fd) != DONE) {
		struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
			close(fd);
	}
}
