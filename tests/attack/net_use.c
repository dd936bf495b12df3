/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module that uses messages and sockets wrongly, behind real walls: what is refused and counted, what is a fault, and that nothing of
 * it reaches another address, the kernel's memory or the next call. The server is a thread of this program, on loopback. After each case
 * a message must still go there and back, and no mbuf, message in flight or kept chain may be left.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "modules/net_acts.h"
#include "uses.h"

/* ---- The server. Another one, at another address, is never to be called. */

static struct {
	int listener, other, port, other_port;
	uint32_t messages, slow; /* counted; slow: an echo takes so many ms */
} server;

static int move_bytes(int fd, void *data, size_t len, int out)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = out ? send(fd, (char *)data + at, len - at, MSG_NOSIGNAL) : recv(fd, (char *)data + at, len - at, 0);

		if (n <= 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

static void *serve_one(void *arg)
{
	static const size_t most = TD_MESSAGE_MAX;
	int fd = (int)(intptr_t)arg;
	uint8_t *m = malloc(most + 4);
	uint32_t mark;

	while (m && !move_bytes(fd, m, 4, 0)) {
		memcpy(&mark, m, 4);
		mark = ntohl(mark) & 0x7fffffff;
		if (mark < 5 || mark > most || move_bytes(fd, m + 4, mark, 0) || m[8] == 'c')
			break;
		__atomic_add_fetch(&server.messages, 1, __ATOMIC_SEQ_CST);
		poll(0, 0, (int)__atomic_load_n(&server.slow, __ATOMIC_SEQ_CST));
		if (m[8] == 'e' && move_bytes(fd, m, mark + 4, 1))
			break;
	}
	free(m);
	close(fd);
	return 0;
}

static void *serve(void *arg)
{
	pthread_t thread;
	int fd;

	while ((fd = accept(server.listener, 0, 0)) >= 0)
		if (!pthread_create(&thread, 0, serve_one, (void *)(intptr_t)fd))
			pthread_detach(thread);
	return arg;
}

static int listen_at(uint32_t address, int *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (void *)&a, len) || listen(fd, 16) || getsockname(fd, (void *)&a, &len))
		return -1;
	*port = ntohs(a.sin_port);
	return fd;
}

static int start_server(void)
{
	pthread_t thread;

	server.listener = listen_at(INADDR_LOOPBACK, &server.port);
	server.other = listen_at(INADDR_LOOPBACK + 1, &server.other_port);
	if (server.listener < 0 || server.other < 0)
		return -1;
	return pthread_create(&thread, 0, serve, 0);
}

/* Has anybody called the server that no mount has named? */
static int other_called(void)
{
	struct pollfd p = { .fd = server.other, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

/* The module's error, or the call's; *result may be 0. */
static int act(enum net_act what, uint64_t off, uint64_t *result)
{
	uint64_t found = 0;
	int err = td__fs_seek(uses.fs, uses.fs->root, off, what, &found);

	if (result)
		*result = found & ((1ull << NET_ERROR) - 1);
	return err ? err : -(int)(found >> NET_ERROR);
}

static int act_alone(enum net_act what)
{
	return td__fs_truncate(uses.fs, uses.fs->root, what);
}

/* Refused, counted, and the module goes on; where the service was posted nobody is there to hear of it, and it is a fault. */
static int refused(int err, int error, int posted)
{
	if (posted && in_process())
		return err == -EIO && fault() == TD_FAULT_SERVICE;
	return err == error && !fault();
}

/* ---- Messages */

static int leave(void)
{
	WANT(!act(NET_LEAVE, 3, 0));
	WANT(more(TD_MISTAKE_BUF) == 3 && !fault());
	WANT(act(NET_LEAVE, TD_MBUF_MAX + 1, 0) == -EMFILE); /* the runtime's own word: it has no number left */
	WANT(more(TD_MISTAKE_BUF) == 3 + TD_MBUF_MAX && !fault());
	return 0;
}

static int numbers(void)
{
	static const uint32_t wrong[] = { TD_MBUF_MAX | 1 << 8, 255 | 1 << 8, 0, 31 };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		td_get_status(uses.fs, &uses.before);
		WANT(refused(act(NET_NUMBER, wrong[i], 0), -EINVAL, 1));
		WANT(more(TD_MISTAKE_ARGUMENT) >= 1);
	}
	return 0;
}

static int self(void)
{
	uint64_t len;

	WANT(!act(NET_SELF, 10, &len) && len == NET_SELF_BYTES << 10 && !fault());
	/* A message may not be that long, nor in that many parts. */
	WANT(refused(act(NET_SELF, 26, &len), in_process() ? 0 : -ENOMEM, 1) || fault() == TD_FAULT_SERVICE);
	return 0;
}

static int beyond(void)
{
	for (uint64_t i = 0; i < NET_BEYONDS; i++) {
		td_get_status(uses.fs, &uses.before);
		WANT(refused(act(NET_BEYOND, i, 0), -EINVAL, i >= 3));
		WANT(more(TD_MISTAKE_ARGUMENT) >= 1);
	}
	return 0;
}

static int freed(void)
{
	WANT(act(NET_FREED, 0, 0) == -ESTALE && more(TD_MISTAKE_HANDLE) == 1 && !fault());
	return 0;
}

static int freed_twice(void)
{
	WANT(!act(NET_FREED_TWICE, 0, 0) && more(TD_MISTAKE_HANDLE) == 1 && !fault());
	return 0;
}

static int old_handle(void)
{
	WANT(!act(NET_HOLD, 0, 0));
	WANT(act(NET_OLD, 0, 0) == -ESTALE && more(TD_MISTAKE_HANDLE) == 1 && !fault());
	return 0;
}

static void *hold(void *arg)
{
	*(int *)arg = act(NET_HOLD, 300, 0);
	return 0;
}

/* Another call has a chain open by a number that is good there. */
static int foreign(void)
{
	pthread_t thread;
	int err = 1;

	pthread_create(&thread, 0, hold, &err);
	poll(0, 0, 100);
	WANT(act(NET_OLD, 0, 0) == -ESTALE && more(TD_MISTAKE_HANDLE) == 1);
	WANT(act(NET_USE, 0x12345605, 0) == -ESTALE && more(TD_MISTAKE_HANDLE) == 2);
	pthread_join(thread, 0);
	WANT(!err && !fault());
	return 0;
}

static int grow(void)
{
	uint64_t bytes;

	WANT(refused(act(NET_GROW, 0, &bytes), -EINVAL, 1));
	WANT(more(TD_MISTAKE_ARGUMENT) >= 1);
	WANT(in_process() || bytes == TD_MESSAGE_MAX);
	return 0;
}

/* As many as a call can have, each as long as it can be: that is what one call can cost the kernel. */
static int grow_many(void)
{
	act(NET_GROW_MANY, 0, 0);
	WANT(fault() == TD_FAULT_SERVICE); /* more mistakes than a call may make */
	WANT(more(TD_MISTAKE_ARGUMENT) >= 16 || in_process());
	return 0;
}

static int no_uio(void)
{
	WANT(refused(act(NET_UIO, 0, 0), -ESTALE, 1) && more(TD_MISTAKE_HANDLE) >= 1);
	return 0;
}

static int texts(void)
{
	WANT(act(NET_TEXTS, 0, 0) == (in_process() ? 0 : -EINVAL)); /* the last one is posted */
	WANT(more(TD_MISTAKE_ARGUMENT) == 2 && !fault());
	return 0;
}

/* ---- What is kept */

static int keep_wrong(void)
{
	WANT(refused(act(NET_KEEP_SHARED, 0, 0), -ESTALE, 1) && more(TD_MISTAKE_HANDLE) >= 1);
	td_get_status(uses.fs, &uses.before);
	WANT(refused(act_alone(NET_KEEP_FOREIGN), -ENOSPC, 1) && more(TD_MISTAKE_HANDLE) >= 1);
	WANT(!uses.after.net.kept);
	return 0;
}

static int keep_much(void)
{
	WANT(refused(act_alone(NET_KEEP_MUCH), -ENOSPC, 1));
	WANT(more(TD_MISTAKE_LIMIT) >= 1 && uses.after.net.kept <= 3ull * TD__KEPT_VNODE);
	WANT(!act_alone(NET_DROP));
	return 0;
}

/* What a call has kept and sent when it falls is undone. */
static int keep_and_fall(void)
{
	WANT(act_alone(NET_KEEP_AND_FALL) == -EIO);
	WANT(fault() == TD_FAULT_ACCESS || fault() == TD_FAULT_WALL);
	return 0;
}

/* ---- Sockets */

static int invented(void)
{
	static const uint32_t wrong[] = { 0, 1, 7 | 1 << 8, 8 | 1 << 8, 0xffffffff, 0xffffff00 };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		td_get_status(uses.fs, &uses.before);
		WANT(act(NET_INVENTED, wrong[i], 0) == -ESTALE && !fault());
		WANT(more(TD_MISTAKE_HANDLE) == 5);
	}
	return 0;
}

static int lost(void)
{
	uint64_t another;

	WANT(act(NET_LOST, 0, &another) == -ENOTCONN && another == 1);
	WANT(!fault() && more(TD_MISTAKE_HANDLE) == 0); /* nobody's fault but the server's */
	return 0;
}

/* A port is a port of the mount's server, whoever listens to that number elsewhere. */
static int elsewhere(void)
{
	WANT(act(NET_OPEN, (uint64_t)server.other_port, 0) == -ECONNREFUSED);
	WANT(!other_called() && !fault());
	return 0;
}

static int bad_ports(void)
{
	static const uint64_t wrong[] = { 0, 65536, 0xffffffff, 1ull << 33 | 80, 0xffffffffull << 32 | 80 };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		td_get_status(uses.fs, &uses.before);
		WANT(act(NET_OPEN, wrong[i], 0) == -EINVAL && more(TD_MISTAKE_ARGUMENT) == 1 && !fault());
	}
	return 0;
}

static int many_ports(void)
{
	uint64_t had;

	WANT(act(NET_PORTS, 2 * TD_SOCK_MAX, &had) == -EMFILE && had <= TD_SOCK_MAX && !fault());
	return 0;
}

static int tagless(void)
{
	WANT(act(NET_TAGLESS, 0, 0) == -EINVAL && more(TD_MISTAKE_ARGUMENT) == 1 && !fault());
	return 0;
}

static int same_tag(void)
{
	WANT(act(NET_SAME_TAG, 0, 0) == -EEXIST && !fault());
	return 0;
}

/* So many are in flight, and no more. A new domain does not know of them, so they go with the old one. */
static int flood(void)
{
	WANT(!act(NET_FLOOD, 3 * TD__PENDING_MAX, 0) && !fault());
	td_get_status(uses.fs, &uses.after);
	WANT(uses.after.net.in_flight == TD__PENDING_MAX);
	WANT(!move_to(""));
	return 0;
}

static int room(void)
{
	WANT(act(NET_ROOM, 0, 0) == -EINVAL && more(TD_MISTAKE_ARGUMENT) == 1 && !fault());
	return 0;
}

static void *call(void *arg)
{
	*(int *)arg = act(NET_CALL, 'e', 0);
	return 0;
}

/* Who waits for a server is moved to another domain, or loses his own, and has sent his message once all the same. */
static int moved(void)
{
	pthread_t thread;
	uint32_t sent = server.messages;
	int err = 1;

	__atomic_store_n(&server.slow, 500, __ATOMIC_SEQ_CST);
	pthread_create(&thread, 0, call, &err);
	poll(0, 0, 150);
	td_get_status(uses.fs, &uses.after);
	if (in_process())
		kill((pid_t)uses.after.process, SIGKILL);
	else if (move_to(""))
		return 1;
	pthread_join(thread, 0);
	__atomic_store_n(&server.slow, 0, __ATOMIC_SEQ_CST);
	WANT(!err && server.messages == sent + 1);
	return 0;
}

/* ---- Addresses */

static uint8_t *kernels; /* a byte of memory that is not the module's */

static int untouched(void)
{
	for (int i = 0; i < 8; i++)
		if (kernels[i] != 0x5a)
			return 0;
	return 1;
}

/* Where nothing is; to a sandbox addresses have 32 bits, and there is nothing behind its memory. */
static uint64_t nowhere(void)
{
	return uses.level.wall == TD_WALL_SFI ? 0xfffff000 : (uint64_t)(uintptr_t)kernels + 4096;
}

static int refused_at(enum net_act what, uint64_t at)
{
	td_get_status(uses.fs, &uses.before);
	act(what, at, 0);
	if (!more(TD_MISTAKE_ARGUMENT) && !fault()) {
		snprintf(uses.said, sizeof(uses.said), "act %u at %#llx: neither refused nor a fault", what, (unsigned long long)at);
		return 1;
	}
	return 0;
}

/* The kernel reads and writes for the module, and must not where the module could not. */
static int by_services(void)
{
	for (enum net_act what = NET_GET_TO; what <= NET_REPLY_TO; what++)
		if (refused_at(what, nowhere()))
			return 1;
	if (uses.level.wall == TD_WALL_NONE || uses.level.wall == TD_WALL_SFI) /* nothing stops it; cannot be said in 32 bits */
		return 0;
	if (refused_at(NET_GET_TO, (uintptr_t)kernels) || refused_at(NET_REPLY_TO, (uintptr_t)kernels))
		return 1;
	WANT(untouched());
	return 0;
}

/* Bytes of messages are the kernel's memory, at every setting of `shared`. */
static int mbuf_memory(void)
{
	static const char *const knobs[] = { "shared=ro", "shared=unmapped" };
	struct td__mbuf *m;
	struct td__piece piece;
	int err = 0;

	if (uses.level.wall == TD_WALL_NONE)
		return NOTHING_STOPS_IT;
	if (uses.level.wall == TD_WALL_SFI) { /* there is no number for such an address */
		WANT(act(NET_STORE, nowhere(), 0) == -EIO && fault() == TD_FAULT_ACCESS);
		return 0;
	}
	m = td__mbuf_new();
	WANT(m && !td__mbuf_put(&uses.fs->net.pool, m, "ZZZZZZZZ", 8, 8));
	td__mbuf_pieces(m, 0, &piece, 1);
	for (int i = 0; i < 2 && !err; i++) {
		err = move_to(knobs[i]);
		if (!err && act(NET_STORE, (uintptr_t)piece.data, 0) != -EIO)
			err = 1;
		if (fault() != TD_FAULT_ACCESS && fault() != TD_FAULT_WALL)
			err = 1;
	}
	err |= memcmp(piece.data, "ZZZZZZZZ", 8);
	td__mbuf_drop(&uses.fs->net.pool, m);
	WANT(!err);
	return 0;
}

static int loads(void)
{
	WANT(act(NET_LOAD, nowhere(), 0) == -EIO && (fault() == TD_FAULT_ACCESS || fault() == TD_FAULT_WALL));
	if (in_process())
		WANT(act(NET_LOAD, (uintptr_t)kernels, 0) == -EIO);
	return 0;
}

/* ---- */

static const struct use_case cases[] = {
	{ "mbufs left open", leave },
	{ "numbers that are out of range or in use", numbers },
	{ "a chain appended to itself", self },
	{ "bytes beyond the end", beyond },
	{ "a chain used after it was freed", freed },
	{ "a chain freed twice", freed_twice },
	{ "the chain of an earlier call", old_handle },
	{ "the chain of another call", foreign },
	{ "a chain without end", grow },
	{ "many of them", grow_many },
	{ "a buffer that the call does not have", no_uio },
	{ "texts", texts },
	{ "kept with another's vnode", keep_wrong },
	{ "kept without end", keep_much },
	{ "kept and sent by a call that falls", keep_and_fall },
	{ "sockets that never were", invented },
	{ "a connection that is lost", lost },
	{ "another address", elsewhere },
	{ "ports that do not exist", bad_ports },
	{ "a message without a tag", tagless },
	{ "two messages with one tag", same_tag },
	{ "a flood", flood },
	{ "no room for a reply", room },
	{ "moved while it waits", moved },
	{ "addresses, by services", by_services },
	{ "memory of messages", mbuf_memory },
	{ "loads", loads },
	{ "more ports than there are sockets", many_ports }, /* they are taken for good, so this is the last */
};

static int clean(void)
{
	int err = act(NET_CALL, 'e', 0);

	if (err) {
		snprintf(uses.said, sizeof(uses.said), "afterwards a message does not go there and back: error %d", -err);
		return 1;
	}
	td_get_status(uses.fs, &uses.after);
	WANT(!uses.after.inside && uses.after.state == TD_STATE_RUNNING);
	WANT(!uses.after.net.in_flight && !uses.after.net.kept && !other_called());
	WANT(uses.after.net.buffers <= TD__LARGE); /* of a message that is being received */
	return 0;
}

int main(int argc, char **argv)
{
	char url[64];

	uses_read(argc, argv);
	kernels = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (start_server() || kernels == MAP_FAILED || mprotect(kernels + 4096, 4096, PROT_NONE)) {
		perror("net_use");
		return 1;
	}
	memset(kernels, 0x5a, 4096);
	snprintf(url, sizeof(url), "nfs://127.0.0.1:%d/x", server.port);
	uses_open("net_acts", url);
	return uses_run(argv, cases, sizeof(cases) / sizeof(cases[0]), clean);
}
