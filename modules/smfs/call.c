/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a call holds, and where things lie.
 *
 * A call keeps one group open at a time: its entry in the shard's table is changed in memory and
 * written once, when another group is opened or the call ends. The lock of the group's shard is
 * held by then.
 */
#include "smfs.h"

uint32_t group_len(uint64_t g)
{
	uint64_t rest = fs.blocks - group_start(g);

	return rest >> fs.gshift ? 1u << fs.gshift : (uint32_t)rest;
}

/*
 * Blocks of a shard's groups without the maps. Only the last group can be shorter than the others.
 */
uint64_t shard_blocks(uint32_t s)
{
	uint64_t n = (fs.groups - s + fs.shards - 1) / fs.shards;
	uint64_t all = n * ((1u << fs.gshift) - fs.gmeta);

	if (shard_of(fs.groups - 1) == s)
		all -= (1u << fs.gshift) - group_len(fs.groups - 1);
	return all;
}

/* A group's entry counts from 1 in its shard's table: 0 is the shard's own. */
static uint64_t entry_of(uint64_t g)
{
	return g / fs.shards + 1;
}

uint64_t table_block(uint64_t g)
{
	return 1 + (uint64_t)shard_of(g) * fs.tblocks + entry_of(g) / TABLE_ENTRIES;
}

/* Can these blocks belong to a file? They lie within one group, behind its maps. */
int block_ok(uint64_t blk, uint64_t count)
{
	if (blk < fs.first || blk >= fs.blocks || count < 1)
		return 0;
	uint64_t g = group_of(blk), at = blk - group_start(g);

	return g < fs.groups && at >= fs.gmeta && count <= group_len(g) - at;
}

uint64_t lock_bit(uint64_t blk)
{
	return 1ull << shard_of(group_of(blk));
}

int open_block(uint64_t blk, struct td_buf **b)
{
	return td_bread(blk, b) ? -TD_EIO : 0;
}

void put(struct call *c, struct td_buf *b, uint32_t off, const void *data, uint32_t len)
{
	if (!c->err && td_buf_write(b, off, data, len))
		c->err = -TD_EIO;
}

void fill(struct call *c, struct td_buf *b, uint32_t off, uint32_t len, uint8_t byte)
{
	if (!c->err && td_buf_fill(b, off, len, byte))
		c->err = -TD_EIO;
}

int shard_load(uint32_t s, struct shard *to)
{
	struct td_buf *b;
	int err = open_block(1 + (uint64_t)s * fs.tblocks, &b);

	if (err)
		return err;
	memcpy(to, td_buf_data(b), sizeof(*to));
	td_brelse(b);
	return 0;
}

/* Write the open group's entry and its shard's; where they adjoin, at once. */
void group_close(struct call *c)
{
	uint64_t entry;

	if (!c->open)
		return;
	entry = entry_of(c->open - 1);
	if (c->dirty && entry == 1) {
		put(c, c->head, 0, &c->s, sizeof(c->s) + sizeof(c->g));
	} else if (c->dirty) {
		put(c, c->head, 0, &c->s, sizeof(c->s));
		put(c, c->table, entry % TABLE_ENTRIES * sizeof(c->g), &c->g, sizeof(c->g));
	}
	if (c->table != c->head)
		td_brelse(c->table);
	td_brelse(c->head);
	c->open = 0;
	c->dirty = 0;
}

_Static_assert(__builtin_offsetof(struct call, g) ==
		       __builtin_offsetof(struct call, s) + sizeof(struct shard),
	       "group_close() writes both at once");

/* Make `g` the open group. Its counters are checked here, once for all who compute with them. */
int group_open(struct call *c, uint64_t g)
{
	uint64_t first = 1 + (uint64_t)shard_of(g) * fs.tblocks, blk = table_block(g);
	const uint8_t *data;
	int err;

	if (c->open == g + 1)
		return 0;
	group_close(c);
	if (g >= fs.groups || !(c->held >> shard_of(g) & 1))
		return -TD_EIO;
	err = open_block(first, &c->head);
	if (err)
		return err;
	c->table = c->head;
	if (blk != first)
		err = open_block(blk, &c->table);
	if (err) {
		td_brelse(c->head);
		return err;
	}
	memcpy(&c->s, td_buf_data(c->head), sizeof(c->s));
	data = td_buf_data(c->table);
	memcpy(&c->g, data + entry_of(g) % TABLE_ENTRIES * sizeof(c->g), sizeof(c->g));
	c->open = g + 1;
	if (c->g.bused > group_len(g) - fs.gmeta || c->s.bused > shard_blocks(shard_of(g)) ||
	    c->s.bused < c->g.bused || c->s.iused < c->g.iused || c->g.iblocks > c->g.bused ||
	    c->g.iused > (uint64_t)c->g.iblocks * SLOTS || c->g.icur >= group_len(g) ||
	    c->g.low > group_len(g) || c->g.high > group_len(g))
		return -TD_EIO;
	return 0;
}

/* 0, or EAGAIN (with TD_TRY), or EDEADLK, which ends the call. */
int lock_shard(struct call *c, uint32_t s, uint32_t mode)
{
	int err;

	if (c->held >> s & 1)
		return 0;
	err = td_lock(s, mode);
	if (!err)
		c->held |= 1ull << s;
	return err == -TD_EINVAL ? -TD_EIO : err;
}

/* Lock all shards of the set, in ascending order; before this the call holds none. */
int lock_set(struct call *c, uint64_t set)
{
	int err = 0;

	for (; set && !err; set &= set - 1)
		err = lock_shard(c, (uint32_t)__builtin_ctzll(set), TD_EXCLUSIVE);
	return err;
}

int call_end(struct call *c, int err)
{
	if (err && !c->err)
		c->err = err;
	group_close(c);
	uint32_t s = c->held ? (uint32_t)__builtin_ctzll(c->held) : 0;
	for (uint64_t held = c->held >> s; held; s++, held >>= 1) /* by halves: so it is proven that it ends */
		if (held & 1)
			td_unlock(s);
	c->held = 0;
	return c->err;
}
