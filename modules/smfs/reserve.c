/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Room: reserve() locks shards until those that the call holds have enough free blocks between
 * them: from then on they cannot run out. It prefers the goal's shard, or when that is busy one
 * that is not. A call that needs more goes upwards from there, waiting; shards below it are only
 * tried. So where several calls fight for the last blocks, one may be told ENOSPC though another
 * gives some back a moment later.
 *
 * Where room was found when a group had none is remembered in `detours`, so that the next call
 * goes there at once. That is a guess: it may be wrong or lost.
 */
#include "smfs.h"

enum { DETOURS = 256 };

/*
 * For group g, at g % DETOURS: g in the upper half, and one plus the group to go to instead in the
 * lower.
 */
static uint64_t detours[DETOURS];

void detour_set(uint64_t g, uint64_t to)
{
	if (g != to && g < fs.groups)
		__atomic_store_n(&detours[g % DETOURS], g << 32 | (to + 1), __ATOMIC_RELAXED);
}

static uint64_t detour(uint64_t g)
{
	uint64_t d = __atomic_load_n(&detours[g % DETOURS], __ATOMIC_RELAXED),
		 to = (d & 0xffffffff) - 1;

	return d && d >> 32 == g && to < fs.groups ? to : g;
}

void detours_forget(void)
{
	memset(detours, 0, sizeof(detours));
}

void detour_end(uint64_t g)
{
	if (detour(g) != g)
		__atomic_store_n(&detours[g % DETOURS], 0, __ATOMIC_RELAXED);
}

uint32_t group_free(const struct call *c)
{
	return group_len(c->open - 1) - fs.gmeta - c->g.bused;
}

/* Has this group room for an inode? `blocks`: whether a new block is taken for it. */
static int inode_fits(const struct group *g, uint64_t gfree, uint32_t *blocks)
{
	uint64_t slots = (uint64_t)g->iblocks * SLOTS, ifree = slots - g->iused;

	if (g->iused >= slots)
		ifree = 0;
	*blocks = 0;
	if (g->icur && g->imask != SLOTS_FULL)
		return 1;
	/* Looking for a free slot in the map is worth it where there are many, or nothing else. */
	if (gfree && ifree * 8 <= slots) {
		*blocks = 1;
		return 1;
	}
	return ifree != 0;
}

/* The first group of a held shard that has a free block, or room for an inode. */
int shard_find(struct call *c, uint32_t s, int inode, uint64_t *found)
{
	struct td_buf *b = 0;
	uint32_t blocks;
	int err = 0;

	*found = 0;
	group_close(c);
	for (uint64_t g = s; g < fs.groups && !*found && !err; g += fs.shards) {
		uint64_t at = g / fs.shards + 1, blk = table_block(g);
		struct group e;

		if (!b || b->blkno != blk) {
			td_brelse(b);
			b = 0;
			err = open_block(blk, &b);
			if (err)
				break;
		}
		memcpy(&e, (const uint8_t *)td_buf_data(b) + at % TABLE_ENTRIES * sizeof(e),
		       sizeof(e));
		uint64_t all = group_len(g) - fs.gmeta;
		uint64_t gfree = e.bused < all ? all - e.bused : 0;
		if (inode ? inode_fits(&e, gfree, &blocks) : gfree != 0)
			*found = g + 1;
	}
	td_brelse(b);
	return err;
}

/* How many inodes a shard may hold. */
static uint64_t inode_share(uint32_t s)
{
	if (!fs.maxfiles)
		return KEY_MAX;
	return fs.maxfiles / fs.shards + (s < fs.maxfiles % fs.shards);
}

static int count_inode(struct call *c, uint32_t s)
{
	uint64_t g = group_of(c->goal);
	int err;

	c->quota = 1;
	if (shard_of(g) == s) {
		err = group_open(c, g);
		if (err)
			return err;
		if (inode_fits(&c->g, group_free(c), &c->nblocks)) {
			c->ngroup = g + 1;
			return 0;
		}
	}
	err = shard_find(c, s, 1, &c->ngroup);
	if (err || !c->ngroup)
		return err;
	detour_set(c->wish, c->ngroup - 1);
	err = group_open(c, c->ngroup - 1);
	if (!err)
		inode_fits(&c->g, group_free(c), &c->nblocks);
	return err;
}

/* Add up what a held shard has. */
static int count(struct call *c, uint32_t s, int inode)
{
	uint64_t all = shard_blocks(s);
	struct shard sh;
	int err;

	if (c->counted >> s & 1)
		return 0;
	if (s == shard_of(group_of(c->goal))) { /* it will be opened anyway */
		err = group_open(c, group_of(c->goal));
		sh = c->s;
	} else {
		err = shard_load(s, &sh);
	}
	if (err)
		return err;
	if (sh.bused > all)
		return -TD_EIO;
	c->counted |= 1ull << s;
	c->avail += all - sh.bused;
	if (inode && !c->ngroup && sh.iused < inode_share(s))
		err = count_inode(c, s);
	return err;
}

static int enough(const struct call *c, uint64_t need, int inode)
{
	return c->avail >= need + c->nblocks && (!inode || c->ngroup);
}

/*
 * The first shard: the goal's, or when that is busy another one that is not, else the goal's all
 * the same.
 */
static int first_shard(struct call *c)
{
	uint32_t s = shard_of(group_of(c->goal));
	int err = lock_shard(c, s, TD_EXCLUSIVE | TD_TRY);

	for (uint32_t i = 0; i < 4 && err == -TD_EAGAIN; i++) {
		uint32_t other = (s + 1 + td_slot() * 5 + i) % fs.shards;
		err = lock_shard(c, other, TD_EXCLUSIVE | TD_TRY);
		if (!err && other != s)
			c->goal = group_start(other) + fs.gmeta;
	}
	return err == -TD_EAGAIN ? lock_shard(c, s, TD_EXCLUSIVE) : err;
}

int reserve(struct call *c, uint64_t need, int inode)
{
	uint32_t last = 0;
	int err = 0;

	if (!need && !inode)
		return 0;
	if (c->goal < fs.first || group_of(c->goal) >= fs.groups)
		c->goal = fs.first;
	c->wish = group_of(c->goal);
	if (!c->held && detour(c->wish) != c->wish)
		c->goal = group_start(detour(c->wish)) + fs.gmeta;
	if (!c->held)
		err = first_shard(c);
	for (uint32_t s = 0; s < fs.shards && !err; s++) {
		if (!(c->held >> s & 1))
			continue;
		last = s;
		err = count(c, s, inode);
	}
	for (uint32_t i = 1; i < fs.shards && !err && !enough(c, need, inode); i++) {
		uint32_t s = (last + i) % fs.shards;
		err = lock_shard(c, s, s > last ? TD_EXCLUSIVE : TD_EXCLUSIVE | TD_TRY);
		if (!err)
			err = count(c, s, inode);
		else if (err == -TD_EAGAIN)
			err = 0;
	}
	if (err || enough(c, need, inode))
		return err;
	return inode && !c->quota ? -TD_EDQUOT : -TD_ENOSPC;
}
