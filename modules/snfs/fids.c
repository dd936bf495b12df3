/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of file handles. The kernel names a file by a fid, the server by a handle of up to 64 bytes: the table on the
 * device says which is which, and lives on when the domain does not.
 *
 *   block 0: the superblock | buckets: u32 each, the first slot of a chain, 0: none | entries: 256 bytes each, from slot 1 on
 *
 * A fid is a slot's number with 31 bits of a hash of the handle above it. So a slot can be used again: who still has the fid of
 * its former life finds another hash, and gets ESTALE. A device of zeroes is an empty table.
 *
 * Under LOCK_TABLE: chains, handles, the free slots. Whoever only looks a handle up reads without the lock: what he finds
 * he compares, and what he does not find he looks for again under the lock. fields: under LOCK_FIELDS, or the vnode's exclusive lock.
 */
#include "snfs.h"

enum { ENTRY = 256, PER_BLOCK = 4096 / ENTRY, BUCKETS_PER_BLOCK = 1024, CHAIN_MAX = 100000 };

/* At the end of block 0, behind the superblock: what changes. */
enum { COUNTS_AT = 2048 };
struct counts {
	uint32_t used; /* slots 1 to used have been in use */
	uint32_t free; /* first of those that are free again */
};

struct entry {
	uint32_t next; /* in its bucket, or in the list of free ones */
	uint32_t len;  /* of the handle; 0: free */
	uint8_t handle[NFS_FH_MAX];
	struct fid_fields f;
};
_Static_assert(sizeof(struct entry) <= ENTRY, "entry");

enum { FIELDS_AT = __builtin_offsetof(struct entry, f) };

int fids_geometry(uint64_t blocks)
{
	uint64_t rest = blocks - 1;

	if (td_bsize() != 4096 || blocks < 64)
		return -TD_ENOSPC;
	fs.first_bucket = 1;
	fs.first_entry = 1 + rest / (1 + BUCKETS_PER_BLOCK / PER_BLOCK) + 1;
	fs.buckets = (fs.first_entry - 1) * BUCKETS_PER_BLOCK;
	fs.slots = (blocks - fs.first_entry) * PER_BLOCK;
	if (fs.slots > 0xfffffff0u)
		fs.slots = 0xfffffff0u;
	return 0;
}

static uint64_t hash_of(const struct nfs_fh *fh)
{
	return hash_bytes(fs.boot, fh->data, fh->len);
}

static uint64_t make_fid(uint32_t slot, uint64_t hash)
{
	return (hash >> 33) << 32 | slot;
}

static int open_slot(uint32_t slot, struct td_buf **b, uint32_t *off)
{
	*off = (slot - 1) % PER_BLOCK * ENTRY;
	if (!slot || slot > fs.slots)
		return -TD_EIO;
	return td_bread(fs.first_entry + (slot - 1) / PER_BLOCK, b) ? -TD_EIO : 0;
}

static int get_entry(uint32_t slot, struct entry *e)
{
	struct td_buf *b;
	uint32_t off;
	int err = open_slot(slot, &b, &off);

	if (err)
		return err;
	memcpy(e, (const uint8_t *)td_buf_data(b) + off, sizeof(*e));
	td_brelse(b);
	return e->len > NFS_FH_MAX ? -TD_EIO : 0;
}

static int put_entry(uint32_t slot, uint32_t at, const void *data, uint32_t len)
{
	struct td_buf *b;
	uint32_t off;
	int err = open_slot(slot, &b, &off);

	if (err)
		return err;
	err = td_buf_write(b, off + at, data, len);
	td_brelse(b);
	return err ? -TD_EIO : 0;
}

static int word(uint64_t blkno, uint32_t off, uint32_t *get, const uint32_t *put)
{
	struct td_buf *b;
	int err = td_bread(blkno, &b);

	if (err)
		return -TD_EIO;
	if (put)
		err = td_buf_write(b, off, put, sizeof(*put));
	else
		memcpy(get, (const uint8_t *)td_buf_data(b) + off, sizeof(*get));
	td_brelse(b);
	return err ? -TD_EIO : 0;
}

static int bucket(uint64_t hash, uint32_t *get, const uint32_t *put)
{
	uint64_t n = hash % fs.buckets;

	return word(fs.first_bucket + n / BUCKETS_PER_BLOCK, (uint32_t)(n % BUCKETS_PER_BLOCK) * 4, get, put);
}

int fid_handle(uint64_t fid, struct nfs_fh *fh)
{
	struct entry e;
	int err = get_entry((uint32_t)fid, &e);

	if (err || !e.len)
		return -TD_ESTALE;
	fh->len = e.len;
	memcpy(fh->data, e.handle, sizeof(fh->data));
	return make_fid((uint32_t)fid, hash_of(fh)) == fid ? 0 : -TD_ESTALE;
}

/* Walk the handle's chain. *slot 0: it is not there. *before: whoever points at it, 0: the bucket. */
static int find(const struct nfs_fh *fh, uint64_t hash, uint32_t *slot, uint32_t *before)
{
	struct entry e;
	int err = bucket(hash, slot, 0);

	*before = 0;
	for (uint32_t n = 0; !err && *slot; n++) {
		err = n < CHAIN_MAX ? get_entry(*slot, &e) : -TD_EIO;
		if (err || (e.len == fh->len && !memcmp(e.handle, fh->data, fh->len)))
			break;
		*before = *slot;
		*slot = e.next;
	}
	return err;
}

/* A slot that is free, and the counts once it is not. */
static int take_slot(struct counts *c, uint32_t *slot)
{
	struct entry e = { 0 };
	int err = word(0, COUNTS_AT, &c->used, 0);

	if (!err)
		err = word(0, COUNTS_AT + 4, &c->free, 0);
	if (err)
		return err;
	if (c->free) {
		*slot = c->free;
		err = get_entry(*slot, &e);
		c->free = e.next;
		return err ? err : e.len ? -TD_EIO : 0;
	}
	*slot = ++c->used;
	return *slot > fs.slots ? -TD_ENOSPC : 0;
}

static int put_counts(const struct counts *c)
{
	int err = word(0, COUNTS_AT, 0, &c->used);

	return err ? err : word(0, COUNTS_AT + 4, 0, &c->free);
}

/* The entry first, then who points to it: a reader without the lock finds it whole or not at all. */
static int add(const struct nfs_fh *fh, uint64_t hash, uint32_t *slot)
{
	struct entry e = { .len = fh->len };
	struct counts c;
	int err = take_slot(&c, slot);

	memcpy(e.handle, fh->data, fh->len);
	if (!err)
		err = bucket(hash, &e.next, 0);
	if (!err)
		err = put_entry(*slot, 0, &e, sizeof(e));
	if (!err)
		err = bucket(hash, 0, slot);
	return err ? err : put_counts(&c);
}

int fid_known(const struct nfs_fh *fh, uint64_t *fid)
{
	uint64_t hash = hash_of(fh);
	uint32_t slot, before;
	int err = find(fh, hash, &slot, &before);

	*fid = !err && slot ? make_fid(slot, hash) : 0;
	return err;
}

int fids_lock(void)
{
	return td_lock(LOCK_TABLE, TD_EXCLUSIVE);
}

void fids_unlock(void)
{
	td_unlock(LOCK_TABLE);
}

int fid_add(const struct nfs_fh *fh, uint64_t *fid)
{
	uint64_t hash = hash_of(fh);
	uint32_t slot;
	int err = fid_known(fh, fid);

	if (err || *fid)
		return err;
	err = add(fh, hash, &slot);
	if (!err)
		*fid = make_fid(slot, hash);
	return err;
}

int fid_find(const struct nfs_fh *fh, uint64_t *fid)
{
	int err = fid_known(fh, fid);

	if (err || *fid)
		return err;
	err = fids_lock();
	if (err)
		return err;
	err = fid_add(fh, fid);
	fids_unlock();
	return err;
}

/* Take a slot out of its chain, and into the list of free ones. */
static int take_out(uint32_t slot, uint32_t before, uint64_t hash)
{
	struct entry e, empty = { 0 };
	struct counts c = { 0 };
	int err = get_entry(slot, &e);

	if (!err)
		err = before ? put_entry(before, 0, &e.next, sizeof(e.next)) : bucket(hash, 0, &e.next);
	if (!err)
		err = word(0, COUNTS_AT, &c.used, 0);
	if (!err)
		err = word(0, COUNTS_AT + 4, &c.free, 0);
	empty.next = c.free;
	c.free = slot;
	if (!err)
		err = put_entry(slot, 0, &empty, sizeof(empty));
	return err ? err : put_counts(&c);
}

int fid_remove(uint64_t fid)
{
	uint32_t slot, before;
	struct nfs_fh fh;
	int err = td_lock(LOCK_TABLE, TD_EXCLUSIVE);

	if (err)
		return err;
	err = fid_handle(fid, &fh);
	if (!err)
		err = find(&fh, hash_of(&fh), &slot, &before);
	if (!err && slot == (uint32_t)fid)
		err = take_out(slot, before, hash_of(&fh));
	td_unlock(LOCK_TABLE);
	return err;
}

int fid_fields(uint64_t fid, struct fid_fields *f)
{
	struct entry e = { 0 };
	int err = get_entry((uint32_t)fid, &e);

	*f = e.f;
	for (int i = 0; i < 2; i++)
		if (f->cred[i].ngroups > RPC_GROUPS_MAX)
			f->cred[i].ngroups = 0;
	return err;
}

int fid_set_fields(uint64_t fid, const struct fid_fields *f)
{
	return put_entry((uint32_t)fid, FIELDS_AT, f, sizeof(*f));
}
