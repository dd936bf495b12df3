/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mbufs: chains of bytes for messages and for content on its way. A chain is a list of segments, each a part of a
 * cluster; clusters are shared among chains and counted, so joining chains copies nothing.
 *
 * A chain is counted, too: the call that built it, a socket that sends it and a vnode that keeps it may have it at
 * once. Only who is alone with a chain may change it; td__mbuf_own() gives him one of his own otherwise. A byte of a
 * cluster that a segment covers never changes. Nothing here is ever in memory that a module can write.
 */
#ifndef TADAN_MBUF_H
#define TADAN_MBUF_H

#include "port.h"

struct td__cluster {
	struct td__cluster *next; /* in the pool */
	uint32_t refs;            /* atomic */
	uint32_t used;            /* bytes that segments cover: what lies behind is free for who is alone with it */
	uint32_t room;
	uint32_t pad;
	uint8_t data[];
};

struct td__segment {
	struct td__segment *next;
	struct td__cluster *cluster;
	uint32_t off, len;
};

struct td__mbuf {
	uint32_t refs; /* atomic */
	uint32_t len, segments;
	struct td__segment *first, *last;
};

/* Where clusters come from: two sizes, some kept for the next one who needs them. */
struct td__pool {
	struct td__mutex mutex;
	struct td__cluster *small, *large;
	uint32_t nsmall, nlarge;
	uint64_t bytes; /* of clusters in use, atomic */
};
enum { TD__SMALL = 2048, TD__LARGE = 64 << 10, TD__SEGMENTS_MAX = 4096 };
#define TD__POOL_MAX (256ull << 20) /* bytes of clusters in use, of one mount */

void td__pool_init(struct td__pool *pool);
/* All chains are gone. */
void td__pool_fini(struct td__pool *pool);

/* An empty chain with one reference; 0 without memory. */
struct td__mbuf *td__mbuf_new(void);
struct td__mbuf *td__mbuf_hold(struct td__mbuf *m);
void td__mbuf_drop(struct td__pool *pool, struct td__mbuf *m); /* 0 is fine */
/* A chain that only the caller has: *m itself, or another with the same bytes in its place. 0 or -TD_ENOMEM. */
int td__mbuf_own(struct td__pool *pool, struct td__mbuf **m);

/*
 * Change a chain that the caller is alone with. The memory need not be there: -TD_EFAULT. -TD_ENOMEM at the limits: then
 * a part may have been appended. len: what it is to become is no longer than `most` bytes, else -TD_EMSGSIZE.
 */
int td__mbuf_put(struct td__pool *pool, struct td__mbuf *m, const void *data, uint32_t len, uint32_t most);
/* Bytes of `from` by reference: the caller has checked the range. `from` may be m itself. */
int td__mbuf_cat(struct td__pool *pool, struct td__mbuf *m, const struct td__mbuf *from, uint32_t off, uint32_t len, uint32_t most);
/* Room behind the end, for `want` bytes or a part of them, which td__mbuf_grow() makes part of the chain. 0 without memory. */
uint8_t *td__mbuf_room(struct td__pool *pool, struct td__mbuf *m, uint32_t want, uint32_t *got);
void td__mbuf_grow(struct td__mbuf *m, uint32_t len);

/* Copy bytes out: the range lies within the chain. 0, or -TD_EFAULT if the memory is not there. */
int td__mbuf_get(const struct td__mbuf *m, uint32_t off, void *to, uint32_t len);
/* The bytes from off on as pieces, at most n; returns how many. */
uint32_t td__mbuf_pieces(const struct td__mbuf *m, uint32_t off, struct td__piece *pieces, uint32_t n);
/* 1: both have the same bytes. */
int td__mbuf_same(const struct td__mbuf *a, const struct td__mbuf *b);
/* `like`: n bytes, at most TD_LIKE_MAX, and as many that say which bits of them count. 1: the chain begins so. */
int td__mbuf_is_like(const struct td__mbuf *m, const uint8_t *like, uint32_t n);
/* 0, or what is wrong with a chain: a loop, a length out of bounds. */
const char *td__mbuf_check(const struct td__mbuf *m);

#endif
