/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slots for inodes. The map has 16 bits for each block of the group, one for each slot in use; 0:
 * the block holds no inodes. New inodes come from the group's current block, whose slots the
 * group's entry keeps: so making one does not touch the map.
 */
#include "smfs.h"

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

/*
 * Which slots of the fid's block are in use; of its group's current block, all. The shard is
 * locked.
 */
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

/*
 * Give the open group a current block of inodes with a free slot. While it is current, the map
 * says it is full.
 */
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
