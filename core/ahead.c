/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocating ahead: a file that grows by small writes gets blocks for the next ones, too, so that not every write
 * crosses the wall; and a small file that is emptied keeps its blocks, to be written anew. What is left of them is `ahead`: zeroed blocks behind the end of the file that nobody has asked for.
 *
 * Nobody is to notice them: attributes are shown without them; everything but another append gives them back first, and so
 * do sync, statfs and whoever finds the device full. At most AHEAD_MAX files of a mount have such blocks: the next one
 * takes the place of the oldest. The fields of a vnode are guarded by its lock, the ring by its mutex.
 */
#include "fs.h"

enum {
	STEP_MIN = 16, /* blocks */
	STEP_MAX = 256,
	KEEP_MAX = 64,     /* of a file that is emptied */
	DEVICE_PART = 256, /* a file takes at most this part of the device */
};

static uint64_t blocks_of(const struct td__vnode *v)
{
	uint32_t bsize = v->fs->device->bsize;

	return v->rec.size / bsize + (v->rec.size % bsize != 0);
}

uint64_t td__ahead_left(const struct td__vnode *v)
{
	uint64_t from = blocks_of(v);

	if (from < v->ahead)
		from = v->ahead;
	return from < v->ahead_end ? v->ahead_end - from : 0;
}

/* Powers of two up to STEP_MAX, so that a file which doubles keeps nothing, and a long one asks once for each STEP_MAX. */
uint64_t td__ahead_end(struct td__vnode *v, uint64_t end)
{
	uint64_t step = STEP_MIN, most = v->fs->device->blocks / DEVICE_PART, whole;

	if (!v->appends++)
		return end;
	while (step < end && step < STEP_MAX)
		step *= 2;
	whole = (end + step - 1) / step * step;
	return step <= most && whole < v->fs->info.maxsize / v->fs->device->bsize ? whole : end;
}

void td__ahead_trim(struct td__vnode *v)
{
	uint64_t left = td__ahead_left(v), from = v->ahead_end - left;

	v->ahead = v->ahead_end = 0;
	v->appends = 0;
	if (!left)
		return;
	td__extents_cut(v, from, left);
	td__fs_bunmap(v->fs, v, from, left); /* if that fails they are the file's, as if reserved */
	td__vnode_dirty(v);
}

/* Does the file have blocks [0, end), all known, and no others? */
static int is_plain(const struct td__vnode *v, uint64_t end)
{
	const struct td_extent *e;

	if (v->rec.blocks != end * (v->fs->device->bsize / 512))
		return 0;
	for (uint64_t b = 0; b < end; b = e->lblk + e->count) {
		e = td__extent_find(v, b);
		if (!e || e->state != TD_DATA)
			return 0;
	}
	return 1;
}

int td__ahead_keep(struct td__vnode *v)
{
	struct td__device *dev = v->fs->device;
	uint64_t end = blocks_of(v) + td__ahead_left(v);

	if (dev->disk || end > KEEP_MAX || end > dev->blocks / DEVICE_PART || !is_plain(v, end))
		return 0;
	for (uint32_t i = 0; i < v->nextents; i++)
		if (v->extents[i].state == TD_DATA)
			td__device_discard(dev, v->extents[i].pblk, v->extents[i].count);
	v->ahead = 0;
	v->ahead_end = end;
	return 1;
}

static void trim_fid(struct td__fs *fs, uint64_t fid)
{
	struct td__vnode *v = td__vnode_cached(fs, fid);

	if (!v)
		return;
	td__rwlock_exclusive(&v->lock);
	v->ahead_listed = 0;
	td__ahead_trim(v);
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
}

static uint64_t oldest(struct td__ahead *a)
{
	return a->first == a->end ? 0 : a->fids[a->first++ % TD__AHEAD_MAX];
}

void td__ahead_unlock(struct td__vnode *v)
{
	struct td__ahead *a = &v->fs->ahead;
	int enter = v->ahead_end && !v->ahead_listed;
	uint64_t fid = 0;

	v->ahead_listed |= (uint32_t)enter;
	td__rwlock_unlock(&v->lock);
	if (!enter)
		return;
	td__mutex_lock(&a->mutex);
	if (a->end - a->first == TD__AHEAD_MAX)
		fid = oldest(a);
	a->fids[a->end++ % TD__AHEAD_MAX] = v->fid;
	td__mutex_unlock(&a->mutex);
	if (fid)
		trim_fid(v->fs, fid);
}

int td__ahead_trim_all(struct td__fs *fs)
{
	struct td__ahead *a = &fs->ahead;
	uint64_t fid;
	int n = 0;

	do {
		td__mutex_lock(&a->mutex);
		fid = oldest(a);
		td__mutex_unlock(&a->mutex);
		if (fid)
			trim_fid(fs, fid);
		n += fid != 0;
	} while (fid && n < TD__AHEAD_MAX);
	return n;
}

int td__ahead_relieve(struct td__fs *fs, int64_t err)
{
	return (err == -TD_ENOSPC || err == -TD_EDQUOT) && td__ahead_trim_all(fs);
}

void td__vnode_show(const struct td__vnode *v, struct td_vnode *out)
{
	uint64_t hidden = td__ahead_left(v) * (v->fs->device->bsize / 512);

	*out = v->rec;
	out->flags = td__vnode_valid(v);
	out->blocks -= hidden < out->blocks ? hidden : out->blocks;
}
