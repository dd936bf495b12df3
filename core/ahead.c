/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocating ahead: a file that grows by small writes gets blocks for the next ones, too, so that not every write
 * crosses the wall; a small file that is emptied keeps its blocks, to be written anew; and where files are written as soon
 * as they are made, new ones are made with blocks. What is left of them is `ahead`: zeroed blocks behind the end of the file that nobody has asked for.
 *
 * Nobody is to notice them: attributes and statfs show the device without them; everything but another append gives them
 * back first, and so does whoever finds the device full. So many files have such blocks as the ring has entries, and these files
 * were given at most a part of the device: the next one takes the place of the oldest; a file that is no more leaves an empty place. The fields of a vnode are guarded by
 * its lock, the ring by its mutex.
 */
#include "fs.h"

enum {
	STEP_MIN = 16, /* blocks */
	STEP_MAX = 256,
	KEEP_MAX = 64,     /* of a file that is emptied */
	DEVICE_PART = 64,  /* a file takes at most this part of the device */
	RING_PART = 16,	   /* and all files together */
	RING = 1 << 16,
	FIRST_MAX = 16,	   /* blocks that a new file is made with */
	PARTS = 16,	   /* of a block, in which is guessed */
	RISES = 4,	   /* by the fourth part of what was too little, */
	FALLS = 16,	   /* and by so much of what was too much */
	UNWRITTEN_MAX = 8, /* so many files in a row that were made and not written: new ones get no blocks */
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
uint64_t td__ahead_end(const struct td__vnode *v, uint64_t end)
{
	uint64_t step = STEP_MIN, most = v->fs->device->blocks / DEVICE_PART, whole;

	if (!v->appended)
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
	v->appended = 0;
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
	v->ahead_at = 0;
	td__ahead_trim(v);
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
}

/* The oldest entry's fid; 0: there is none. Under the mutex. */
static uint64_t oldest(struct td__ahead *a)
{
	while (a->first != a->end) {
		const struct td__ahead_entry *e = &a->ring[a->first++ % RING];

		a->blocks -= e->blocks;
		if (e->fid)
			return e->fid;
	}
	return 0;
}

void td__ahead_forget(struct td__vnode *v)
{
	struct td__ahead *a = &v->fs->ahead;
	uint32_t at = v->ahead_at - 1;
	struct td__ahead_entry *e = &a->ring[at % RING];

	if (!v->ahead_at)
		return;
	v->ahead_at = 0;
	td__mutex_lock(&a->mutex);
	if (at - a->first < a->end - a->first && e->fid == v->fid) {
		a->blocks -= e->blocks;
		*e = (struct td__ahead_entry){ 0 };
		while (a->end != a->first && !a->ring[(a->end - 1) % RING].fid)
			a->end--;
	}
	td__mutex_unlock(&a->mutex);
}

/* Make room for another entry: the fid of a file whose blocks must go, or 0. Under the mutex. */
static uint64_t surplus(struct td__fs *fs)
{
	struct td__ahead *a = &fs->ahead;

	return a->end - a->first == RING || a->blocks > fs->device->blocks / RING_PART ? oldest(a) : 0;
}

/* How many blocks will lie ahead for long, about: half of what a new file was made with is written at once. */
static uint64_t expected(const struct td__vnode *v)
{
	uint64_t left = td__ahead_left(v);

	return v->rec.size ? left : (left + 1) / 2;
}

void td__ahead_unlock(struct td__vnode *v)
{
	struct td__fs *fs = v->fs;
	struct td__ahead *a = &fs->ahead;
	uint64_t fid = 0;

	if (v->ahead_end && !v->ahead_at) {
		struct td__ahead_entry e = { v->fid, expected(v) };

		td__mutex_lock(&a->mutex);
		fid = surplus(fs);
		a->ring[a->end++ % RING] = e;
		a->blocks += e.blocks;
		v->ahead_at = a->end;
		td__mutex_unlock(&a->mutex);
	}
	td__rwlock_unlock(&v->lock);
	if (fid)
		trim_fid(fs, fid);
}

int td__ahead_trim_all(struct td__fs *fs)
{
	struct td__ahead *a = &fs->ahead;
	uint64_t fid;
	uint32_t n;

	td__mutex_lock(&a->mutex);
	fid = n = a->end - a->first;
	td__mutex_unlock(&a->mutex);
	for (uint32_t i = 0; i < n && fid; i++) {
		td__mutex_lock(&a->mutex);
		fid = oldest(a);
		td__mutex_unlock(&a->mutex);
		if (fid)
			trim_fid(fs, fid);
	}
	return n != 0;
}

static uint64_t hidden_of(struct td__fs *fs, uint64_t fid)
{
	struct td__vnode *v = td__vnode_cached(fs, fid);
	uint64_t left;

	if (!v)
		return 0;
	td__rwlock_shared(&v->lock);
	left = td__ahead_left(v);
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
	return left;
}

uint64_t td__ahead_hidden(struct td__fs *fs)
{
	struct td__ahead *a = &fs->ahead;
	uint64_t blocks = 0;
	uint32_t i, end;

	td__mutex_lock(&a->mutex);
	for (i = a->first, end = a->end; i != end; i++) {
		uint64_t fid = i - a->first < RING ? a->ring[i % RING].fid : 0; /* else it has been taken out meanwhile */

		td__mutex_unlock(&a->mutex);
		blocks += fid ? hidden_of(fs, fid) : 0;
		td__mutex_lock(&a->mutex);
	}
	td__mutex_unlock(&a->mutex);
	return blocks;
}

int td__ahead_relieve(struct td__fs *fs, int64_t err)
{
	int any = 0;

	if (err == -TD_ENOSPC || err == -TD_EDQUOT) {
		any = td__graves_empty(fs);
		any |= td__ahead_trim_all(fs);
	}
	return any;
}

/* ---- New files. How large the last ones became tells what the next is made with; a guess, so nothing guards it. */

static struct td__ahead_guess *guess_of(struct td__fs *fs)
{
	return &fs->ahead.guesses[td__port_thread() % TD__AHEAD_GUESSES];
}

/* A guess rises faster than it falls: a call for more blocks is dearer than some that lie ahead. */
static uint32_t better_guess(uint32_t parts, uint32_t blocks)
{
	uint32_t is = blocks > FIRST_MAX ? 0 : blocks * PARTS;

	return is > parts ? parts + (is - parts + RISES - 1) / RISES : parts - (parts - is + FALLS - 1) / FALLS;
}

uint64_t td__ahead_first(struct td__fs *fs)
{
	struct td__ahead_guess *g = guess_of(fs);
	uint32_t parts = __atomic_load_n(&g->parts, __ATOMIC_RELAXED), last = __atomic_load_n(&g->last, __ATOMIC_RELAXED);

	if (last) {
		parts = better_guess(parts, last);
		__atomic_store_n(&g->parts, parts, __ATOMIC_RELAXED);
		__atomic_store_n(&g->last, 0, __ATOMIC_RELAXED);
	}
	if (__atomic_load_n(&g->unwritten, __ATOMIC_RELAXED) >= UNWRITTEN_MAX ||
	    fs->device->blocks / DEVICE_PART < FIRST_MAX)
		return 0;
	return (parts + PARTS - 1) / PARTS;
}

void td__ahead_written(struct td__vnode *v, uint64_t blocks)
{
	struct td__ahead_guess *g = guess_of(v->fs);
	uint32_t reached = blocks > FIRST_MAX ? FIRST_MAX + 1 : (uint32_t)blocks;

	v->young = reached <= FIRST_MAX;
	__atomic_store_n(&g->unwritten, 0, __ATOMIC_RELAXED);
	if (reached > __atomic_load_n(&g->last, __ATOMIC_RELAXED))
		__atomic_store_n(&g->last, reached, __ATOMIC_RELAXED);
}

void td__ahead_begin(struct td__vnode *v, const struct td_extent *first, uint32_t n)
{
	struct td__ahead_guess *g = guess_of(v->fs);

	__atomic_store_n(&g->unwritten, __atomic_load_n(&g->unwritten, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
	td__rwlock_exclusive(&v->lock);
	v->young = 1;
	for (uint32_t i = 0; i < n; i++)
		td__device_zero(v->fs->device, first[i].pblk, first[i].count);
	if (n) {
		td__extents_add(v, first, n);
		v->ahead_end = first[n - 1].lblk + first[n - 1].count;
	}
	td__rwlock_unlock(&v->lock);
}

int td__ahead_init(struct td__fs *fs)
{
	td__mutex_init(&fs->ahead.mutex);
	fs->ahead.ring = td__port_alloc(RING * sizeof(*fs->ahead.ring));
	return fs->ahead.ring ? 0 : -TD_ENOMEM;
}

void td__ahead_fini(struct td__fs *fs)
{
	if (fs->ahead.ring)
		td__port_free(fs->ahead.ring, RING * sizeof(*fs->ahead.ring));
	td__mutex_fini(&fs->ahead.mutex);
}

void td__vnode_show(const struct td__vnode *v, struct td_vnode *out)
{
	uint64_t hidden = td__ahead_left(v) * (v->fs->device->bsize / 512);

	*out = v->rec;
	out->flags = td__vnode_valid(v);
	out->blocks -= hidden < out->blocks ? hidden : out->blocks;
}
