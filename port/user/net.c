/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections: TCP sockets that never block, each with an eventfd by which somebody who waits is woken.
 *
 * Who waits for a server that answers within some tens of microseconds looks on for it, giving his core to whoever wants it between two looks: to
 * sleep and be woken would cost as much again. Not where answers take longer, where a look found the core in use (then some waits
 * sleep, more each time), or where all other cores have somebody who looks.
 */
#include "../../core/port.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct td__sock {
	int fd, wake;
	/* Of who waits: */
	int64_t usual;	/* ns that a wait takes, the last ones counting most */
	uint32_t pause; /* so many waits are not to look */
	uint32_t next;	/* the next pause: twice the last one, less what was won since */
	int cores;
};

enum { LOOK_NS = 150 * 1000, LATE_NS = 500 * 1000, PAUSE_LEAST = 32, PAUSE_MOST = 512 };

static int lookers; /* of all sockets, atomic */

enum { PIECES = 64, RESERVED_FIRST = 600, RESERVED_LAST = 1023, BUFFER = 1 << 20 };

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t fill(union address *a, const struct td__address *from, uint32_t port)
{
	memset(a, 0, sizeof(*a));
	if (from->family == 6) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)port);
		a->v6.sin6_scope_id = from->scope;
		memcpy(&a->v6.sin6_addr, from->bytes, 16);
		return sizeof(a->v6);
	}
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons((uint16_t)port);
	memcpy(&a->v4.sin_addr, from->bytes, 4);
	return sizeof(a->v4);
}

/* A server that does not want it takes the connection from any port; one that does says so itself. */
static void bind_reserved(int fd, uint32_t family)
{
	static uint32_t next;
	const struct td__address here = { .family = family };
	union address a;

	for (int tries = 0; tries <= RESERVED_LAST - RESERVED_FIRST; tries++) {
		uint32_t n = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) %
			     (RESERVED_LAST - RESERVED_FIRST + 1);
		socklen_t len = fill(&a, &here, RESERVED_FIRST + n);

		if (!bind(fd, &a.any, len) || errno != EADDRINUSE)
			return;
	}
}

static void set_options(int fd)
{
	const int on = 1, buffer = BUFFER;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
}

/* The process's: its first thread stays where it is. */
static int cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(getpid(), sizeof(set), &set) ? 1 : CPU_COUNT(&set);
}

int td__port_sock_open(const struct td__address *to, uint32_t port, uint32_t reserved,
		       struct td__sock **out)
{
	struct td__sock *s = calloc(1, sizeof(*s));
	union address a;
	int err;

	if (!s)
		return -ENOMEM;
	s->wake = -1;
	s->usual = LOOK_NS;
	s->next = PAUSE_LEAST;
	s->cores = cores();
	s->fd = socket(to->family == 6 ? AF_INET6 : AF_INET,
		       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		goto bad;
	s->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->wake < 0)
		goto bad;
	set_options(s->fd);
	if (reserved)
		bind_reserved(s->fd, to->family);
	if (connect(s->fd, &a.any, fill(&a, to, port)) && errno != EINPROGRESS)
		goto bad;
	*out = s;
	return 0;
bad:
	err = -errno;
	td__port_sock_close(s);
	return err;
}

int td__port_sock_connected(struct td__sock *s)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return -errno;
	return -err;
}

void td__port_sock_close(struct td__sock *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->wake >= 0)
		close(s->wake);
	free(s);
}

static uint32_t vectors(const struct td__piece *pieces, uint32_t n, struct iovec *iov)
{
	uint32_t i;

	for (i = 0; i < n && i < PIECES; i++)
		iov[i] = (struct iovec){ pieces[i].data, pieces[i].len };
	return i;
}

int64_t td__port_sock_send(struct td__sock *s, const struct td__piece *pieces, uint32_t n)
{
	struct iovec iov[PIECES];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = vectors(pieces, n, iov) };
	ssize_t sent;

	do
		sent = sendmsg(s->fd, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

int64_t td__port_sock_receive(struct td__sock *s, const struct td__piece *pieces, uint32_t n)
{
	struct iovec iov[PIECES];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = vectors(pieces, n, iov) };
	ssize_t got;

	do
		got = recvmsg(s->fd, &m, 0);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* As poll(), for LOOK_NS from `begin` on. */
static int look(struct td__sock *s, struct pollfd fds[2], int64_t begin)
{
	int64_t before = begin, after;
	int came;

	while (!(came = poll(fds, 2, 0)) && before - begin < LOOK_NS) {
		sched_yield();
		after = now_ns();
		if (after - before > LATE_NS) {
			s->pause = s->next;
			s->next = 2 * s->next < PAUSE_MOST ? 2 * s->next : PAUSE_MOST;
		}
		before = after;
	}
	if (came > 0 && s->next > PAUSE_LEAST)
		s->next--;
	return came;
}

static int may_look(struct td__sock *s)
{
	if (s->pause) {
		s->pause--;
		return 0;
	}
	return s->usual < LOOK_NS;
}

/* As poll(). */
static int await(struct td__sock *s, struct pollfd fds[2], uint32_t ms)
{
	int64_t begin = now_ns(), took;
	int came = 0;

	if (ms && may_look(s)) {
		if (__atomic_fetch_add(&lookers, 1, __ATOMIC_RELAXED) < s->cores - 1)
			came = look(s, fds, begin);
		__atomic_sub_fetch(&lookers, 1, __ATOMIC_RELAXED);
	}
	if (!came)
		came = poll(fds, 2, (int)ms);
	took = now_ns() - begin;
	s->usual += ((took < 8 * LOOK_NS ? took : 8 * LOOK_NS) - s->usual) / 8;
	return came;
}

uint32_t td__port_sock_wait(struct td__sock *s, uint32_t what, uint32_t ms)
{
	short events =
		(short)((what & TD__SOCK_IN ? POLLIN : 0) | (what & TD__SOCK_OUT ? POLLOUT : 0));
	struct pollfd fds[2] = { { .fd = s->fd, .events = events },
				 { .fd = s->wake, .events = POLLIN } };
	uint64_t woken;

	if (await(s, fds, ms) <= 0)
		return 0;
	if (fds[1].revents && read(s->wake, &woken, sizeof(woken)) < 0) {
		/* somebody else who waited has taken it */
	}
	if (fds[0].revents &
	    (POLLERR | POLLHUP)) /* what is to be read or written says what is wrong */
		return what;
	return (fds[0].revents & POLLIN ? TD__SOCK_IN : 0) |
	       (fds[0].revents & POLLOUT ? TD__SOCK_OUT : 0);
}

void td__port_sock_wake(struct td__sock *s)
{
	const uint64_t one = 1;

	if (write(s->wake, &one, sizeof(one)) < 0) {
		/* it is full of wakings: nobody will sleep */
	}
}
