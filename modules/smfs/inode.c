/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inodes. A fid is the number of the block times SLOTS plus the slot: an inode is found without a
 * table. Its block was free before and becomes free with its last inode; the group's map of slots
 * says which blocks hold inodes, so that a fid made up by a client (NFS) cannot make an inode of a
 * file's data.
 */
#include "smfs.h"

static uint32_t place(uint64_t fid)
{
	return (uint32_t)(fid % SLOTS) * INODE_SIZE;
}

const struct inode *inode_at(const struct td_buf *b, uint64_t fid)
{
	return (const struct inode *)((const uint8_t *)td_buf_data(b) + place(fid));
}

void inode_root(struct td_buf *b, uint64_t fid, struct node *n)
{
	*n = (struct node){ b, place(fid) + (uint32_t)sizeof(struct inode), ROOT_SIZE, 0 };
}

/* Open the block of an inode in use. */
int inode_open(uint64_t fid, struct td_buf **b)
{
	int err = block_ok(fid / SLOTS, 1) ? open_block(fid / SLOTS, b) : -TD_EIO;

	if (err)
		return err;
	if (inode_at(*b, fid)->fid == fid)
		return 0;
	td_brelse(*b);
	return -TD_EIO;
}

static void time_in(struct inode *i, uint32_t n, const struct td_time *t)
{
	i->sec[n] = t->sec;
	i->nsec[n] = t->nsec;
}

static void encode(struct inode *i, const struct td_vnode *v, uint64_t parent)
{
	*i = (struct inode){ .fid = v->fid,
			     .generation = v->generation,
			     .type = (uint16_t)v->type,
			     .mode = (uint16_t)v->mode,
			     .uid = v->uid,
			     .gid = v->gid,
			     .rdev = v->rdev,
			     .nlink = v->nlink,
			     .parent = parent,
			     .size = v->size,
			     .blocks = v->blocks };
	time_in(i, 0, &v->atime);
	time_in(i, 1, &v->mtime);
	time_in(i, 2, &v->ctime);
	time_in(i, 3, &v->btime);
}

static struct td_time time_out(const struct inode *i, uint32_t n)
{
	return (struct td_time){ i->sec[n], i->nsec[n], 0 };
}

/* Is it one that the kernel can take as a record? */
int inode_sane(const struct inode *i)
{
	for (uint32_t n = 0; n < 4; n++)
		if (i->nsec[n] > 999999999 || i->sec[n] < TD_TIME_FIRST || i->sec[n] > TD_TIME_LAST)
			return 0;
	return i->type >= TD_REG && i->type <= TD_SOCK && i->mode <= 07777 && i->size <= MAXSIZE &&
	       i->nlink <= MAXLINK && i->blocks < 1ull << 54;
}

static void decode(const struct inode *i, struct td_vnode *v)
{
	v->fid = i->fid;
	v->generation = i->generation;
	v->type = i->type;
	v->mode = i->mode;
	v->uid = i->uid;
	v->gid = i->gid;
	v->rdev = i->rdev;
	v->nlink = i->nlink;
	v->size = i->size;
	v->blocks = i->blocks;
	v->atime = time_out(i, 0);
	v->mtime = time_out(i, 1);
	v->ctime = time_out(i, 2);
	v->btime = time_out(i, 3);
	v->flags = 0;
}

/* Write v's inode, which lies in `b`. */
void inode_store(struct call *c, struct td_buf *b, const struct td_vnode *v, uint64_t parent)
{
	struct inode i;

	encode(&i, v, parent);
	put(c, b, place(v->fid), &i, sizeof(i));
}

/* Write v's inode; its parent stays. */
int inode_save(struct call *c, const struct td_vnode *v)
{
	struct td_buf *b;
	int err = inode_open(v->fid, &b);

	if (err)
		return err;
	inode_store(c, b, v, inode_at(b, v->fid)->parent);
	td_brelse(b);
	return c->err;
}

/*
 * Make v's inode, with an empty tree, in the group that reserve() found. The caller stores and
 * closes it.
 */
int inode_new(struct call *c, struct td_vnode *v, uint64_t parent, struct td_buf **b)
{
	struct {
		struct inode i;
		struct node_head root;
	} new = { .root = { .low = ROOT_SIZE } };
	int fresh, err = take_slot(c, &v->fid, &fresh);

	if (err)
		return err;
	if (fresh ? td_getblk(v->fid / SLOTS, b) : td_bread(v->fid / SLOTS, b))
		return -TD_EIO;
	v->generation = c->g.generation;
	v->nlink = v->type == TD_DIR ? 2 : 1;
	v->blocks = 0;
	encode(&new.i, v, parent);
	put(c, *b, place(v->fid), &new, sizeof(new));
	return c->err;
}

int smfs_getvnode(uint64_t fid, struct td_vnode *v)
{
	struct call c = { 0 };
	struct td_buf *b;
	uint16_t mask;
	int err;

	if (!block_ok(fid / SLOTS, 1))
		return -TD_ESTALE;
	err = lock_shard(&c, shard_of(group_of(fid / SLOTS)), TD_SHARED);
	if (!err)
		err = slots_of(fid, &mask);
	if (!err && !(mask >> fid % SLOTS & 1))
		err = -TD_ESTALE;
	if (!err)
		err = open_block(fid / SLOTS, &b);
	if (err)
		return call_end(&c, err);
	if (inode_at(b, fid)->fid != fid)
		err = -TD_ESTALE;
	else if (!inode_sane(inode_at(b, fid)))
		err = -TD_EIO;
	else
		decode(inode_at(b, fid), v);
	td_brelse(b);
	return call_end(&c, err);
}

int smfs_update(struct td_vnode *v)
{
	struct call c = { 0 };

	return call_end(&c, inode_save(&c, v));
}

/* The shards of all that v holds. */
static int locks_of(struct td_vnode *v, uint64_t *set)
{
	struct td_buf *b;
	int err = inode_open(v->fid, &b);

	if (err)
		return err;
	err = tree_locks_all(v, b, set);
	*set |= lock_bit(v->fid / SLOTS);
	td_brelse(b);
	return err;
}

/* Free all that v holds, and its inode. The shards are locked. */
static int free_inode(struct call *c, struct td_vnode *v)
{
	struct td_buf *b;
	int err = inode_open(v->fid, &b);

	if (err)
		return err;
	err = tree_free_all(c, v, b);
	if (!err)
		fill(c, b, place(v->fid), sizeof(uint64_t), 0);
	td_brelse(b);
	return err ? err : free_slot(c, v->fid);
}

int smfs_inactive(struct td_vnode *v)
{
	struct call c = { 0 };
	uint64_t set = 0;
	int err = locks_of(v, &set);

	if (!err)
		err = lock_set(&c, set);
	if (!err)
		err = free_inode(&c, v);
	return call_end(&c, err);
}

int smfs_inactive_many(struct td_in vnodes)
{
	const struct td_vnode *list = vnodes.data;
	uint32_t n = vnodes.len / sizeof(*list);
	struct call c = { 0 };
	uint64_t set = 0;
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++) {
		struct td_vnode v = list[i];

		err = locks_of(&v, &set);
	}
	if (!err)
		err = lock_set(&c, set);
	for (uint32_t i = 0; i < n && !err; i++) {
		struct td_vnode v = list[i];

		err = free_inode(&c, &v);
	}
	return call_end(&c, err);
}
