/* SPDX-License-Identifier: BSD-2-Clause */
/* The operation check: its parts, what it remembers, and how it reports. See check.h. */
#include "check.h"

enum { WORK = 4096, ROOM_FIRST = 1024 };

struct check *ck;

/* ---- Reports */

void tell(const struct td_problem *p, const char *text, struct td_name name)
{
	if (!td_problem_emit(ck->problems, p, text, name))
		ck->unsaid++;
}

void tell_file(uint64_t fid, const char *text)
{
	tell(&(struct td_problem){ .fid = fid }, text, (struct td_name){ 0, 0 });
}

/* Counts follow from what has been seen: to set them right loses nothing, if all has been. Of a file, or of what these blocks hold. */
int tell_count(uint64_t fid, uint64_t blk, uint64_t n, const char *text, uint64_t found, uint64_t right)
{
	struct td_problem p = { fid, blk, n, found, right, TD_PROBLEM_NUMBERS, 0 };

	if (!ck->torn)
		p.flags |= TD_PROBLEM_SAFE | (ck->repair ? TD_PROBLEM_REPAIRED : 0);
	tell(&p, text, (struct td_name){ 0, 0 });
	return (p.flags & TD_PROBLEM_REPAIRED) != 0;
}

void tell_blocks(uint64_t fid, uint64_t blk, uint64_t n, const char *text)
{
	tell(&(struct td_problem){ .fid = fid, .blkno = blk, .blocks = n }, text, (struct td_name){ 0, 0 });
}

/* ---- What is remembered */

static struct seen *slot_for(struct seen *table, uint64_t room, uint64_t fid)
{
	uint64_t i = fid * 0x9e3779b97f4a7c15 >> 20 & (room - 1);

	while (table[i].fid && table[i].fid != fid)
		i = (i + 1) & (room - 1);
	return &table[i];
}

static int grow(void)
{
	uint64_t room = ck->room ? 2 * ck->room : ROOM_FIRST, bytes = room * sizeof(struct seen);
	struct seen *more = bytes > 1ull << 30 ? 0 : td_alloc((size_t)bytes);

	if (!more)
		return -TD_ENOMEM;
	for (uint64_t i = 0; i < ck->room; i++)
		if (ck->seen[i].fid)
			*slot_for(more, room, ck->seen[i].fid) = ck->seen[i];
	td_free(ck->seen);
	ck->seen = more;
	ck->room = room;
	return 0;
}

/* The entry of a fid, which is not 0; a new one if there is none. 0: there is no memory. */
struct seen *see(uint64_t fid)
{
	struct seen *s;

	if (4 * ck->nseen >= 3 * ck->room && grow())
		return 0;
	s = slot_for(ck->seen, ck->room, fid);
	if (!s->fid) {
		s->fid = fid;
		ck->nseen++;
	}
	return s;
}

/* Note that these blocks are in use. 1: they are this file's alone, as far as is known; 0: that is told as a problem. */
int claim(uint64_t fid, uint64_t blk, uint64_t n)
{
	uint64_t twice = 0, first = 0;

	if (!block_ok(blk, n)) {
		tell_blocks(fid, blk, n, "cannot be a file's");
		ck->torn = 1;
		return 0;
	}
	for (uint64_t b = blk; b < blk + n; b++) {
		uint8_t *byte = &ck->used[b / 8], bit = (uint8_t)(1 << b % 8);

		if (*byte & bit && !twice++)
			first = b;
		*byte |= bit;
	}
	if (twice)
		tell_blocks(fid, first, twice, "belong to something else, too");
	return !twice;
}

int check_open(uint64_t blk, struct td_buf **b)
{
	ck->work++;
	return open_block(blk, b);
}

static void forget(void)
{
	if (!ck)
		return;
	td_free(ck->used);
	td_free(ck->seen);
	td_free(ck);
	ck = 0;
}

static int begin(uint32_t repair)
{
	uint64_t bytes = fs.blocks / 8 + 1;

	forget();
	ck = td_alloc(sizeof(*ck));
	if (!ck)
		return -TD_ENOMEM;
	ck->repair = repair;
	ck->used = bytes > 1ull << 30 ? 0 : td_alloc((size_t)bytes);
	if (!ck->used || grow() || !see(fs.root)) {
		forget();
		return -TD_ENOMEM;
	}
	see(fs.root)->names = 1; /* nobody names it */
	return 0;
}

/* ---- Over all inodes */

/* Inodes of one block. The first look at a block claims it. */
static int inodes_of(uint64_t blk, uint16_t mask)
{
	struct td_buf *b;
	int err = 0;

	claim(0, blk, 1);
	if (check_open(blk, &b))
		return -TD_EIO;
	for (uint32_t i = 0; i < SLOTS && !err; i++) {
		uint64_t fid = blk * SLOTS + i;
		int there = inode_at(b, fid)->fid == fid;

		if (there && mask >> i & 1)
			err = check_inode(b, fid);
		else if (there)
			tell_file(fid, "is there, and the map of slots says it is not");
		else if (mask >> i & 1)
			tell_file(fid, "is not there, and the map of slots says it is");
	}
	td_brelse(b);
	return err;
}

static void set_links(struct td_buf *b, uint64_t fid, uint32_t links)
{
	put(&ck->call, b, (uint32_t)(fid % SLOTS * INODE_SIZE + __builtin_offsetof(struct inode, nlink)), &links,
	    sizeof(links));
}

static int links_of_inode(struct td_buf *b, uint64_t fid)
{
	const struct inode *i = inode_at(b, fid);
	struct seen *s = see(fid);
	uint32_t right;

	if (!s)
		return -TD_ENOMEM;
	right = s->directory && s->names ? 2 + s->subdirs : s->names;
	if (s->directory && s->names > 1)
		tell_file(fid, "is a directory with more than one name");
	if (!s->names && !i->nlink) {
		tell(&(struct td_problem){ .fid = fid, .flags = TD_PROBLEM_NAMELESS | TD_PROBLEM_SAFE },
		     "has no name and no link, and was not freed", (struct td_name){ 0, 0 });
		return 0;
	}
	if (!s->names) {
		tell_file(fid, "has no name: no directory leads to it");
	} else if (i->nlink != right && tell_count(fid, 0, 0, "counts its links wrongly", i->nlink, right)) {
		set_links(b, fid, right);
	}
	return 0;
}

static int links_of(uint64_t blk, uint16_t mask)
{
	struct td_buf *b;
	int err = 0;

	if (check_open(blk, &b))
		return -TD_EIO;
	for (uint32_t i = 0; i < SLOTS && !err; i++)
		if (mask >> i & 1 && inode_at(b, blk * SLOTS + i)->fid == blk * SLOTS + i)
			err = links_of_inode(b, blk * SLOTS + i);
	td_brelse(b);
	return err;
}

/* Go on over the blocks of inodes, until the part has done its share. */
static int all_inodes(int (*look)(uint64_t blk, uint16_t mask))
{
	for (; ck->group < fs.groups; ck->group++, ck->index = 0) {
		struct group e;
		int err = entry_of_group(ck->group, &e);

		for (; !err; ck->index++) {
			uint16_t mask;

			if (ck->work >= WORK)
				return 0;
			err = next_inodes(ck->group, &e, &ck->index, &mask);
			if (ck->index >= group_len(ck->group))
				break;
			if (!err)
				err = look(group_start(ck->group) + ck->index, mask);
		}
		if (err)
			return err;
	}
	return 0;
}

/* ---- Paths */

static uint64_t parent_of(uint64_t fid)
{
	struct td_buf *b;
	uint64_t parent;

	if (inode_open(fid, &b))
		return 0;
	ck->work++;
	parent = inode_at(b, fid)->parent;
	td_brelse(b);
	return parent;
}

/* The entry of the directory above, 0: the way ends. */
static struct seen *above(const struct seen *s)
{
	uint64_t parent = s->fid == fs.root ? 0 : parent_of(s->fid);
	struct seen *up = parent ? slot_for(ck->seen, ck->room, parent) : 0;

	return up && up->fid && up->directory ? up : 0;
}

/* Up, to what has been walked before; then the same way again, to note that. A ring is met on the way. */
static void walk_up(struct seen *from)
{
	struct seen *s = from;

	for (; s && !s->way; s = above(s))
		s->way = 1;
	if (s && s->way == 1)
		tell_file(s->fid, "lies within itself: the root does not lead to it");
	for (s = from; s && s->way == 1; s = above(s))
		s->way = 2;
}

static void all_paths(void)
{
	for (; ck->index < ck->room && ck->work < WORK; ck->index++) {
		struct seen *s = &ck->seen[ck->index];

		if (s->fid && s->directory && s->in_use)
			walk_up(s);
	}
}

/* ---- Maps */

/* Shard by shard, so that a shard's sum is known when its last group has been looked at. `index` counts shards here. */
static int all_maps(void)
{
	while (ck->index < fs.shards && ck->work < WORK) {
		int err = check_group(ck->group);

		if (err)
			return err;
		ck->group += fs.shards;
		if (ck->group < fs.groups)
			continue;
		err = check_shard((uint32_t)ck->index);
		if (err)
			return err;
		ck->sum = (struct shard){ 0 };
		ck->group = ++ck->index;
	}
	return 0;
}

/* ---- Parts */

static int look(void)
{
	switch (ck->phase) {
	case INODES:
		return all_inodes(inodes_of);
	case LINKS:
		return all_inodes(links_of);
	case PATHS:
		all_paths();
		return 0;
	case MAPS:
		return all_maps();
	case OVER:
		break;
	}
	return 0;
}

static int phase_over(void)
{
	return ck->phase == PATHS ? ck->index >= ck->room :
	       ck->phase == MAPS  ? ck->index >= fs.shards :
				    ck->group >= fs.groups;
}

/* How many problems could not be told: this part has room again. */
static void tell_unsaid(void)
{
	if (!ck->unsaid)
		return;
	tell(&(struct td_problem){ .found = ck->unsaid, .flags = TD_PROBLEM_NUMBERS },
	     "there are more problems than could be told", (struct td_name){ 0, 0 });
	ck->unsaid = 0;
}

int smfs_check(uint64_t part, uint32_t repair, uint64_t *next, struct td_out *problems)
{
	int err = part ? 0 : begin(repair);

	if (err)
		return err;
	if (!ck || ck->part != part)
		return -TD_ESTALE;
	ck->problems = problems;
	ck->work = 0;
	ck->call = (struct call){ 0 };
	tell_unsaid();
	err = look();
	if (!err)
		err = call_end(&ck->call, 0);
	if (!err && phase_over()) {
		ck->phase++;
		ck->group = ck->index = 0;
	}
	if (err || (ck->phase == OVER && !ck->unsaid)) {
		forget();
		*next = 0;
		return err;
	}
	*next = ++ck->part;
	return 0;
}
