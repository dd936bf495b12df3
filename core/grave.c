/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are gone: no name, no reference. The module is to free what they hold. Where a call is a turn to another process, small
 * ones wait until there are several, and one call frees them all.
 *
 * Who waits is DYING: nobody can find it, and it is in none of the stripe's lists but that of the nameless. Whoever counts or needs
 * free blocks empties the graves first. On an image they are orphans to the log, as files are that are still open.
 */
#include "fs.h"
#include "commit.h"

enum { WAIT_UNITS = 1024 /* of 512 bytes, that may wait in one grave */ };

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

	if (!may_wait(fs, v)) {
		free_all(fs, &v, 1);
		return;
	}
	td__mutex_lock(&g->mutex);
	__atomic_store_n(&v->waits, 1, __ATOMIC_RELEASE);
	g->v[g->n++] = v;
	g->units += v->rec.blocks;
	if (g->n == TD__GRAVE_ROOM || g->units > WAIT_UNITS)
		n = take_all(g, all);
	td__mutex_unlock(&g->mutex);
	if (n)
		free_all(fs, all, n);
}

int td__graves_empty(struct td__fs *fs)
{
	struct td__vnode *all[TD__GRAVE_ROOM];
	int any = 0;

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
