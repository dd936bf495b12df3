/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets, against a server in a thread of this program that keeps or breaks the rules as told. The test plays the module: its
 * operation `statfs` runs a function with the services. What goes wrong in another thread is counted and looked at by the test.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test_core_fake.h"

/* ---- The server */

enum manner {
	ECHO,      /* each message comes back */
	REVERSED,  /* in batches of `batch`, the last first */
	SILENT,    /* until `speak` is set, then the last message comes back */
	CUT,       /* half a message comes back, and that is all */
	DRIBBLE,   /* byte by byte, in many fragments */
	OVERSIZED, /* a fragment that is longer than any message may be */
	ENDLESS,   /* fragments without end */
	STRANGER,  /* first a message that nobody asked for */
	TWICE,     /* each message comes back twice */
	SHORT,     /* a message without a tag */
};

static struct {
	int listener, port;
	pthread_t thread;
	enum manner manner;
	uint32_t batch, speak;
	uint32_t accepted, messages, stop; /* counted */
} server;

static int transfer(int fd, void *data, size_t len, int out)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = out ? send(fd, (char *)data + at, len - at, MSG_NOSIGNAL) : recv(fd, (char *)data + at, len - at, 0);

		if (n <= 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

static int send_fragment(int fd, const void *data, uint32_t len, int last)
{
	uint32_t mark = htonl(len | (last ? 1u << 31 : 0));

	return transfer(fd, &mark, 4, 1) || transfer(fd, (void *)(uintptr_t)data, len, 1);
}

struct message {
	uint32_t len;
	uint8_t *data;
};

static int read_message(int fd, struct message *m)
{
	uint32_t mark;

	if (transfer(fd, &mark, 4, 0))
		return -1;
	m->len = ntohl(mark) & 0x7fffffff;
	m->data = malloc(m->len + 1);
	__atomic_add_fetch(&server.messages, 1, __ATOMIC_SEQ_CST);
	return transfer(fd, m->data, m->len, 0);
}

static int dribble(int fd, const struct message *m)
{
	for (uint32_t at = 0; at < m->len; at += 3) {
		uint32_t n = m->len - at < 3 ? m->len - at : 3;

		if (send_fragment(fd, m->data + at, n, 0) || (at % 2 && send_fragment(fd, 0, 0, 0)))
			return -1;
	}
	return send_fragment(fd, 0, 0, 1);
}

static int endless(int fd, const struct message *m)
{
	while (!send_fragment(fd, m->data, m->len < 8 ? m->len : 8, 0))
		;
	return -1;
}

static int wait_to_speak(void)
{
	while (!__atomic_load_n(&server.speak, __ATOMIC_SEQ_CST) && !__atomic_load_n(&server.stop, __ATOMIC_SEQ_CST))
		usleep(500);
	return 0;
}

static int answer(int fd, struct message *m)
{
	static const uint8_t strange[] = { 0xde, 0xad, 0xbe, 0xef, 1, 2, 3 };
	uint32_t mark;

	switch (__atomic_load_n(&server.manner, __ATOMIC_SEQ_CST)) {
	case SILENT:
		wait_to_speak();
		return send_fragment(fd, m->data, m->len, 1);
	case CUT:
		mark = htonl(m->len | 1u << 31);
		transfer(fd, &mark, 4, 1);
		transfer(fd, m->data, m->len / 2, 1);
		return -1;
	case DRIBBLE:
		return dribble(fd, m);
	case OVERSIZED:
		mark = htonl(0xfffffff0u);
		transfer(fd, &mark, 4, 1);
		transfer(fd, m->data, m->len, 1);
		wait_to_speak();
		return -1;
	case ENDLESS:
		return endless(fd, m);
	case SHORT:
		return send_fragment(fd, m->data, 2, 1);
	case STRANGER:
		return send_fragment(fd, strange, sizeof(strange), 1) || send_fragment(fd, m->data, m->len, 1);
	case TWICE:
		return send_fragment(fd, m->data, m->len, 1) || send_fragment(fd, m->data, m->len, 1);
	default:
		return send_fragment(fd, m->data, m->len, 1);
	}
}

static int reversed(int fd)
{
	struct message batch[64] = { 0 };
	int bad = 0;
	uint32_t n = 0;

	for (; n < server.batch && !bad; n++)
		bad = read_message(fd, &batch[n]);
	while (n--) {
		if (!bad)
			bad = send_fragment(fd, batch[n].data, batch[n].len, 1);
		free(batch[n].data);
	}
	return bad;
}

static void *connection(void *arg)
{
	int fd = (int)(intptr_t)arg, bad = 0;

	while (!bad) {
		struct message m = { 0 };

		if (__atomic_load_n(&server.manner, __ATOMIC_SEQ_CST) == REVERSED) {
			bad = reversed(fd);
			continue;
		}
		bad = read_message(fd, &m) || answer(fd, &m);
		free(m.data);
	}
	close(fd);
	return 0;
}

static void *serve(void *arg)
{
	pthread_t threads[64];
	uint32_t n = 0;
	int fd;

	while (n < 64 && (fd = accept(server.listener, 0, 0)) >= 0) {
		__atomic_add_fetch(&server.accepted, 1, __ATOMIC_SEQ_CST);
		pthread_create(&threads[n++], 0, connection, (void *)(intptr_t)fd);
	}
	while (n)
		pthread_join(threads[--n], 0);
	return arg;
}

static const struct td__address loopback = { .family = 4, .bytes = { 127, 0, 0, 1 } };

static void start_server(enum manner manner)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	memset(&server, 0, sizeof(server));
	server.manner = manner;
	server.listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server.listener, (void *)&a, len), 0);
	assert_int_equal(listen(server.listener, 16), 0);
	getsockname(server.listener, (void *)&a, &len);
	server.port = ntohs(a.sin_port);
	pthread_create(&server.thread, 0, serve, 0);
}

static void stop_server(void)
{
	__atomic_store_n(&server.stop, 1, __ATOMIC_SEQ_CST);
	shutdown(server.listener, SHUT_RDWR);
	pthread_join(server.thread, 0);
	close(server.listener);
}

/* ---- The module */

static struct td__fs *fs;

static int operation(struct td__call *c);

static void mount_at(const char *level)
{
	fake_ops[TD_OP_statfs] = operation;
	fs = fake_mount_on(level, &loopback);
}

/* Unmount first: the server's threads end with their connections. */
static void end_all(void)
{
	assert_int_equal(td_unmount(fs), 0);
	stop_server();
}

static int open_socket(struct td__call *c, uint32_t *handle)
{
	uint64_t value = 0;
	int err = td__svc_do_so_open(c, (uint32_t)server.port, 0, 2000, &value);

	*handle = (uint32_t)value;
	return err;
}

/* A message of `len` bytes with this tag, as mbuf number `index`; each is opened once in a call. */
static uint32_t build(struct td__call *c, uint32_t index, uint32_t tag, uint32_t len)
{
	uint32_t handle = index | (c->mbuf_uses + 1) << 8, big = htonl(tag);
	static const uint8_t bytes[1 << 20];

	td__svc_do_mb_build(c, handle, &big, 4);
	if (len > 4)
		td__svc_do_mb_put(c, handle, bytes, len - 4);
	return handle;
}

struct answer {
	struct td_reply r;
	uint8_t head[64];
};

/* One message there and back. */
static int call_once(struct td__call *c, uint32_t socket, uint32_t tag, uint32_t len, uint32_t ms)
{
	uint32_t m = build(c, 0, tag, len), reply = 1 | (c->mbuf_uses + 1) << 8, big = htonl(tag);
	struct answer a = { 0 };
	int err = td__svc_do_so_call(c, socket, m, reply, ms, &a, sizeof(a));

	td__svc_do_mb_free(c, m);
	if (err)
		return err;
	if (a.r.len != len || a.r.mbuf != reply || memcmp(a.head, &big, 4))
		return -TD_EUCLEAN;
	return td__svc_do_mb_free(c, reply);
}

static int (*act)(struct td__call *c); /* what the operation does */

static int operation(struct td__call *c)
{
	((struct td_frame_statfs *)c->frame)->info = c->fs->info;
	return act(c);
}

static int run(int (*what)(struct td__call *c))
{
	struct td_fsinfo info;

	act = what;
	return td__fs_statfs(fs, &info);
}

static uint64_t careless(void)
{
	struct td_status s;

	td_get_status(fs, &s);
	return s.careless;
}

static uint64_t faults(void)
{
	struct td_status s;

	td_get_status(fs, &s);
	return s.faults;
}

/* ---- Tests */

static uint32_t length = 100;

static int one_call(struct td__call *c)
{
	uint32_t socket;
	int err = open_socket(c, &socket);

	return err ? err : call_once(c, socket, c->tag, length, 5000);
}

/* Of a call that is over nothing is kept. */
static void nothing_left(void)
{
	for (uint32_t i = 0; i < TD__BUCKETS; i++)
		assert_null(fs->net.sockets[0].buckets[i]);
}

static void good(enum manner manner, uint32_t len)
{
	start_server(manner);
	mount_at("guarded");
	length = len;
	for (int i = 0; i < 3; i++)
		assert_int_equal(run(one_call), 0);
	nothing_left();
	assert_int_equal(server.accepted, 1);
	assert_int_equal(careless(), 0);
	assert_int_equal(faults(), 0);
	end_all();
}

static void test_echo(void **state)
{
	(void)state;
	good(ECHO, 4);
	good(ECHO, 1000);
	good(ECHO, 1 << 20);
}

static void test_dribble(void **state)
{
	(void)state;
	good(DRIBBLE, 500);
}

static void test_stranger(void **state)
{
	(void)state;
	good(STRANGER, 500);
	good(TWICE, 500);
}

static uint32_t bad_results;

static void *many_calls(void *arg)
{
	for (int i = 0; i < 50; i++) {
		struct td_fsinfo info;

		if (td__fs_statfs(fs, &info))
			__atomic_add_fetch(&bad_results, 1, __ATOMIC_SEQ_CST);
	}
	return arg;
}

/* Twelve threads, one connection, replies in another order than the questions. */
static void test_threads(void **state)
{
	enum { THREADS = 12 };
	pthread_t threads[THREADS];

	(void)state;
	start_server(REVERSED);
	server.batch = THREADS;
	mount_at("guarded");
	length = 3000;
	act = one_call;
	bad_results = 0;
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], 0, many_calls, 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], 0);
	assert_int_equal(bad_results, 0);
	assert_int_equal(server.accepted, 1);
	assert_int_equal(server.messages, THREADS * 50);
	end_all();
}

/* Over its time the request stays in flight: asking again waits on, and does not send again. */
static int patient(struct td__call *c)
{
	uint32_t socket, m, reply;
	struct answer a;

	if (open_socket(c, &socket))
		return -TD_EIO;
	m = build(c, 0, c->tag, 100);
	reply = 1 | (c->mbuf_uses + 1) << 8;
	if (td__svc_do_so_call(c, socket, m, reply, 50, &a, sizeof(a)) != -TD_ETIMEDOUT)
		return -TD_EIO;
	if (td__svc_do_so_receive(c, socket, c->tag, reply, 0, &a, sizeof(a)) != -TD_ETIMEDOUT)
		return -TD_EIO;
	__atomic_store_n(&server.speak, 1, __ATOMIC_SEQ_CST);
	if (td__svc_do_so_call(c, socket, m, reply, 5000, &a, sizeof(a)) || a.r.len != 100)
		return -TD_EIO;
	td__svc_do_mb_free(c, m);
	return td__svc_do_mb_free(c, reply);
}

static void test_timeout(void **state)
{
	(void)state;
	start_server(SILENT);
	mount_at("guarded");
	assert_int_equal(run(patient), 0);
	assert_int_equal(server.messages, 1);
	assert_int_equal(careless(), 0);
	end_all();
}

/* Waiting is not the module's time. */
static int wait_long(struct td__call *c)
{
	uint32_t socket;

	if (open_socket(c, &socket))
		return -TD_EIO;
	return call_once(c, socket, c->tag, 100, 400) == -TD_ETIMEDOUT && !td__svc_do_sleep(c, 100) ? 0 : -TD_EIO;
}

static void test_time_limit(void **state)
{
	(void)state;
	start_server(SILENT);
	mount_at("guarded,time=100ms");
	assert_int_equal(run(wait_long), 0);
	assert_int_equal(faults(), 0);
	/* What is left in flight ends with the call. */
	assert_int_equal(fs->net.sockets[0].npending, 0);
	__atomic_store_n(&server.speak, 1, __ATOMIC_SEQ_CST);
	end_all();
}

/* A connection that breaks: an error, a stale handle, and another connection. */
static int broken_error;

static int until_it_breaks(struct td__call *c)
{
	uint32_t socket, again;
	int err = open_socket(c, &socket);

	if (err)
		return -TD_EIO;
	err = call_once(c, socket, c->tag, length, 5000);
	if (err != broken_error || call_once(c, socket, c->tag, length, 5000) != broken_error)
		return -TD_EIO;
	if (open_socket(c, &again) || again == socket)
		return -TD_EINVAL;
	__atomic_store_n(&server.manner, ECHO, __ATOMIC_SEQ_CST);
	call_once(c, again, c->tag, length, 5000); /* to one that was accepted before the change */
	if (open_socket(c, &again))
		return -TD_EINVAL;
	return call_once(c, again, c->tag, length, 5000);
}

static void bad(enum manner manner, int error)
{
	start_server(manner);
	__atomic_store_n(&server.speak, 1, __ATOMIC_SEQ_CST);
	mount_at("guarded");
	broken_error = error;
	length = 100;
	assert_int_equal(run(until_it_breaks), 0);
	assert_int_equal(careless(), 0);
	assert_int_equal(fs->net.counts.broken > 0, error == -TD_EBADMSG);
	end_all();
}

static void test_broken(void **state)
{
	(void)state;
	bad(CUT, -TD_ENOTCONN);
	bad(OVERSIZED, -TD_EBADMSG);
	bad(ENDLESS, -TD_EBADMSG);
	bad(SHORT, -TD_EBADMSG);
}

static int refused(struct td__call *c)
{
	uint64_t value;
	int err = td__svc_do_so_open(c, 1, 0, 1000, &value);

	return err == -TD_ECONNREFUSED ? 0 : -TD_EIO;
}

static void test_refused(void **state)
{
	(void)state;
	start_server(ECHO);
	mount_at("guarded");
	assert_int_equal(run(refused), 0);
	end_all();
}

/* ---- Messages in two parts, of different calls */

enum { AHEAD = 40 };

static int send_many(struct td__call *c)
{
	uint32_t socket;
	int err = open_socket(c, &socket);

	for (uint32_t i = 0; i < AHEAD && !err; i++) {
		uint32_t m = build(c, 0, 0x80000000u + i, length);

		err = td__svc_do_so_send(c, socket, m);
		td__svc_do_mb_free(c, m);
	}
	return err;
}

static int receive_many(struct td__call *c)
{
	uint32_t socket;
	int err = open_socket(c, &socket);

	for (uint32_t i = AHEAD; i-- > 0 && !err;) {
		uint32_t reply = 1 | (c->mbuf_uses + 1) << 8;
		struct answer a;

		err = td__svc_do_so_receive(c, socket, 0x80000000u + i, reply, 5000, &a, sizeof(a));
		if (!err && a.r.len != length)
			err = -TD_EUCLEAN;
		td__svc_do_mb_free(c, reply);
	}
	if (!err && td__svc_do_so_receive(c, socket, 0x80000000u, 1 | (c->mbuf_uses + 1) << 8, 10, &(struct answer){ 0 },
					  sizeof(struct answer)) != -TD_ENOENT)
		err = -TD_EINVAL;
	return err;
}

/* More than all buffers hold, both ways, while nobody reads: neither side waits for the other for ever. */
static void test_ahead(void **state)
{
	(void)state;
	start_server(ECHO);
	mount_at("guarded");
	for (length = 10; length <= 1 << 20; length *= 100) {
		assert_int_equal(run(send_many), 0);
		assert_int_equal(run(receive_many), 0);
	}
	assert_int_equal(careless(), 0);
	end_all();
}

/* What a domain has sent ahead ends with it. */
static void test_ahead_ends(void **state)
{
	struct td_level level;
	char why[200];

	(void)state;
	start_server(ECHO);
	mount_at("guarded");
	length = 100;
	assert_int_equal(run(send_many), 0);
	assert_int_equal(fs->net.sockets[0].npending, AHEAD);
	td_level_parse("guarded,time=9s", &level, why, sizeof(why));
	assert_int_equal(td_set_level(fs, &level, 0, why, sizeof(why)), 0);
	assert_int_equal(fs->net.sockets[0].npending, 0);
	assert_int_equal(run(one_call), 0); /* the connection is still there */
	assert_int_equal(server.accepted, 1);
	end_all();
}

/* ---- A change of level while a call waits */

static uint32_t begun;

static int call_and_count(struct td__call *c)
{
	__atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
	return one_call(c);
}

static void *waiting_call(void *arg)
{
	*(int *)arg = run(call_and_count);
	return 0;
}

/* The call is made again, with the same tag; its message is not sent again, and the reply to it is the reply. */
static void test_level_change(void **state)
{
	struct td_level level;
	uint64_t pause = 0;
	int result = 1;
	pthread_t thread;
	char why[200];

	(void)state;
	start_server(SILENT);
	mount_at("guarded");
	begun = 0;
	length = 100;
	pthread_create(&thread, 0, waiting_call, &result);
	while (!__atomic_load_n(&server.messages, __ATOMIC_SEQ_CST))
		usleep(1000);
	td_level_parse("trusted", &level, why, sizeof(why));
	assert_int_equal(td_set_level(fs, &level, &pause, why, sizeof(why)), 0);
	assert_true(pause < 500000000);
	__atomic_store_n(&server.speak, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, 0);
	assert_int_equal(result, 0);
	assert_int_equal(begun, 2);
	assert_int_equal(server.messages, 1);
	assert_int_equal(faults(), 0);
	end_all();
}

/* The server is given up. */
static void test_cut(void **state)
{
	int result = 1;
	pthread_t thread;

	(void)state;
	start_server(SILENT);
	mount_at("guarded");
	pthread_create(&thread, 0, waiting_call, &result);
	while (!__atomic_load_n(&server.messages, __ATOMIC_SEQ_CST))
		usleep(1000);
	td_cut(fs);
	pthread_join(thread, 0);
	assert_int_equal(result, -TD_EIO);
	assert_int_equal(run(one_call), -TD_EIO);
	assert_int_equal(faults(), 0);
	__atomic_store_n(&server.speak, 1, __ATOMIC_SEQ_CST);
	end_all();
}

/* ---- Misuse */

static int misuse(struct td__call *c)
{
	uint32_t socket, m;
	uint64_t value;
	struct answer a;
	int wrong = 0;

	if (open_socket(c, &socket))
		return -TD_EIO;
	m = build(c, 3, c->tag, 2);
	wrong |= td__svc_do_so_open(c, 65536, 0, 10, &value) != -TD_EINVAL;
	wrong |= td__svc_do_so_open(c, (uint32_t)server.port, 8, 10, &value) != -TD_EINVAL;
	wrong |= td__svc_do_mb_put(c, m + 256, "x", 1) != -TD_ESTALE;
	wrong |= td__svc_do_mb_put(c, 77, "x", 1) != -TD_ESTALE;
	wrong |= td__svc_do_mb_get(c, m, 3, &a, 2) != -TD_EINVAL;
	wrong |= td__svc_do_mb_get(c, m, 0, &a, 0xffffffffu) != -TD_EINVAL;
	wrong |= td__svc_do_mb_build(c, m, "x", 1) != -TD_EINVAL;
	wrong |= td__svc_do_mb_cat(c, m, m, 0xfffffff0u, 0x20) != -TD_EINVAL;
	wrong |= td__svc_do_mb_to_uio(c, m, 1, 0, 1) != -TD_ESTALE;
	wrong |= td__svc_do_mb_put_uio(c, m, 1, 1) != -TD_ESTALE;
	wrong |= td__svc_do_mb_keep(c, m, 5, 0, 0) != -TD_ESTALE;
	wrong |= td__svc_do_so_call(c, socket, m, m, 10, &a, sizeof(a)) != -TD_EINVAL;
	wrong |= td__svc_do_so_call(c, 9, m, 1 | 99 << 8, 10, &a, 4) != -TD_EINVAL;
	wrong |= td__svc_do_so_deliver(c, socket, c->tag, 1, 10, "xy", 2) != -TD_ESTALE;
	return wrong ? -TD_EIO : 0;
}

static int too_much(struct td__call *c)
{
	for (uint32_t i = 0; i < 100; i++)
		td__svc_do_mb_free(c, i << 8);
	return 0;
}

static void test_misuse(void **state)
{
	(void)state;
	start_server(ECHO);
	mount_at("guarded");
	assert_int_equal(run(misuse), 0);
	assert_int_equal(careless(), 14 + 1); /* and the mbuf that was left open */
	assert_int_equal(faults(), 0);
	assert_int_equal(fs->net.pool.bytes, 0);
	assert_int_equal(run(too_much), -TD_EIO);
	assert_int_equal(faults(), 2);
	end_all();
}

/* A mount without a server has no network at all. */
static void test_no_server(void **state)
{
	(void)state;
	start_server(ECHO);
	fake_ops[TD_OP_statfs] = operation;
	fs = fake_mount("guarded");
	assert_int_equal(run(one_call), -TD_EINVAL);
	assert_int_equal(careless(), 1);
	assert_int_equal(server.accepted, 0);
	end_all();
}

/* ---- What is kept with a vnode */

static int (*flush_act)(struct td__call *c, uint64_t vnode);

static int flush_operation(struct td__call *c)
{
	return flush_act(c, td__vnode_handle(c->vnodes[0].v));
}

static int run_on(int (*what)(struct td__call *c, uint64_t vnode), td_handle v)
{
	flush_act = what;
	return td_fsync(fs, v);
}

static int keep_result;

static int keep_two(struct td__call *c, uint64_t vnode)
{
	uint32_t m = build(c, 0, 7, 1000), n = build(c, 1, 8, 2000);

	td__svc_do_mb_keep(c, m, vnode, 1, 11);
	td__svc_do_mb_keep(c, n, vnode, 2, 22);
	td__svc_do_mb_free(c, m);
	td__svc_do_mb_free(c, n);
	return keep_result;
}

static int drop_first(struct td__call *c, uint64_t vnode)
{
	td__svc_do_kept_drop(c, vnode, 11);
	return keep_result;
}

static uint32_t kept_now; /* the sum of the keys */

static int look_at_kept(struct td__call *c, uint64_t vnode)
{
	struct td_kept k;
	uint32_t nth = 0, m;

	kept_now = 0;
	while (m = 1 | (c->mbuf_uses + 1) << 8, !td__svc_do_kept_open(c, m, vnode, nth, &k, sizeof(k))) {
		if (k.value != k.key * 11 || k.len != k.key * 1000)
			return -TD_EUCLEAN;
		kept_now += (uint32_t)k.key;
		nth++;
		td__svc_do_mb_free(c, m);
	}
	return 0;
}

static uint32_t kept(td_handle v)
{
	assert_int_equal(run_on(look_at_kept, v), 0);
	return kept_now;
}

static void test_kept(void **state)
{
	struct td_level level;
	struct td__vnode *v;
	char why[200];

	(void)state;
	fake_ops[TD_OP_fsync] = flush_operation;
	fs = fake_mount("guarded");
	assert_int_equal(td__vnode_by_fid(fs, 5, &v), 0);
	keep_result = -TD_EIO;
	assert_int_equal(run_on(keep_two, v->handle), -TD_EIO);
	assert_int_equal(kept(v->handle), 0);
	keep_result = 0;
	assert_int_equal(run_on(keep_two, v->handle), 0);
	assert_int_equal(kept(v->handle), 3);
	assert_int_equal(v->chain_bytes, 3000);
	td_level_parse("guarded,time=9s", &level, why, sizeof(why));
	assert_int_equal(td_set_level(fs, &level, 0, why, sizeof(why)), 0);
	assert_int_equal(kept(v->handle), 3);
	keep_result = -TD_EIO;
	assert_int_equal(run_on(drop_first, v->handle), -TD_EIO);
	assert_int_equal(kept(v->handle), 3);
	keep_result = 0;
	assert_int_equal(run_on(drop_first, v->handle), 0);
	assert_int_equal(kept(v->handle), 2);
	assert_int_equal(fs->net.kept, 2000);
	assert_int_equal(careless(), 0);
	td__vnode_put(v, 1);
	assert_int_equal(td_unmount(fs), 0);
}

/* ---- Replies that go past the module */

/* What is expected at first differs in a bit that counts, then in one that does not: only then the reply goes on, and nobody is asked twice. */
static int deliver(struct td__call *c)
{
	const uint32_t big = htonl(c->tag), tag = c->tag;
	uint8_t like[16] = { 0 };
	uint32_t socket, m;
	int wrong = 0;

	if (c->uio->len < 100) /* td_read() wants the rest, too */
		return -TD_EIO;
	if (open_socket(c, &socket))
		return -TD_EIO;
	m = build(c, 0, tag, 100);
	if (td__svc_do_so_send(c, socket, m))
		return -TD_EIO;
	memcpy(like, &big, 4);
	memset(like + 8, 0xff, 8);
	like[7] = 4;
	wrong |= td__svc_do_so_deliver(c, socket, tag | 1u << 31, 90, 5000, like, 16) != -TD_EINVAL;
	wrong |= td__svc_do_so_deliver(c, socket, tag, 90, 5000, like, 15) != -TD_EINVAL;
	wrong |= td__svc_do_so_deliver(c, socket, tag, 1000, 5000, like, 16) != -TD_EINVAL;
	wrong |= td__svc_do_so_deliver(c, socket, tag, 90, 5000, like, 16) != -TD_EAGAIN;
	like[15] = (uint8_t)~4;
	wrong |= td__svc_do_so_deliver(c, socket, tag, 93, 5000, like, 16) != -TD_EAGAIN; /* longer than it is */
	wrong |= td__svc_do_so_deliver(c, socket, tag, 90, 5000, like, 16) != 0;
	td__svc_do_mb_free(c, m);
	return wrong ? -TD_EIO : 0;
}

static void test_deliver(void **state)
{
	struct td__vnode *v;
	uint8_t data[100];

	(void)state;
	start_server(ECHO);
	fake_ops[TD_OP_read] = deliver;
	mount_at("guarded");
	assert_int_equal(td__vnode_by_fid(fs, 5, &v), 0);
	v->rec.type = TD_REG;
	v->rec.size = sizeof(data);
	memset(data, 1, sizeof(data));
	assert_int_equal(td_read(fs, v->handle, 0, data, sizeof(data)), 90);
	for (int i = 0; i < 100; i++)
		assert_int_equal(data[i], i >= 90);
	assert_int_equal(server.messages, 1);
	assert_int_equal(careless(), 3);
	assert_int_equal(fs->net.sockets[0].npending, 0);
	td__vnode_put(v, 1);
	fake_ops[TD_OP_read] = 0;
	end_all();
}

/* ---- Reads without the module */

enum { STAND = 40, NEAR = 100, PLACE = 8 };

static uint32_t reads; /* by the module */
static struct {
	struct td_standing s;
	uint8_t request[4 + PLACE + STAND - PLACE], like[10];
} standing;

/* The server answers what it is asked: so a read has its offset in it, and then ones; the module's own read has twos. */
static void prepare_standing(void)
{
	memset(&standing, 0, sizeof(standing));
	standing.s = (struct td_standing){ .ms = 2000, .len = STAND, .near = NEAR, .place_at = 4, .request_len = sizeof(standing.request) };
	standing.s.like_len = 8; /* four bytes, of which no bit counts: the tag */
	memset(standing.request, 1, sizeof(standing.request));
	reads = 0;
}

static int stand(struct td__call *c)
{
	uint32_t handle = (c->mbuf_uses + 1) << 8;
	uint8_t twos[STAND];
	int err;

	reads++;
	memset(twos, 2, sizeof(twos));
	td__svc_do_mb_build(c, handle, twos, (uint32_t)c->uio->len);
	td__svc_do_mb_to_uio(c, handle, 1, 0, (uint32_t)c->uio->len);
	td__svc_do_mb_free(c, handle);
	err = open_socket(c, &standing.s.socket);
	return err ? err : td__svc_do_so_standing(c, &standing, (uint32_t)sizeof(standing.s) + standing.s.request_len + standing.s.like_len);
}

static void must_read(struct td__vnode *v, uint64_t off, uint32_t len, int by_module)
{
	uint32_t before = reads;
	uint8_t data[STAND];

	assert_int_equal(td_read(fs, v->handle, off, data, len), len);
	assert_int_equal(reads - before, by_module);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(data[i], by_module ? 2 : i < PLACE ? (uint8_t)(off >> (8 * (PLACE - 1 - i))) : 1);
}

static struct td__vnode *mount_standing(void)
{
	struct td__vnode *v;

	start_server(ECHO);
	fake_ops[TD_OP_read] = stand;
	fake_ops[TD_OP_fsync] = flush_operation;
	mount_at("guarded");
	fs->remote = 1;
	assert_int_equal(td__vnode_by_fid(fs, 5, &v), 0);
	v->rec.type = TD_REG;
	v->rec.size = 1 << 20;
	prepare_standing();
	return v;
}

static void unmount_standing(struct td__vnode *v)
{
	td__vnode_put(v, 1);
	fake_ops[TD_OP_read] = fake_ops[TD_OP_fsync] = 0;
	nothing_left();
	end_all();
}

static int do_nothing(struct td__call *c, uint64_t vnode)
{
	(void)c, (void)vnode;
	return 0;
}

static void test_standing(void **state)
{
	struct td__vnode *v = mount_standing();

	(void)state;
	must_read(v, 0, STAND, 1);
	must_read(v, 123456, STAND, 0);
	must_read(v, 123456 + STAND, STAND, 1); /* who reads on */
	must_read(v, 500000, STAND - 1, 1);	/* another length */
	must_read(v, 123456, STAND, 0);
	assert_int_equal(server.messages, 2);
	td__standing_end(v);
	must_read(v, 600000, STAND, 1);
	must_read(v, 700000, STAND, 0);
	assert_int_equal(run_on(do_nothing, v->handle), 0); /* it has the file exclusively */
	must_read(v, 800000, STAND, 1);
	assert_int_equal(careless(), 0);
	unmount_standing(v);
}

/* Another reply, a lost connection, another domain: the module reads, and what stood does so no more. */
static void test_standing_ends(void **state)
{
	struct td__vnode *v = mount_standing();
	struct td_level level;
	char why[100];

	(void)state;
	standing.s.like_len = 10;
	memcpy(standing.like, "\0\0\0\0\1\0\0\0\0\377", 10); /* the offset is to begin with a one */
	must_read(v, 0, STAND, 1);
	must_read(v, 100000, STAND, 1);
	assert_int_equal(server.messages, 1);
	prepare_standing();
	must_read(v, 200000, STAND, 1); /* what it gave before this one stood, and was tried */
	assert_int_equal(server.messages, 2);
	td__socket_close(&fs->net, standing.s.socket);
	must_read(v, 300000, STAND, 1);
	must_read(v, 400000, STAND, 0);
	td_level_parse("guarded,time=9s", &level, why, sizeof(why));
	assert_int_equal(td_set_level(fs, &level, 0, why, sizeof(why)), 0);
	must_read(v, 500000, STAND, 1);
	assert_int_equal(careless(), 0);
	standing.s.place_at = sizeof(standing.request) - PLACE + 1;
	td__standing_end(v);
	assert_int_equal(td_read(fs, v->handle, 600000, why, STAND), -TD_EINVAL);
	prepare_standing();
	standing.s.like_len = 7;
	assert_int_equal(td_read(fs, v->handle, 600000, why, STAND), -TD_EINVAL);
	assert_int_equal(careless(), 2);
	unmount_standing(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),	     cmocka_unit_test(test_dribble),	cmocka_unit_test(test_stranger),
		cmocka_unit_test(test_threads),	     cmocka_unit_test(test_timeout),	cmocka_unit_test(test_time_limit),
		cmocka_unit_test(test_broken),	     cmocka_unit_test(test_refused),	cmocka_unit_test(test_ahead),
		cmocka_unit_test(test_ahead_ends),   cmocka_unit_test(test_level_change), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_misuse),	     cmocka_unit_test(test_no_server),	cmocka_unit_test(test_kept),
		cmocka_unit_test(test_deliver),	     cmocka_unit_test(test_standing),	cmocka_unit_test(test_standing_ends),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
