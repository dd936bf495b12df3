/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking what the groups say of themselves against what has been seen. See check.h. */
#include "check.h"

static uint32_t entry_at(uint64_t g)
{
	return (uint32_t)((g / fs.shards + 1) % TABLE_ENTRIES * sizeof(struct group));
}

int entry_of_group(uint64_t g, struct group *e)
{
	struct td_buf *b;

	if (check_open(table_block(g), &b))
		return -TD_EIO;
	memcpy(e, (const uint8_t *)td_buf_data(b) + entry_at(g), sizeof(*e));
	td_brelse(b);
	return 0;
}

/* From an index on, the next block with inodes, and which; the group's length if there is none. The entry knows the current one's. */
int next_inodes(uint64_t g, const struct group *e, uint64_t *index, uint16_t *mask)
{
	uint32_t i = *index < fs.gmeta ? fs.gmeta : (uint32_t)*index, end = group_len(g), off;
	struct td_buf *b;

	*mask = 0;
	while (i < end && !*mask) {
		ck->work++;
		if (map_open(g, (1u << fs.gshift) / 8 + 2 * i, &b, &off))
			return -TD_EIO;
		for (const uint8_t *map = td_buf_data(b); off < BSIZE && i < end; off += 2, i++) {
			memcpy(mask, map + off, 2);
			if (e->icur == i)
				*mask = e->imask;
			if (*mask)
				break;
		}
		td_brelse(b);
	}
	*index = i;
	return 0;
}

static int is_used(uint64_t blk)
{
	return ck->used[blk / 8] >> blk % 8 & 1;
}

/* A run of blocks of which the map says the same, and it is wrong. */
static void tell_run(uint64_t g, struct td_buf *b, uint32_t at, uint32_t n, int says)
{
	struct td_problem p = { .blkno = group_start(g) + at, .blocks = n };

	/* What seems to be free may belong to what could not be followed. */
	if (!says || !ck->torn)
		p.flags = TD_PROBLEM_SAFE;
	if (p.flags && ck->repair) {
		const uint8_t *map = td_buf_data(b);

		for (uint32_t i = at; i < at + n; i++) {
			uint8_t byte = map[i / 8], bit = (uint8_t)(1 << i % 8);

			byte = says ? byte & (uint8_t)~bit : byte | bit;
			put(&ck->call, b, i / 8, &byte, 1);
			map = td_buf_data(b);
		}
		p.flags |= TD_PROBLEM_REPAIRED;
	}
	tell(&p, says ? "in use by the map, and nothing has them" : "free by the map, and something has them",
	     (struct td_name){ 0, 0 });
}

static int check_bitmap(uint64_t g, struct group *e)
{
	uint32_t end = group_len(g), run = 0, off;
	struct td_buf *b;
	int says = 0;

	if (map_open(g, 0, &b, &off))
		return -TD_EIO;
	e->bused = 0;
	for (uint32_t i = fs.gmeta; i <= end; i++) {
		int bit = i < end && ((const uint8_t *)td_buf_data(b))[i / 8] >> i % 8 & 1;
		int used = i < end && is_used(group_start(g) + i);

		if (run && (i == end || bit == used || bit != says)) {
			tell_run(g, b, i - run, run, says);
			run = 0;
		}
		if (i < end && bit != used) {
			says = bit;
			run++;
		}
		if (i == end)
			break;
		used |= bit && ck->torn;
		e->bused += (uint32_t)used;
		if (!used && i < e->low)
			e->low = i;
		if (!used && i >= end - e->high)
			e->high = end - i - 1;
	}
	td_brelse(b);
	return 0;
}

static int check_slots(uint64_t g, struct group *e)
{
	uint64_t index = 0;
	int err = 0;

	e->iused = e->iblocks = 0;
	for (; !err; index++) {
		uint16_t mask;

		err = next_inodes(g, e, &index, &mask);
		if (index >= group_len(g))
			break;
		e->iblocks++;
		e->iused += (uint32_t)__builtin_popcount(mask);
	}
	return err;
}

static int tell_group(uint64_t g, const char *text, uint64_t found, uint64_t right)
{
	return tell_count(0, group_start(g), group_len(g), text, found, right);
}

/* The map says of the current block that it is full. */
static int check_current(uint64_t g, const struct group *e)
{
	uint16_t full = SLOTS_FULL, mask;
	struct td_buf *b;
	uint32_t off;

	if (!e->icur)
		return 0;
	if (e->icur < fs.gmeta || e->icur >= group_len(g)) {
		tell_blocks(0, group_start(g), group_len(g), "name a current block of inodes that cannot be one");
		return 0;
	}
	if (map_open(g, (1u << fs.gshift) / 8 + 2 * e->icur, &b, &off))
		return -TD_EIO;
	memcpy(&mask, (const uint8_t *)td_buf_data(b) + off, 2);
	if (mask != full && tell_group(g, "do not have their current block of inodes as full in the map", mask, full))
		put(&ck->call, b, off, &full, 2);
	td_brelse(b);
	return 0;
}

static int store(uint64_t blk, uint32_t at, const void *entry)
{
	struct td_buf *b;

	if (check_open(blk, &b))
		return -TD_EIO;
	put(&ck->call, b, at, entry, sizeof(struct group));
	td_brelse(b);
	return ck->call.err;
}

int check_group(uint64_t g)
{
	static const char *const texts[] = { "are counted wrongly, those in use", "are counted wrongly, their inodes in use",
					     "are counted wrongly, those with inodes",
					     "have a free one below what is said to be the first",
					     "have a free one behind what is said to be the last" };
	struct group e, right;
	int err = entry_of_group(g, &e), repaired = 0;

	if (err)
		return err;
	right = e;
	if (e.low > group_len(g) || e.high > group_len(g))
		right.low = right.high = 0;
	ck->work += fs.gmeta;
	err = check_bitmap(g, &right);
	if (!err)
		err = check_slots(g, &right);
	if (!err)
		err = check_current(g, &e);
	if (err)
		return err;
	const uint32_t found[] = { e.bused, e.iused, e.iblocks, e.low, e.high };
	const uint32_t should[] = { right.bused, right.iused, right.iblocks, right.low, right.high };
	for (uint32_t i = 0; i < sizeof(found) / sizeof(found[0]); i++)
		if (found[i] != should[i])
			repaired |= tell_group(g, texts[i], found[i], should[i]);
	ck->sum.bused += right.bused;
	ck->sum.iused += right.iused;
	return repaired ? store(table_block(g), entry_at(g), &right) : 0;
}

int check_shard(uint32_t s)
{
	uint64_t table = 1 + (uint64_t)s * fs.tblocks;
	struct shard found, right = ck->sum;
	int err = shard_load(s, &found), repaired = 0;

	if (!err && found.bused != right.bused)
		repaired = tell_count(0, table, 1, "has the sum of blocks in use wrongly", found.bused, right.bused);
	if (!err && found.iused != right.iused)
		repaired |= tell_count(0, table, 1, "has the sum of inodes in use wrongly", found.iused, right.iused);
	return err || !repaired ? err : store(table, 0, &right);
}
