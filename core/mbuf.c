/* SPDX-License-Identifier: BSD-2-Clause */
/* Mbufs: see mbuf.h. */
#include <tadan/net.h>
#include "mbuf.h"

/* As many as a reader or a writer has in flight: memory from the system is zeroed, and slower than the network. */
enum { SMALL_KEPT = 256, LARGE_KEPT = 256 };

/* ---- Clusters */

void td__pool_init(struct td__pool *pool)
{
	td__mutex_init(&pool->mutex);
}

static void free_list(struct td__cluster *c, uint32_t size)
{
	for (struct td__cluster *next; c; c = next) {
		next = c->next;
		td__port_free(c, size);
	}
}

void td__pool_fini(struct td__pool *pool)
{
	free_list(pool->small, TD__SMALL);
	free_list(pool->large, TD__LARGE);
	td__mutex_fini(&pool->mutex);
}

static struct td__cluster *take_kept(struct td__pool *pool, int large)
{
	struct td__cluster **list = large ? &pool->large : &pool->small, *c;

	td__mutex_lock(&pool->mutex);
	c = *list;
	if (c) {
		*list = c->next;
		--*(large ? &pool->nlarge : &pool->nsmall);
	}
	td__mutex_unlock(&pool->mutex);
	return c;
}

static struct td__cluster *new_cluster(struct td__pool *pool, uint32_t want)
{
	int large = want > TD__SMALL - sizeof(struct td__cluster);
	uint32_t size = large ? TD__LARGE : TD__SMALL;
	struct td__cluster *c = 0;

	if (__atomic_add_fetch(&pool->bytes, size, __ATOMIC_RELAXED) <= TD__POOL_MAX) {
		c = take_kept(pool, large);
		if (!c)
			c = td__port_alloc(size);
	}
	if (!c) {
		__atomic_sub_fetch(&pool->bytes, size, __ATOMIC_RELAXED);
		return 0;
	}
	c->refs = 1;
	c->used = 0;
	c->room = size - (uint32_t)sizeof(*c);
	return c;
}

static void drop_cluster(struct td__pool *pool, struct td__cluster *c)
{
	uint32_t size = c->room + (uint32_t)sizeof(*c);
	int large = size == TD__LARGE, keep;

	if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		return;
	__atomic_sub_fetch(&pool->bytes, size, __ATOMIC_RELAXED);
	td__mutex_lock(&pool->mutex);
	keep = large ? pool->nlarge < LARGE_KEPT : pool->nsmall < SMALL_KEPT;
	if (keep) {
		struct td__cluster **list = large ? &pool->large : &pool->small;

		c->next = *list;
		*list = c;
		++*(large ? &pool->nlarge : &pool->nsmall);
	}
	td__mutex_unlock(&pool->mutex);
	if (!keep)
		td__port_free(c, size);
}

/* ---- Chains */

struct td__mbuf *td__mbuf_new(void)
{
	struct td__mbuf *m = td__port_alloc(sizeof(*m));

	if (m)
		m->refs = 1;
	return m;
}

struct td__mbuf *td__mbuf_hold(struct td__mbuf *m)
{
	__atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED);
	return m;
}

void td__mbuf_drop(struct td__pool *pool, struct td__mbuf *m)
{
	if (!m || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (struct td__segment *s = m->first, *next; s; s = next) {
		next = s->next;
		drop_cluster(pool, s->cluster);
		td__port_free(s, sizeof(*s));
	}
	td__port_free(m, sizeof(*m));
}

/* Takes over the caller's reference to the cluster, in any case. */
static int add_segment(struct td__pool *pool, struct td__mbuf *m, struct td__cluster *c, uint32_t off, uint32_t len)
{
	struct td__segment *s = m->segments < TD__SEGMENTS_MAX ? td__port_alloc(sizeof(*s)) : 0;

	if (!s) {
		drop_cluster(pool, c);
		return -TD_ENOMEM;
	}
	*s = (struct td__segment){ 0, c, off, len };
	if (m->last)
		m->last->next = s;
	else
		m->first = s;
	m->last = s;
	m->segments++;
	m->len += len;
	return 0;
}

int td__mbuf_own(struct td__pool *pool, struct td__mbuf **m)
{
	struct td__mbuf *was = *m, *own;
	int err;

	if (__atomic_load_n(&was->refs, __ATOMIC_ACQUIRE) == 1)
		return 0;
	own = td__mbuf_new();
	if (!own)
		return -TD_ENOMEM;
	err = td__mbuf_cat(pool, own, was, 0, was->len, was->len);
	if (err) {
		td__mbuf_drop(pool, own);
		return err;
	}
	td__mbuf_drop(pool, was);
	*m = own;
	return 0;
}

uint8_t *td__mbuf_room(struct td__pool *pool, struct td__mbuf *m, uint32_t want, uint32_t *got)
{
	struct td__segment *s = m->last;
	struct td__cluster *c = s ? s->cluster : 0;

	if (!c || s->off + s->len != c->used || c->used == c->room || __atomic_load_n(&c->refs, __ATOMIC_ACQUIRE) != 1) {
		c = new_cluster(pool, want);
		if (!c || add_segment(pool, m, c, 0, 0))
			return 0;
	}
	*got = c->room - c->used < want ? c->room - c->used : want;
	return c->data + c->used;
}

void td__mbuf_grow(struct td__mbuf *m, uint32_t len)
{
	m->last->len += len;
	m->last->cluster->used += len;
	m->len += len;
}

int td__mbuf_put(struct td__pool *pool, struct td__mbuf *m, const void *data, uint32_t len, uint32_t most)
{
	const uint8_t *from = data;

	if (m->len > most || len > most - m->len)
		return -TD_EMSGSIZE;
	while (len) {
		uint32_t n;
		uint8_t *to = td__mbuf_room(pool, m, len, &n);

		if (!to)
			return -TD_ENOMEM;
		if (td__port_copy(to, from, n))
			return -TD_EFAULT;
		td__mbuf_grow(m, n);
		from += n;
		len -= n;
	}
	return 0;
}

/* The segment that byte off lies in; *off becomes its place there. */
static struct td__segment *seek(const struct td__mbuf *m, uint32_t *off)
{
	struct td__segment *s = m->first;

	while (s && *off >= s->len) {
		*off -= s->len;
		s = s->next;
	}
	return s;
}

int td__mbuf_cat(struct td__pool *pool, struct td__mbuf *m, const struct td__mbuf *from, uint32_t off, uint32_t len,
		 uint32_t most)
{
	int err = 0;

	if (m->len > most || len > most - m->len)
		return -TD_EMSGSIZE;
	/* Where both are one chain it grows behind us: by `len` we stop before what was added. */
	for (struct td__segment *s = seek(from, &off); len && !err; s = s->next, off = 0) {
		uint32_t n = s->len - off < len ? s->len - off : len;

		if (!n)
			continue;
		__atomic_add_fetch(&s->cluster->refs, 1, __ATOMIC_RELAXED);
		err = add_segment(pool, m, s->cluster, s->off + off, n);
		len -= n;
	}
	return err;
}

uint32_t td__mbuf_pieces(const struct td__mbuf *m, uint32_t off, struct td__piece *pieces, uint32_t n)
{
	uint32_t count = 0;

	for (const struct td__segment *s = seek(m, &off); s && count < n; s = s->next, off = 0)
		if (s->len > off)
			pieces[count++] = (struct td__piece){ s->cluster->data + s->off + off, s->len - off };
	return count;
}

int td__mbuf_get(const struct td__mbuf *m, uint32_t off, void *to, uint32_t len)
{
	uint8_t *out = to;

	for (const struct td__segment *s = seek(m, &off); len; s = s->next, off = 0) {
		uint32_t n = s->len - off < len ? s->len - off : len;

		if (td__port_copy(out, s->cluster->data + s->off + off, n))
			return -TD_EFAULT;
		out += n;
		len -= n;
	}
	return 0;
}

int td__mbuf_same(const struct td__mbuf *a, const struct td__mbuf *b)
{
	uint32_t at = 0;

	if (a == b)
		return 1;
	if (a->len != b->len)
		return 0;
	while (at < a->len) {
		struct td__piece x, y;
		size_t n;

		td__mbuf_pieces(a, at, &x, 1);
		td__mbuf_pieces(b, at, &y, 1);
		n = x.len < y.len ? x.len : y.len;
		if (memcmp(x.data, y.data, n))
			return 0;
		at += (uint32_t)n;
	}
	return 1;
}

int td__mbuf_is_like(const struct td__mbuf *m, const uint8_t *like, uint32_t n)
{
	uint8_t head[TD_LIKE_MAX];
	uint32_t i = 0;

	if (m->len < n || td__mbuf_get(m, 0, head, n))
		return 0;
	while (i < n && !((head[i] ^ like[i]) & like[n + i]))
		i++;
	return i == n;
}

const char *td__mbuf_check(const struct td__mbuf *m)
{
	const struct td__segment *s = m->first, *last = 0;
	uint32_t n = 0;
	uint64_t len = 0;

	for (; s && n <= m->segments; s = s->next, n++) {
		if (!s->cluster || s->off > s->cluster->used || s->len > s->cluster->used - s->off || s->cluster->used > s->cluster->room)
			return "a segment that is not within its cluster";
		if (!__atomic_load_n(&s->cluster->refs, __ATOMIC_RELAXED))
			return "a cluster that is free";
		len += s->len;
		last = s;
	}
	if (s)
		return "a loop";
	if (n != m->segments || last != m->last)
		return "an end that is not its last segment";
	return len == m->len ? 0 : "a length that is not the sum of its segments";
}
