/* HTTP on one epoll instance, as fast as one process can.
 *
 *	http_epoll ADDRESS
 */
#include "server.h"
#include "http.h"

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: %s ADDRESS", argv[0]);
	all_descriptors();
	int ln = listen_on(argv[1], 0), ep = epoll_on(ln, 0);
	for (;;) {
		struct epoll_event events[BURST];
		int n = epoll_wait(ep, events, BURST, -1);
		if (n < 0 && errno != EINTR)
			err(1, "epoll_wait");
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd != ln) {
				serve(fd);
				continue;
			}
			while ((fd = accept4(ln, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
				take(ep, fd);
		}
	}
}
