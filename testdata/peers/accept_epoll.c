/* The limit: one epoll instance, accept4 until EAGAIN.
 *
 *	accept_epoll ADDRESS close    closes each connection
 *	accept_epoll ADDRESS hold     keeps it until its client closes it
 */
#include "server.h"

int main(int argc, char **argv)
{
	if (argc != 3 || (strcmp(argv[2], "close") && strcmp(argv[2], "hold")))
		errx(2, "usage: %s ADDRESS close|hold", argv[0]);
	int hold = !strcmp(argv[2], "hold");
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
				char b[512];
				ssize_t got = read(fd, b, sizeof b);
				if (got == 0 || (got < 0 && errno != EAGAIN))
					close(fd);
				continue;
			}
			while ((fd = accept4(ln, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
				struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
				if (!hold || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
					close(fd);
			}
		}
	}
}
