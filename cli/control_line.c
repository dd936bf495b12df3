/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines over a socket, with an end to all patience. */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

long long td__control_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

/* end_ms below 0: never. 0, or -errno. */
static int wait_for(int fd, short events, long long end_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	long long left;
	int n;

	do {
		left = end_ms < 0 ? -1 : end_ms - td__control_now_ms();
		if (end_ms >= 0 && left <= 0)
			return -ETIMEDOUT;
		n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

long td__control_read_line(int fd, char *line, size_t size, long long end_ms)
{
	size_t used = 0;

	while (used < size) {
		char *end;
		ssize_t n;
		int err = wait_for(fd, POLLIN, end_ms);

		if (err)
			return err;
		n = recv(fd, line + used, size - used, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		end = memchr(line + used, '\n', (size_t)n);
		used += (size_t)n;
		if (end)
			return end - line;
	}
	return -EMSGSIZE;
}

int td__control_write(int fd, const char *text, size_t len, long long end_ms)
{
	while (len) {
		ssize_t n;
		int err = wait_for(fd, POLLOUT, end_ms);

		if (err)
			return err;
		n = send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}
