/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module that uses messages and sockets wrongly, behind real walls: what is refused and counted, what is a fault, and that nothing of
 * it reaches another address, the kernel's memory or the next call.
 *
 *   net_use FOLDER LEVEL [CASE | --table]
 *
 * --table: a line for each case, with what became of it in the words of CAVEATS.md. FOLDER has the module; the server is a thread of this program, on loopback. After each case a message must still go there and back, and
 * no mbuf, message in flight or kept chain may be left.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <fs_gateway.h>
#include "../../core/fs.h"
#include "../../front/inproc/tadan.h"
#include "../../walls/walls.h"
#include "modules/net_acts.h"

static struct td_volume *volume;
static struct td__fs *fs;
static struct td_level level;
static const char *folder, *name;
static struct td_status before, after;
static char said[512]; /* what was wrong */

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

/* ---- What is wanted. A case returns 0, 1 if something was wrong, or that its level does not promise anything here. */

enum { NOTHING_STOPS_IT = 2 };

#define WANT(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			snprintf(said, sizeof(said), "line %d: %s", __LINE__, #x); \
			return 1;                                               \
		}                                                               \
	} while (0)

/* The module's error, or the call's; *result may be 0. */
static int act(enum net_act what, uint64_t off, uint64_t *result)
{
	uint64_t found = 0;
	int err = td__fs_seek(fs, fs->root, off, what, &found);

	if (result)
		*result = found & ((1ull << NET_ERROR) - 1);
	return err ? err : -(int)(found >> NET_ERROR);
}

static int act_alone(enum net_act what)
{
	return td__fs_truncate(fs, fs->root, what);
}

static uint64_t more(enum td_mistake kind)
{
	td_get_status(fs, &after);
	return after.mistakes[kind] - before.mistakes[kind];
}

/* The kind of the newest fault since the case began; 0: there was none. */
static uint32_t fault(void)
{
	struct td_fault f[TD_FAULTS_KEPT];
	uint32_t n = td_get_faults(fs, before.faults, f, TD_FAULTS_KEPT);

	return n ? f[n - 1].kind : 0;
}

static int move_to(const char *knobs)
{
	char text[128], why[256];

	snprintf(text, sizeof(text), "%s,restart=1000/1s%s%s", name, knobs[0] ? "," : "", knobs);
	if (td_level_parse(text, &level, why, sizeof(why)) || td_set_level(fs, &level, 0, why, sizeof(why))) {
		snprintf(said, sizeof(said), "%s: %s", text, why);
		return 1;
	}
	td_get_status(fs, &before);
	return 0;
}

static int in_process(void)
{
	return level.wall == TD_WALL_PROCESS;
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
		td_get_status(fs, &before);
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
		td_get_status(fs, &before);
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
	td_get_status(fs, &before);
	WANT(refused(act_alone(NET_KEEP_FOREIGN), -ENOSPC, 1) && more(TD_MISTAKE_HANDLE) >= 1);
	WANT(!after.net.kept);
	return 0;
}

static int keep_much(void)
{
	WANT(refused(act_alone(NET_KEEP_MUCH), -ENOSPC, 1));
	WANT(more(TD_MISTAKE_LIMIT) >= 1 && after.net.kept <= 3ull * TD__KEPT_VNODE);
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
		td_get_status(fs, &before);
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
		td_get_status(fs, &before);
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
	td_get_status(fs, &after);
	WANT(after.net.in_flight == TD__PENDING_MAX);
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
	td_get_status(fs, &after);
	if (in_process())
		kill((pid_t)after.process, SIGKILL);
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
	return level.wall == TD_WALL_SFI ? 0xfffff000 : (uint64_t)(uintptr_t)kernels + 4096;
}

static int refused_at(enum net_act what, uint64_t at)
{
	td_get_status(fs, &before);
	act(what, at, 0);
	if (!more(TD_MISTAKE_ARGUMENT) && !fault()) {
		snprintf(said, sizeof(said), "act %u at %#llx: neither refused nor a fault", what, (unsigned long long)at);
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
	if (level.wall == TD_WALL_NONE || level.wall == TD_WALL_SFI) /* nothing stops it; cannot be said in 32 bits */
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

	if (level.wall == TD_WALL_NONE)
		return NOTHING_STOPS_IT;
	if (level.wall == TD_WALL_SFI) { /* there is no number for such an address */
		WANT(act(NET_STORE, nowhere(), 0) == -EIO && fault() == TD_FAULT_ACCESS);
		return 0;
	}
	m = td__mbuf_new();
	WANT(m && !td__mbuf_put(&fs->net.pool, m, "ZZZZZZZZ", 8, 8));
	td__mbuf_pieces(m, 0, &piece, 1);
	for (int i = 0; i < 2 && !err; i++) {
		err = move_to(knobs[i]);
		if (!err && act(NET_STORE, (uintptr_t)piece.data, 0) != -EIO)
			err = 1;
		if (fault() != TD_FAULT_ACCESS && fault() != TD_FAULT_WALL)
			err = 1;
	}
	err |= memcmp(piece.data, "ZZZZZZZZ", 8);
	td__mbuf_drop(&fs->net.pool, m);
	WANT(!err);
	return 0;
}

static int loads(void)
{
	WANT(act(NET_LOAD, nowhere(), 0) == -EIO && (fault() == TD_FAULT_ACCESS || fault() == TD_FAULT_WALL));
	if (level.wall == TD_WALL_PROCESS)
		WANT(act(NET_LOAD, (uintptr_t)kernels, 0) == -EIO);
	return 0;
}

/* ---- */

static const struct {
	const char *name;
	int (*run)(void);
} cases[] = {
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
		snprintf(said, sizeof(said), "afterwards a message does not go there and back: error %d", -err);
		return 1;
	}
	td_get_status(fs, &after);
	WANT(!after.inside && after.state == TD_STATE_RUNNING);
	WANT(!after.net.in_flight && !after.net.kept && !other_called());
	WANT(after.net.buffers <= TD__LARGE); /* of a message that is being received */
	return 0;
}

static int start(void)
{
	char path[4096], text[128], url[64], why[512] = "";
	struct td_volume_params params = { .module = path, .level = text, .size = 1 << 20, .server = url };

	snprintf(path, sizeof(path), "%s/net_acts.so", folder);
	snprintf(text, sizeof(text), "%s,restart=1000/1s", name);
	if (td_level_parse(text, &level, why, sizeof(why)) || !td__walls[level.wall] || td__walls[level.wall]->available(why, sizeof(why))) {
		printf("skipped: %s: %s\n0 passed, 0 failed, 1 skipped\n", name, why);
		exit(77);
	}
	kernels = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (start_server() || kernels == MAP_FAILED || mprotect(kernels + 4096, 4096, PROT_NONE)) {
		perror("net_use");
		return 1;
	}
	memset(kernels, 0x5a, 4096);
	snprintf(url, sizeof(url), "nfs://127.0.0.1:%d/x", server.port);
	if (td_volume_open(&params, &volume, why, sizeof(why))) {
		fprintf(stderr, "net_use: %s\n", why);
		return 1;
	}
	fs = td_volume_fs(volume);
	return 0;
}

/* All that was seen since the case began; its own looks may have begun anew. */
static void print_row(const char *about, const struct td_status *first)
{
	td_get_status(fs, &after);
	printf("%s\t%s%scontained%s\n", about, after.faults > first->faults ? "detected, " : "",
	       after.faults == first->faults && after.careless > first->careless ? "counted, " : "",
	       after.faults > first->faults ? ", recovered" : "");
}

int main(int argc, char **argv)
{
	int failed = 0, passed = 0, skipped = 0, table = argc > 3 && !strcmp(argv[3], "--table");

	if (argc < 3) {
		fprintf(stderr, "usage: net_use FOLDER LEVEL [CASE | --table]\n");
		return 2;
	}
	folder = argv[1];
	name = argv[2];
	if (start())
		return 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct td_status first;

		if (argc > 3 && !table && strcmp(argv[3], cases[i].name))
			continue;
		said[0] = 0;
		td_get_status(fs, &first);
		int result = move_to("") ? 1 : cases[i].run();

		if (result == NOTHING_STOPS_IT) {
			skipped++;
			if (table)
				printf("%s\tnothing\n", cases[i].name);
		} else if (result || clean()) {
			printf("FAILED: %s at %s: %s; again: net_use %s %s \"%s\"\n", cases[i].name, name, said, folder, name,
			       cases[i].name);
			failed++;
		} else {
			passed++;
			if (table)
				print_row(cases[i].name, &first);
		}
	}
	td_volume_close(volume);
	printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
	return failed != 0;
}
