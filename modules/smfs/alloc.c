/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks. A group's bitmap says which are in use; data are taken from its low end, nodes and inodes from
 * its high end, so that files that grow stay in one piece.
 *
 * reserve() locks shards until those that the call holds have enough free blocks between them: from then on
 * they cannot run out. It prefers the goal's shard, or when that is busy one that is not. A call that needs
 * more goes upwards from there, waiting; shards below it are only tried. So where several calls fight for
 * the last blocks, one may be told ENOSPC though another gives some back a moment later.
 *
 * Where room was found when a group had none is remembered in `detours`, so that the next call goes there at
 * once. That is a guess: it may be wrong or lost.
 */
#include "smfs.h"

enum { DETOURS = 256 };

/* For group g, at g % DETOURS: g in the upper half, and one plus the group to go to instead in the lower. */
static uint64_t detours[DETOURS];

static void detour_set(uint64_t g, uint64_t to)
{
	if (g != to && g < fs.groups)
		__atomic_store_n(&detours[g % DETOURS], g << 32 | (to + 1), __ATOMIC_RELAXED);
}

static uint64_t detour(uint64_t g)
{
	uint64_t d = __atomic_load_n(&detours[g % DETOURS], __ATOMIC_RELAXED), to = (d & 0xffffffff) - 1;

	return d && d >> 32 == g && to < fs.groups ? to : g;
}

void detours_forget(void)
{
	memset(detours, 0, sizeof(detours));
}

static void detour_end(uint64_t g)
{
	if (detour(g) != g)
		__atomic_store_n(&detours[g % DETOURS], 0, __ATOMIC_RELAXED);
}

static uint32_t group_free(const struct call *c)
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
static int shard_find(struct call *c, uint32_t s, int inode, uint64_t *found)
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
		memcpy(&e, (const uint8_t *)td_buf_data(b) + at % TABLE_ENTRIES * sizeof(e), sizeof(e));
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

/* The first shard: the goal's, or when that is busy another one that is not, else the goal's all the same. */
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

/* Open the block with byte `at` of a group's maps: the bitmap, then 16 bits for each block of the group. */
int map_open(uint64_t g, uint32_t at, struct td_buf **b, uint32_t *off)
{
	*off = at % BSIZE;
	return open_block(group_start(g) + at / BSIZE, b);
}

static int bit(const uint8_t *map, uint32_t i)
{
	return map[i / 8] >> i % 8 & 1;
}

/* Set or clear the bits of a run. */
static void map_set(struct call *c, struct td_buf *b, uint32_t from, uint32_t n, int used)
{
	uint32_t end = from + n;

	while (from < end && !c->err) {
		uint32_t whole = from % 8 ? 0 : (end - from) / 8;
		if (whole) {
			fill(c, b, from / 8, whole, used ? 0xff : 0);
			from += whole * 8;
			continue;
		}
		uint32_t stop = from - from % 8 + 8 < end ? from - from % 8 + 8 : end;
		uint8_t mask = (uint8_t)(((1u << (stop - from)) - 1) << from % 8);
		uint8_t old = ((const uint8_t *)td_buf_data(b))[from / 8];
		uint8_t new = used ? old | mask : old & (uint8_t)~mask;
		put(c, b, from / 8, &new, 1);
		from = stop;
	}
}

/* How many bits from `i` on are clear, up to `want`. */
static uint32_t clear_run(const uint8_t *map, uint32_t i, uint32_t end, uint32_t want)
{
	uint32_t n = 0;

	while (n < want && i + n < end && !bit(map, i + n)) {
		if ((i + n) % 8 == 0 && !map[(i + n) / 8] && end - (i + n) >= 8 && want - n >= 8)
			n += 8;
		else
			n++;
	}
	return n;
}

/* The first clear run of `want` bits in [i, end), or else the longest. */
static uint32_t best_run(const uint8_t *map, uint32_t i, uint32_t end, uint32_t want, uint32_t *at)
{
	uint32_t best = 0;

	while (i < end && best < want) {
		if (i % 8 == 0 && map[i / 8] == 0xff) {
			i += 8;
			continue;
		}
		uint32_t n = clear_run(map, i, end, want);
		if (n > best) {
			best = n;
			*at = i;
		}
		i += n + 1;
	}
	return best;
}

/* Note that blocks of the open group changed hands. */
static void account(struct call *c, int64_t blocks, int64_t inodes)
{
	c->g.bused += (uint32_t)blocks;
	c->s.bused += (uint64_t)blocks;
	c->g.iused += (uint32_t)inodes;
	c->s.iused += (uint64_t)inodes;
	c->dirty = 1;
}

/* Open group g if the call may take a block from it. 1: it may not. */
static int try_group(struct call *c, uint64_t g)
{
	int err;

	if (g >= fs.groups || !(c->held >> shard_of(g) & 1))
		return 1;
	err = group_open(c, g);
	return err ? err : !group_free(c);
}

/* A group that the call may take a block from becomes the open one; reserve() has seen to it that there is one. */
static int group_with_room(struct call *c, uint64_t prefer)
{
	int err = try_group(c, prefer);

	if (err > 0)
		err = try_group(c, group_of(c->goal));
	for (uint32_t s = 0; s < fs.shards && err > 0; s++) {
		uint64_t g;
		if (!(c->held >> s & 1))
			continue;
		err = shard_find(c, s, 0, &g);
		if (!err)
			err = g ? group_open(c, g - 1) : 1;
	}
	if (!err)
		detour_set(c->wish, c->open - 1);
	return err > 0 ? -TD_EIO : err;
}

/* Take up to `want` blocks that lie together, from `goal` on if they are free. */
int take_run(struct call *c, uint64_t goal, uint64_t want, uint64_t *blk, uint32_t *got)
{
	struct td_buf *b;
	uint32_t at = 0, end, n = 0, off;
	uint64_t g;
	int err = group_with_room(c, group_of(goal));

	if (!err)
		err = map_open(c->open - 1, 0, &b, &off);
	if (err)
		return err;
	g = c->open - 1;
	end = group_len(g);
	if (want > end)
		want = end;
	const uint8_t *map = td_buf_data(b);
	if (group_of(goal) == g && goal >= group_start(g) + fs.gmeta) {
		at = (uint32_t)(goal - group_start(g));
		n = clear_run(map, at, end, (uint32_t)want);
	}
	uint32_t low = c->g.low > fs.gmeta ? c->g.low : fs.gmeta;
	if (!n)
		n = best_run(map, low, end, (uint32_t)want, &at);
	if (!n || n > group_free(c)) {
		td_brelse(b);
		return -TD_EIO;
	}
	map_set(c, b, at, n, 1);
	td_brelse(b);
	if (at <= low)
		c->g.low = at + n;
	account(c, n, 0);
	c->avail -= n;
	*blk = group_start(g) + at;
	*got = n;
	return c->err;
}

/* Take the highest free block of the open group. */
static int take_high(struct call *c, uint64_t *blk)
{
	uint64_t g = c->open - 1;
	uint32_t at = group_len(g) - c->g.high, off;
	struct td_buf *b;
	int err = map_open(g, 0, &b, &off);

	if (err)
		return err;
	const uint8_t *map = td_buf_data(b);
	while (at > fs.gmeta && bit(map, at - 1))
		at -= at % 8 == 0 && map[at / 8 - 1] == 0xff ? 8 : 1;
	if (at > fs.gmeta && group_free(c)) {
		at--;
		map_set(c, b, at, 1, 1);
		c->g.high = group_len(g) - at;
		account(c, 1, 0);
		c->avail--;
		*blk = group_start(g) + at;
		err = c->err;
	} else {
		err = -TD_EIO;
	}
	td_brelse(b);
	return err;
}

/* Take one block for a node or a string. */
int take_block(struct call *c, uint64_t *blk)
{
	int err = group_with_room(c, group_of(c->goal));

	return err ? err : take_high(c, blk);
}

/* Free blocks that lie together. The call holds their shard's lock. */
int free_run(struct call *c, uint64_t blk, uint64_t n)
{
	struct td_buf *b;
	uint32_t at, off;
	uint64_t g;
	int err;

	if (!block_ok(blk, n))
		return -TD_EIO;
	g = group_of(blk);
	at = (uint32_t)(blk - group_start(g));
	err = group_open(c, g);
	if (!err)
		err = map_open(g, 0, &b, &off);
	if (err)
		return err;
	const uint8_t *map = td_buf_data(b);
	for (uint32_t i = 0; i < n && !err; i++)
		if (!bit(map, at + i)) /* free already: two files claim it */
			err = -TD_EIO;
	if (n > c->g.bused)
		err = -TD_EIO;
	if (!err) {
		map_set(c, b, at, (uint32_t)n, 0);
		account(c, -(int64_t)n, 0);
		if (c->g.low > at)
			c->g.low = at;
		if (c->g.high > group_len(g) - at - n)
			c->g.high = (uint32_t)(group_len(g) - at - n);
		detour_end(g);
		if (td_discard(blk, n))
			err = -TD_EIO;
	}
	td_brelse(b);
	return err ? err : c->err;
}

/* ---- Slots for inodes: for each block of the group 16 bits, one for each slot in use; 0: holds no inodes. */

static uint32_t slot_map(uint32_t index)
{
	return (1u << fs.gshift) / 8 + index * 2;
}

static int slots_open(uint64_t g, uint32_t index, struct td_buf **b, uint32_t *off, uint16_t *mask)
{
	int err = map_open(g, slot_map(index), b, off);

	if (!err)
		memcpy(mask, (const uint8_t *)td_buf_data(*b) + *off, 2);
	return err;
}

static int slots_put(struct call *c, uint64_t g, uint32_t index, uint16_t mask)
{
	struct td_buf *b;
	uint32_t off;
	int err = map_open(g, slot_map(index), &b, &off);

	if (err)
		return err;
	put(c, b, off, &mask, 2);
	td_brelse(b);
	return c->err;
}

/* Which slots of the fid's block are in use; of its group's current block, all. The shard is locked. */
int slots_of(uint64_t fid, uint16_t *mask)
{
	uint64_t g = group_of(fid / SLOTS);
	struct td_buf *b;
	uint32_t off;
	int err = slots_open(g, (uint32_t)(fid / SLOTS - group_start(g)), &b, &off, mask);

	if (!err)
		td_brelse(b);
	return err;
}

/* A block of the open group that has inodes and a free slot. */
static int find_partial(struct call *c, uint32_t *index, uint16_t *mask)
{
	uint32_t end = group_len(c->open - 1);

	for (uint32_t i = fs.gmeta; i < end;) {
		struct td_buf *b;
		uint32_t off;
		int err = map_open(c->open - 1, slot_map(i), &b, &off);
		if (err)
			return err;
		const uint8_t *map = td_buf_data(b);
		for (; off < BSIZE && i < end; off += 2, i++) {
			memcpy(mask, map + off, 2);
			if (*mask && *mask != SLOTS_FULL)
				break;
		}
		td_brelse(b);
		if (off < BSIZE && i < end) {
			*index = i;
			return 0;
		}
	}
	return -TD_EIO;
}

/* Give the open group a current block of inodes with a free slot. While it is current, the map says it is full. */
static int new_current(struct call *c, int *fresh)
{
	uint64_t g = c->open - 1, blk;
	uint16_t mask = 0;
	uint32_t index = 0;
	int err;

	if (c->nblocks) {
		err = take_high(c, &blk);
		index = (uint32_t)(blk - group_start(g));
		*fresh = 1;
		c->g.iblocks += !err;
	} else {
		err = find_partial(c, &index, &mask);
	}
	if (err)
		return err;
	c->g.icur = index;
	c->g.imask = mask;
	return slots_put(c, g, index, SLOTS_FULL);
}

/* Take a slot in the group that reserve() found. fresh: its block has held no inodes until now. */
int take_slot(struct call *c, uint64_t *fid, int *fresh)
{
	uint32_t slot = 0;
	int err = group_open(c, c->ngroup - 1);

	*fresh = 0;
	if (!err && (!c->g.icur || c->g.imask == SLOTS_FULL))
		err = new_current(c, fresh);
	if (err)
		return err;
	while (c->g.imask >> slot & 1)
		slot++;
	c->g.imask |= (uint16_t)(1u << slot);
	c->g.generation++;
	account(c, 0, 1);
	*fid = (group_start(c->open - 1) + c->g.icur) * SLOTS + slot;
	return 0;
}

/* Clear a slot's bit, in the group's entry or in the map. */
static int slot_clear(struct call *c, uint64_t g, uint32_t index, uint16_t bit, uint16_t *left)
{
	struct td_buf *b;
	uint16_t mask;
	uint32_t off;
	int err = slots_open(g, index, &b, &off, &mask);

	if (err)
		return err;
	if (c->g.icur == index)
		mask = c->g.imask;
	if (!(mask & bit))
		err = -TD_EIO;
	mask &= (uint16_t)~bit;
	*left = mask;
	if (!err && (c->g.icur != index || !mask))
		put(c, b, off, &mask, 2);
	if (!err && c->g.icur == index)
		c->g.imask = mask;
	td_brelse(b);
	return err ? err : c->err;
}

/* Free a slot, and its block with the last of them. The call holds the shard's lock. */
int free_slot(struct call *c, uint64_t fid)
{
	uint64_t blk = fid / SLOTS, g = group_of(blk);
	uint32_t index = (uint32_t)(blk - group_start(g));
	uint16_t left = 0;
	int err = group_open(c, g);

	if (!err && (!c->g.iused || !c->s.iused || !c->g.iblocks))
		err = -TD_EIO;
	if (!err)
		err = slot_clear(c, g, index, (uint16_t)(1u << fid % SLOTS), &left);
	if (err)
		return err;
	account(c, 0, -1);
	if (left)
		return 0;
	if (c->g.icur == index)
		c->g.icur = 0;
	c->g.iblocks--;
	return free_run(c, blk, 1);
}
