/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are gone: no name, no reference. The module is to free what they hold. Where a call is a turn to another process, small
 * ones wait until there are several, and one call frees them all.
 *
 * Who waits is DYING: nobody can find it, and it is in none of the stripe's lists but that of the nameless. Whoever counts or needs
 * free blocks empties the graves first, and so does a change to a level where nobody is to wait. On an image they are orphans to the log, as
 * files are that are still open.
 *
 * A file whose freeing failed, as one that met two faults, is `pending`. It is tried again when the level changes, and by who empties the
 * graves: one at a time and seldom, since it may be the file that makes the module fail.
 */
#include "fs.h"
#include "commit.h"

enum { WAIT_UNITS = 1024 /* of 512 bytes, that may wait in one grave */, AGAIN_S = 10 };

static struct td__grave *grave_of(struct td__fs *fs)
{
	return &fs->graves[td__port_thread() % TD__GRAVES];
}

static int may_wait(const struct td__fs *fs, const struct td__vnode *v)
{
	return __atomic_load_n(&fs->dear, __ATOMIC_RELAXED) && td__hook_bound(fs, TD_OP_inactive_many) && v->rec.type != TD_DIR &&
	       v->rec.blocks <= WAIT_UNITS / 4;
}

/* Nobody else locks a vnode that is DYING for more than a look, so the order of these locks does not matter. */
static void free_all(struct td__fs *fs, struct td__vnode **v, uint32_t n)
{
	struct td_vnode records[TD__GRAVE_ROOM];
	struct td_in in = { records, n * (uint32_t)sizeof(*records) };
	int err = 0;

	for (uint32_t i = 0; i < n; i++) {
		td__rwlock_exclusive(&v[i]->lock);
		__atomic_store_n(&v[i]->waits, 0, __ATOMIC_RELEASE);
		td__extents_drop(v[i]);
		records[i] = v[i]->rec;
	}
	if (n > 1)
		err = td__fs_inactive_many(fs, in);
	for (uint32_t i = 0; i < n; i++) {
		if ((n == 1 || err) && td__fs_inactive(fs, v[i]))
			td__orphan_pending(fs, v[i]->fid);
		td__vnode_free_dying(v[i]);
	}
}

/* Take out all that wait. Returns how many. */
static uint32_t take_all(struct td__grave *g, struct td__vnode **v)
{
	uint32_t n = g->n;

	memcpy(v, g->v, n * sizeof(*v));
	g->n = 0;
	g->units = 0;
	return n;
}

void td__grave_put(struct td__vnode *v)
{
	struct td__fs *fs = v->fs;
	struct td__grave *g = grave_of(fs);
	struct td__vnode *all[TD__GRAVE_ROOM];
	uint32_t n = 0;
	int waits = may_wait(fs, v);

	if (waits) {
		td__mutex_lock(&g->mutex);
		waits = may_wait(fs, v); /* who makes calls cheap empties the graves after that */
		if (!waits)
			td__mutex_unlock(&g->mutex);
	}
	if (!waits) {
		free_all(fs, &v, 1);
		return;
	}
	__atomic_store_n(&v->waits, 1, __ATOMIC_RELEASE);
	g->v[g->n++] = v;
	g->units += v->rec.blocks;
	if (g->n == TD__GRAVE_ROOM || g->units > WAIT_UNITS)
		n = take_all(g, all);
	td__mutex_unlock(&g->mutex);
	if (n)
		free_all(fs, all, n);
}

/* ---- Once more */

void td__orphan_pending(struct td__fs *fs, uint64_t fid)
{
	td__mutex_lock(&fs->pending_mutex);
	td__fids_add(&fs->pending, &fs->npending, &fs->pending_room, fid); /* without memory it keeps its blocks */
	td__mutex_unlock(&fs->pending_mutex);
}

/* The one that waits longest; 0: there is none. */
static uint64_t take_pending(struct td__fs *fs)
{
	uint64_t fid = 0;

	td__mutex_lock(&fs->pending_mutex);
	if (fs->npending) {
		fid = fs->pending[0];
		memmove(fs->pending, fs->pending + 1, --fs->npending * sizeof(*fs->pending));
	}
	__atomic_store_n(&fs->pending_tried, td__port_monotonic(), __ATOMIC_RELAXED);
	td__mutex_unlock(&fs->pending_mutex);
	return fid;
}

void td__orphans_retry(struct td__fs *fs, uint64_t most)
{
	uint64_t n = __atomic_load_n(&fs->npending, __ATOMIC_RELAXED);

	for (n = n < most ? n : most; n; n--) {
		uint64_t fid = take_pending(fs);
		struct td__vnode *v;
		int err = fid ? td__vnode_by_fid(fs, fid, &v) : -TD_ESTALE;

		if (!err)
			td__vnode_put(v, 1);
		else if (err != -TD_ESTALE)
			td__orphan_pending(fs, fid);
	}
}

static int is_time_for_one(const struct td__fs *fs)
{
	return __atomic_load_n(&fs->npending, __ATOMIC_RELAXED) &&
	       td__port_monotonic() - __atomic_load_n(&fs->pending_tried, __ATOMIC_RELAXED) > AGAIN_S * 1000000000ull;
}

int td__graves_empty(struct td__fs *fs)
{
	struct td__vnode *all[TD__GRAVE_ROOM];
	int any = 0;

	if (is_time_for_one(fs))
		td__orphans_retry(fs, 1);
	for (uint32_t i = 0; i < TD__GRAVES; i++) {
		struct td__grave *g = &fs->graves[i];
		uint32_t n;

		if (!__atomic_load_n(&g->n, __ATOMIC_RELAXED))
			continue;
		td__mutex_lock(&g->mutex);
		n = take_all(g, all);
		td__mutex_unlock(&g->mutex);
		if (n)
			free_all(fs, all, n);
		any |= n != 0;
	}
	return any;
}
