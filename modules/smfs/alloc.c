/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks. A group's bitmap says which are in use; data are taken from its low end, nodes and
 * inodes from its high end, so that files that grow stay in one piece.
 */
#include "smfs.h"

/*
 * Open the block with byte `at` of a group's maps: the bitmap, then 16 bits for each block of the
 * group.
 */
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
		uint8_t new = used ? old | mask : old &(uint8_t)~mask;
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
void account(struct call *c, int64_t blocks, int64_t inodes)
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

/*
 * A group that the call may take a block from becomes the open one; reserve() has seen to it that
 * there is one.
 */
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
int take_high(struct call *c, uint64_t *blk)
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
