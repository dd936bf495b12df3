/* SPDX-License-Identifier: BSD-2-Clause */
/* What is compared before and after a fault: see world.h. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/smfs_check.h"

/* 0 for a block of zeroes. */
static uint64_t sum_of(const uint64_t *p, uint32_t words)
{
	uint64_t h = 0, any = 0;

	for (uint32_t i = 0; i < words; i++) {
		any |= p[i];
		h = (h ^ p[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	return any ? h | 1 : 0;
}

/* Only those that were ever written: the rest costs time, and memory. */
static void sum_blocks(struct td__device *dev, struct state *s)
{
	int fd = (int)dev->data.share;
	off_t end = (off_t)(s->nblocks * dev->bsize);

	for (off_t at = lseek(fd, 0, SEEK_DATA); at >= 0 && at < end; at = lseek(fd, at, SEEK_DATA)) {
		s->sums[at / dev->bsize] = sum_of((void *)td__device_at(dev, at / dev->bsize), dev->bsize / 8);
		at += dev->bsize;
	}
}

static struct td__vnode *vnode_at(struct td__fs *fs, uint32_t i)
{
	return &fs->chunks[i / TD__CHUNK][i % TD__CHUNK];
}

void state_take_blocks(struct world *w, struct state *s)
{
	memset(s, 0, sizeof(*s));
	s->nblocks = w->dev->blocks - 1; /* without the plan */
	td__device_load(w->dev, 0, s->nblocks);
	s->sums = calloc(s->nblocks, sizeof(*s->sums));
	sum_blocks(w->dev, s);
}

void state_take(struct world *w, struct state *s)
{
	struct td__fs *fs = w->fs;

	state_take_blocks(w, s);
	s->vnodes = calloc(fs->nvnodes, sizeof(*s->vnodes));
	for (uint32_t i = 0; i < fs->nvnodes; i++) {
		const struct td__vnode *v = vnode_at(fs, i);

		if (v->state != TD__FREE)
			s->vnodes[s->nvnodes++] =
				(struct state_vnode){ i, v->state, v->kept, v->dirty, v->refs, v->rec };
	}
	s->kept = fs->kept;
}

void state_free(struct state *s)
{
	free(s->sums);
	free(s->vnodes);
}

static const char *vnode_differs(const struct state_vnode *a, const struct state_vnode *b)
{
	if (a->index != b->index || a->state != b->state)
		return "is another one";
	if (a->refs != b->refs || a->kept != b->kept)
		return "references";
	if (a->dirty != b->dirty)
		return "dirty";
	if (a->rec.size != b->rec.size || a->rec.blocks != b->rec.blocks)
		return "size or blocks";
	if (a->rec.nlink != b->rec.nlink)
		return "nlink";
	return memcmp(&a->rec, &b->rec, sizeof(a->rec)) ? "record" : 0;
}

int state_differs(const struct state *is, const struct state *should, int blocks_only, char *where, size_t size)
{
	for (uint64_t b = 0; b < is->nblocks; b++)
		if (is->sums[b] != should->sums[b]) {
			snprintf(where, size, "block %llu differs", (unsigned long long)b);
			return 1;
		}
	if (blocks_only)
		return 0;
	for (uint32_t i = 0; i < is->nvnodes && i < should->nvnodes; i++) {
		const char *what = vnode_differs(&is->vnodes[i], &should->vnodes[i]);

		if (!what)
			continue;
		snprintf(where, size, "vnode %u (fid %llu): %s", is->vnodes[i].index,
			 (unsigned long long)is->vnodes[i].rec.fid, what);
		return 1;
	}
	if (is->nvnodes != should->nvnodes || is->kept != should->kept) {
		snprintf(where, size, "%u vnodes, %u kept; %u and %u were expected", is->nvnodes, is->kept,
			 should->nvnodes, should->kept);
		return 1;
	}
	return 0;
}

/* ---- Nothing is left, and nothing remembered is wrong */

static const char *call_left(const struct td__call *c)
{
	if (c->busy)
		return "a slot is still claimed";
	if (c->journal.used || c->journal.entries)
		return "a journal is not empty";
	if (c->fault.kind)
		return "a fault is still noted in its slot";
	for (uint32_t i = 0; i < TD_LOCK_MAX / 64; i++)
		if (c->held[i] || c->given[i])
			return "a slot still holds a lock";
	return c->waits ? "a slot still waits" : 0;
}

/* The kernel's idea of where a file lies, against the module's. */
static const char *extents_wrong(struct td__fs *fs, struct td__vnode *v)
{
	for (uint32_t i = 0; i < v->nextents; i++)
		for (uint64_t at = v->extents[i].lblk; at < v->extents[i].lblk + v->extents[i].count;) {
			const struct td_extent *k = &v->extents[i];
			struct td_extent e[32];
			uint32_t n = 0;

			if (td__fs_bmap(fs, v, at, 1, e, &n) || !n)
				return "a cached extent of which the module knows nothing";
			if (e[0].state != k->state || (k->state == TD_DATA && e[0].pblk - (e[0].lblk - at) != k->pblk + (at - k->lblk)))
				return "a cached extent is not true";
			at = e[0].lblk + e[0].count > at ? e[0].lblk + e[0].count : at + 1;
		}
	return 0;
}

static const char *names_wrong(struct world *w)
{
	static const char *const names[] = { "a",  "b",  "c", "d", "e", "l", "ll", "new", "open", "gone", "sub", "x",
					     "b2", "zz", "big", "moved", ".." };

	for (int i = 0; i < HELD; i++) {
		struct td__vnode *dir = w->h[i] ? td__vnode_get(w->fs, w->h[i]) : 0;

		for (uint32_t n = 0; dir && dir->rec.type == TD_DIR && n < sizeof(names) / sizeof(names[0]); n++) {
			uint64_t cached = 0, fid = 0;
			int known = td__name_get(dir, text(names[n]), &cached);
			int err = known == TD__NAME_UNKNOWN ? 0 : td__fs_lookup(w->fs, dir, text(names[n]), &fid);

			if ((known == TD__NAME_KNOWN && (err || fid != cached)) || (known == TD__NAME_ABSENT && err != -TD_ENOENT)) {
				td__vnode_put(dir, 1);
				return "a cached name is not true";
			}
		}
		if (dir)
			td__vnode_put(dir, 1);
	}
	return 0;
}

const char *state_wrong(struct world *w)
{
	struct td__fs *fs = w->fs;
	const char *wrong = 0;

	if (fs->state != TD_STATE_RUNNING || fs->closed || fs->starter)
		return "the mount is not running";
	for (uint32_t i = 0; i < TD__SLOTS && !wrong; i++)
		wrong = call_left(&fs->calls[i]);
	for (uint32_t i = 0; i < TD_LOCK_MAX; i++)
		if (fs->locks.word[i])
			return "a lock is still taken";
	if (fs->locks.waiting)
		return "there are waiters";
	for (uint32_t i = 0; i < fs->nvnodes && !wrong; i++)
		wrong = vnode_at(fs, i)->state == TD__ACTIVE ? extents_wrong(fs, vnode_at(fs, i)) : 0;
	return wrong ? wrong : names_wrong(w);
}

/* The checker looks at every block: at a copy, so that those never written stay unwritten. */
const char *world_check(struct world *w)
{
	static uint8_t *copy;
	static uint64_t blocks; /* that it holds: an image has fewer than memory */
	const char *wrong;
	struct state s;

	if (world_trust(w))
		return "the level cannot be changed";
	if (td_sync(w->fs))
		return "it cannot be written back";
	state_take(w, &s);
	if (s.nblocks > blocks) {
		free(copy);
		blocks = s.nblocks;
		copy = calloc(blocks, w->dev->bsize);
	}
	for (uint64_t b = 0; b < s.nblocks; b++)
		if (s.sums[b])
			memcpy(copy + b * w->dev->bsize, td__device_at(w->dev, b), w->dev->bsize);
	wrong = smfs_sound(copy, s.nblocks, w->orphans, w->norphans);
	for (uint64_t b = 0; b < s.nblocks; b++)
		if (s.sums[b])
			memset(copy + b * w->dev->bsize, 0, w->dev->bsize);
	state_free(&s);
	return wrong;
}
