/* SPDX-License-Identifier: BSD-2-Clause */
/* A module that is mounted on a server and uses messages and sockets wrongly. The mount has one option, the server's port. */
#include <tadan/net.h>
#include "net_acts.h"

enum { MS = 5000, CHUNK = 16384 };

static uint32_t port, old;
static volatile uintptr_t zero;
static uint8_t chunk[CHUNK];

struct answer {
	_Alignas(8) uint8_t bytes[sizeof(struct td_reply) + 64];
};

static struct td_reply *reply_of(struct answer *a)
{
	return (struct td_reply *)a->bytes;
}

/* ---- Messages */

static int build(uint32_t tag, uint8_t command, td_mbuf *m)
{
	uint8_t bytes[5] = { (uint8_t)(tag >> 24), (uint8_t)(tag >> 16), (uint8_t)(tag >> 8), (uint8_t)tag, command };

	return td_mbuf_build(bytes, sizeof(bytes), m);
}

static int leave(uint64_t n)
{
	td_mbuf m;
	int err = 0;

	while (n-- && !err)
		err = td_mbuf_build("x", 1, &m);
	return err;
}

static int number(uint32_t handle)
{
	int err = td__svc_mb_build(handle, "x", 1);

	return err ? err : td__svc_sync();
}

/* Byte n of a chain that was appended to itself is byte n % NET_SELF_BYTES. */
static int self(uint64_t times, uint64_t *found)
{
	uint8_t bytes[NET_SELF_BYTES], seen;
	uint32_t len = NET_SELF_BYTES;
	td_mbuf m;
	int err;

	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	err = td_mbuf_build(bytes, sizeof(bytes), &m);
	while (times-- && !err) {
		err = td_mbuf_cat(m, m, 0, len);
		len *= 2;
	}
	if (!err)
		err = td_mbuf_length(m, &len);
	for (uint32_t at = 0; at < len && !err; at += 61) {
		err = td_mbuf_get(m, at, &seen, 1);
		if (!err && seen != at % NET_SELF_BYTES)
			err = -TD_EUCLEAN;
	}
	*found = len;
	td_mbuf_free(m);
	return err;
}

static int beyond(uint64_t which)
{
	uint8_t bytes[8];
	td_mbuf m, other;
	int err = td_mbuf_build("0123456789", 10, &m), err2;

	if (!err)
		err = td_mbuf_build("", 0, &other);
	if (err)
		return err;
	switch (which) {
	case 0: err = td_mbuf_get(m, 3, bytes, 8); break;
	case 1: err = td_mbuf_get(m, 0xfffffffe, bytes, 4); break;
	case 2: err = td_mbuf_get(other, 0, bytes, 1); break;
	case 3: err = td_mbuf_cat(other, m, 5, 6); break;
	case 4: err = td_mbuf_cat(other, m, 8, 0xfffffffc); break;
	case 5: err = td_mbuf_cat(other, m, 11, 0); break;
	default: err = td_mbuf_cat(m, other, 0, 1); break;
	}
	err2 = td__svc_sync();
	td_mbuf_free(other);
	td_mbuf_free(m);
	return err ? err : err2;
}

static int after_free(uint32_t act)
{
	uint32_t len;
	td_mbuf m;
	int err = td_mbuf_build("x", 1, &m);

	if (err)
		return err;
	td_mbuf_free(m);
	if (act == NET_FREED)
		return td_mbuf_length(m, &len);
	td__svc_mb_free(m);
	return td__svc_sync();
}

static int hold(uint64_t ms)
{
	td_mbuf m;
	int err = td_mbuf_build("x", 1, &m);

	if (err)
		return err;
	old = m;
	err = td_sleep((uint32_t)ms);
	td_mbuf_free(m);
	return err;
}

static int use(uint32_t handle)
{
	uint32_t len;

	return td_mbuf_length(handle, &len);
}

static int grow(td_mbuf m, uint64_t *found)
{
	int err = 0;

	while (!err) {
		err = td_mbuf_put(m, chunk, sizeof(chunk));
		if (!err)
			err = td__svc_sync();
		if (!err)
			*found += sizeof(chunk);
	}
	return err;
}

static int grow_many(uint64_t *found)
{
	td_mbuf m;
	int err = 0;

	for (*found = 0; !err;) {
		err = td_mbuf_build("", 0, &m);
		if (!err && grow(m, found) == -TD_EDEADLK)
			err = -TD_EDEADLK;
	}
	return err;
}

static int uio(void)
{
	td_mbuf m;
	int err = td_mbuf_build("0123", 4, &m), err2;

	if (err)
		return err;
	err = td_mbuf_put_uio(m, 1, 4);
	err2 = td_mbuf_to_uio(m, 0, 1, 4);
	td_mbuf_free(m);
	return err ? err : err2 ? err2 : td__svc_sync();
}

static int texts(void)
{
	char small[2];
	int err;

	err = td__svc_mount_text(7, small, sizeof(small));
	if (err == -TD_EINVAL)
		err = td__svc_mount_text(1, small, 0);
	if (err == -TD_ERANGE)
		err = td__svc_explain(chunk, 300);
	return err ? err : td__svc_sync();
}

/* ---- What is kept */

static int keep(uint64_t vnode)
{
	td_mbuf m;
	int err = td_mbuf_build("x", 1, &m);

	if (!err)
		err = td_mbuf_keep(m, vnode, 1, 1);
	return err ? err : td__svc_sync();
}

static int keep_much(uint64_t vnode)
{
	td_mbuf m;
	int err = td_mbuf_build("", 0, &m);

	for (int i = 0; i < 64 && !err; i++)
		err = td_mbuf_put(m, chunk, sizeof(chunk));
	for (int i = 0; i < 1000 && !err; i++) {
		err = td_mbuf_keep(m, vnode, 1, 1);
		if (!err)
			err = td__svc_sync();
	}
	return err;
}

/* ---- Sockets */

static int connect(uint32_t *sock)
{
	return td_sock_open(port, 0, MS, sock);
}

static int exchange(uint32_t sock, uint8_t command)
{
	uint32_t tag = td_tag();
	struct answer a;
	td_mbuf m;
	int err = build(tag, command, &m);

	if (err)
		return err;
	err = td_sock_call(sock, m, MS, reply_of(&a), sizeof(a));
	td_mbuf_free(m);
	if (err)
		return err;
	td_mbuf_free(reply_of(&a)->mbuf);
	return reply_of(&a)->len == 5 && reply_of(&a)->head[4] == command ? 0 : -TD_EUCLEAN;
}

static int call(uint8_t command)
{
	uint32_t sock;
	int err = connect(&sock);

	return err ? err : exchange(sock, command);
}

static int invented(uint32_t sock)
{
	uint32_t tag = td_tag();
	struct answer a;
	td_mbuf m;
	int err = build(tag, 'e', &m), got;

	if (err)
		return err;
	td_sock_send(sock, m);
	err = td_sock_call(sock, m, 100, reply_of(&a), sizeof(a));
	got = td_sock_receive(sock, tag, 100, reply_of(&a), sizeof(a));
	td_sock_forget(sock, tag);
	td_sock_drop(sock);
	td_mbuf_free(m);
	return err == got ? err : -TD_EUCLEAN;
}

static int lost(uint64_t *found)
{
	uint32_t sock, again;
	int err = connect(&sock);

	if (err)
		return err;
	err = exchange(sock, 'c');
	if (err != -TD_ENOTCONN)
		return err ? err : -TD_EUCLEAN;
	err = exchange(sock, 'e');
	*found = !connect(&again) && again != sock && !exchange(again, 'e');
	return err;
}

static int ports(uint64_t n, uint64_t *found)
{
	uint32_t sock;

	for (*found = 0; n--; ++*found) {
		int err = td_sock_open(port + (uint32_t)*found, 0, MS, &sock);

		if (err && err != -TD_ECONNREFUSED)
			return err;
	}
	return 0;
}

static int tagless(void)
{
	struct answer a;
	uint32_t sock;
	td_mbuf m;
	int err = connect(&sock);

	if (!err)
		err = td_mbuf_build("abc", 3, &m);
	if (err)
		return err;
	err = td_sock_call(sock, m, MS, reply_of(&a), sizeof(a));
	td_mbuf_free(m);
	return err;
}

static int same_tag(void)
{
	uint32_t tag = td_tag(), sock;
	struct answer a;
	td_mbuf m, n;
	int err = connect(&sock);

	if (!err)
		err = build(tag, 'n', &m);
	if (!err)
		err = build(tag, 'e', &n);
	if (err)
		return err;
	td_sock_send(sock, m);
	err = td_sock_call(sock, n, MS, reply_of(&a), sizeof(a));
	td_sock_forget(sock, tag);
	td_mbuf_free(m);
	td_mbuf_free(n);
	return err;
}

/* With tags of the module's own, which have the highest bit. */
static int flood(uint64_t n)
{
	static uint32_t tag;
	uint32_t sock;
	td_mbuf m;
	int err = connect(&sock);

	while (n-- && !err) {
		err = build(++tag | 0x80000000u, 'n', &m);
		if (err)
			break;
		td_sock_send(sock, m);
		td_mbuf_free(m);
	}
	return err ? err : td__svc_sync();
}

static int room(void)
{
	uint32_t sock;
	struct answer a;
	td_mbuf m;
	int err = connect(&sock);

	if (!err)
		err = build(td_tag(), 'e', &m);
	if (err)
		return err;
	err = td_sock_call(sock, m, MS, reply_of(&a), sizeof(struct td_reply) - 1);
	td_mbuf_free(m);
	return err;
}

/* ---- Addresses */

static int address(uint32_t act, void *at)
{
	uint32_t sock;
	td_mbuf m;
	int err;

	switch (act) {
	case NET_LOAD: return *(volatile uint8_t *)at == 255 ? -TD_ENODATA : 0;
	case NET_STORE: *(volatile uint8_t *)at ^= 255; return 0;
	case NET_PUT_FROM:
		err = td_mbuf_build(at, 8, &m);
		if (!err)
			err = td__svc_sync();
		td_mbuf_free(m);
		return err;
	case NET_GET_TO:
		err = td_mbuf_build("01234567", 8, &m);
		if (!err)
			err = td_mbuf_get(m, 0, at, 8);
		td_mbuf_free(m);
		return err;
	default:
		err = connect(&sock);
		if (!err)
			err = build(td_tag(), 'e', &m);
		if (!err)
			err = td_sock_call(sock, m, MS, at, sizeof(struct td_reply) + 64);
		return err;
	}
}

/* ---- The operations */

static int shared_act(struct td_vnode *v, uint64_t off, uint32_t act, uint64_t *found)
{
	switch (act) {
	case NET_LEAVE: return leave(off);
	case NET_NUMBER: return number((uint32_t)off);
	case NET_SELF: return self(off, found);
	case NET_BEYOND: return beyond(off);
	case NET_FREED:
	case NET_FREED_TWICE: return after_free(act);
	case NET_OLD: return use(old);
	case NET_HOLD: return hold(off);
	case NET_USE: return use((uint32_t)off);
	case NET_GROW_MANY: return grow_many(found);
	case NET_GROW: {
		td_mbuf m;
		int err = td_mbuf_build("", 0, &m);

		return err ? err : grow(m, found);
	}
	case NET_UIO: return uio();
	case NET_TEXTS: return texts();
	case NET_KEEP_SHARED: return keep(v->handle);
	case NET_CALL: return call((uint8_t)off);
	case NET_INVENTED: return invented((uint32_t)off);
	case NET_LOST: return lost(found);
	case NET_OPEN: {
		uint32_t sock;

		return td_sock_open((uint32_t)off, (uint32_t)(off >> 32), MS, &sock);
	}
	case NET_PORTS: return ports(off, found);
	case NET_TAGLESS: return tagless();
	case NET_SAME_TAG: return same_tag();
	case NET_FLOOD: return flood(off);
	case NET_ROOM: return room();
	case NET_NOTHING: return 0;
	default: return address(act, (void *)(uintptr_t)off);
	}
}

/* Errors go back as results, for not each is one that the operation may have. */
static int seek(struct td_vnode *v, uint64_t off, uint32_t act, uint64_t *found)
{
	uint64_t result = 0;
	int err = shared_act(v, off, act, &result);

	*found = result | (uint64_t)-err << NET_ERROR;
	return err == -TD_EDEADLK ? err : 0;
}

static int fall(uint64_t vnode)
{
	uint32_t sock;
	td_mbuf m;
	int err = keep(vnode);

	if (!err)
		err = connect(&sock);
	if (!err)
		err = build(td_tag(), 'n', &m);
	if (err)
		return err;
	td_sock_send(sock, m);
	td__svc_sync();
	return address(NET_STORE, (void *)(uintptr_t)zero + 8);
}

static int exclusive_act(struct td_vnode *v, uint64_t act)
{
	switch (act) {
	case NET_KEEP_FOREIGN: return keep(v->handle ^ 1ull << 40);
	case NET_KEEP_MUCH: return keep_much(v->handle);
	case NET_KEEP_AND_FALL: return fall(v->handle);
	case NET_DROP: return td_kept_drop(v->handle, 1);
	default: return 0;
	}
}

static int truncate(struct td_vnode *v, uint64_t act)
{
	int err = exclusive_act(v, act);

	return err && err != -TD_EDEADLK ? -TD_ENOSPC : err;
}

static int mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	char text[32];

	(void)format;
	if (td_options(text, sizeof(text)))
		return -TD_EINVAL;
	port = 0;
	for (const char *p = text; *p; p++)
		if (*p >= '0' && *p <= '9')
			port = port * 10 + (uint32_t)(*p - '0');
	*info = (struct td_fsinfo){ .root = 1, .maxsize = 1 << 20, .blocks = dev->blocks, .bsize = dev->bsize, .namemax = 255, .maxlink = 100 };
	return 0;
}

static int getvnode(uint64_t fid, struct td_vnode *v)
{
	return td_vnode_init(v, fid == 1 ? TD_DIR : TD_REG, 0755, 0);
}

TD_FS_NET_MODULE(net_acts, 4, .mount = mount, .getvnode = getvnode, .seek = seek, .truncate = truncate);
