/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages and sockets, the module's side. As with bufs the runtime numbers the mbufs of a call itself, so that
 * building a message needs no answer: an index, and above it a number that grows each time the index is used.
 */
#include <tadan/net.h>
#include "runtime.h"

enum { PIECE = 32768 }; /* bytes that one service takes */

static int number(td_mbuf *m)
{
	struct td__context *ctx = td__svc_context();
	uint32_t free = ~ctx->mbufs, i;

	if (!free)
		return -TD_EMFILE;
	i = (uint32_t)__builtin_ctz(free);
	ctx->used = 1;
	ctx->mbufs |= 1u << i;
	*m = i | ++ctx->mbuf_uses << 8;
	return 0;
}

static void unnumber(td_mbuf m)
{
	td__svc_context()->mbufs &= ~(1u << (m % TD_MBUF_MAX));
}

int td_mbuf_put(td_mbuf m, const void *data, uint32_t len)
{
	int err = 0;

	for (uint32_t at = 0, n; at < len && !err; at += n) {
		n = len - at < PIECE ? len - at : PIECE;
		err = td__svc_mb_put(m, (const char *)data + at, n);
	}
	return err;
}

int td_mbuf_build(const void *data, uint32_t len, td_mbuf *m)
{
	uint32_t first = len < PIECE ? len : PIECE;
	int err = number(m);

	if (err)
		return err;
	err = td__svc_mb_build(*m, data, first);
	if (!err && first < len)
		err = td_mbuf_put(*m, (const char *)data + first, len - first);
	return err;
}

int td_mbuf_put_uio(td_mbuf m, uint32_t uio, uint32_t len)
{
	return td__svc_mb_put_uio(m, uio, len);
}

int td_mbuf_cat(td_mbuf m, td_mbuf from, uint32_t off, uint32_t len)
{
	return td__svc_mb_cat(m, from, off, len);
}

int td_mbuf_get(td_mbuf m, uint32_t off, void *data, uint32_t len)
{
	int err = 0;

	for (uint32_t at = 0, n; at < len && !err; at += n) {
		n = len - at < PIECE ? len - at : PIECE;
		err = td__svc_mb_get(m, off + at, (char *)data + at, n);
	}
	return err;
}

int td_mbuf_length(td_mbuf m, uint32_t *len)
{
	uint64_t n = 0;
	int err = td__svc_mb_length(m, &n);

	*len = (uint32_t)n;
	return err;
}

int td_mbuf_to_uio(td_mbuf m, uint32_t off, uint32_t uio, uint32_t len)
{
	return td__svc_mb_to_uio(m, uio, off, len);
}

void td_mbuf_free(td_mbuf m)
{
	td__svc_mb_free(m);
	unnumber(m);
}

int td_sock_open(uint32_t port, uint32_t flags, uint32_t ms, uint32_t *sock)
{
	uint64_t handle = 0;
	int err = td__svc_so_open(port, flags, ms, &handle);

	*sock = (uint32_t)handle;
	return err;
}

/* The reply's mbuf was numbered before; where there is none the number is free again. */
static int replied(int err, td_mbuf m, struct td_reply *r)
{
	if (err)
		unnumber(m);
	r->mbuf = m;
	return err;
}

int td_sock_call(uint32_t sock, td_mbuf request, uint32_t ms, struct td_reply *r, uint32_t room)
{
	td_mbuf m;
	int err = number(&m);

	return err ? err : replied(td__svc_so_call(sock, request, m, ms, r, room), m, r);
}

int td_sock_send(uint32_t sock, td_mbuf request)
{
	return td__svc_so_send(sock, request);
}

int td_sock_receive(uint32_t sock, uint32_t tag, uint32_t ms, struct td_reply *r, uint32_t room)
{
	td_mbuf m;
	int err = number(&m);

	return err ? err : replied(td__svc_so_receive(sock, tag, m, ms, r, room), m, r);
}

int td_sock_deliver(uint32_t sock, uint32_t tag, uint32_t len, uint32_t ms, const void *like, uint32_t like_len)
{
	return td__svc_so_deliver(sock, tag, len, ms, like, like_len);
}

int td_sock_standing(const struct td_standing *s, const void *request, const void *like)
{
	struct {
		struct td_standing s;
		uint8_t bytes[TD_STANDING_REQUEST + 2 * TD_LIKE_MAX];
	} out;

	if (s->request_len > TD_STANDING_REQUEST || s->like_len > 2 * TD_LIKE_MAX)
		return -TD_EINVAL;
	out.s = *s;
	memcpy(out.bytes, request, s->request_len);
	memcpy(out.bytes + s->request_len, like, s->like_len);
	return td__svc_so_standing(&out, (uint32_t)sizeof(*s) + s->request_len + s->like_len);
}

void td_sock_forget(uint32_t sock, uint32_t tag)
{
	td__svc_so_forget(sock, tag);
}

void td_sock_drop(uint32_t sock)
{
	td__svc_so_close(sock);
}

int td_sleep(uint32_t ms)
{
	return td__svc_sleep(ms);
}

uint32_t td_tag(void)
{
	struct td__context *ctx = td__svc_context();

	ctx->used = 1;
	return ctx->frame->tag + (ctx->tags++ & ((1u << TD_TAG_BITS) - 1));
}

int td_again(void)
{
	return (td__svc_context()->frame->flags & TD_FRAME_AGAIN) != 0;
}

int td_caller(struct td_caller *out)
{
	const struct td_frame *f = td__svc_context()->frame;

	if (!(f->flags & TD_FRAME_CALLER))
		return 0;
	*out = (struct td_caller){ f->uid, f->gid, f->ngroups, f->groups };
	return 1;
}

int td_mbuf_keep(td_mbuf m, uint64_t vnode, uint64_t key, uint64_t value)
{
	return td__svc_mb_keep(m, vnode, key, value);
}

int td_kept_open(uint64_t vnode, uint32_t nth, struct td_kept *k)
{
	td_mbuf m;
	int err = number(&m);

	if (err)
		return err;
	err = td__svc_kept_open(m, vnode, nth, k, sizeof(*k));
	if (err)
		unnumber(m);
	k->mbuf = m;
	return err;
}

int td_mbuf_cat_kept(td_mbuf m, uint64_t vnode, uint32_t nth, uint32_t off)
{
	return td__svc_mb_cat_kept(m, vnode, nth, off);
}

int td_kept_drop(uint64_t vnode, uint64_t value)
{
	return td__svc_kept_drop(vnode, value);
}

int td_source(char *text, uint32_t size)
{
	return td__svc_mount_text(0, text, size);
}

int td_options(char *text, uint32_t size)
{
	return td__svc_mount_text(1, text, size);
}

void td_explain(const char *text)
{
	size_t len = strlen(text);

	td__svc_explain(text, len > 200 ? 200 : (uint32_t)len);
}
