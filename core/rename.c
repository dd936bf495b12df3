/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rename: find what is moved and what is replaced, lock all of it, see that nothing has changed meanwhile, move. fs->renames is held where
 * more than one directory is locked.
 */
#include "fs.h"
#include "names.h"
#include "operations.h"

struct rename {
	struct td__fs *fs;
	const struct td_cred *cred;
	struct td__vnode *from, *to, *v, *target; /* target: 0 if the new name is free */
	struct td_name old, new;
	uint32_t flags;
	int alone; /* fs->renames is held: needed where more than one directory is locked */
};

enum { DEEPEST = 1 << 17 };

/*
 * Is `dir` the directory `v`, or below it? Climbs by `..`; fs->renames keeps the tree as it is. A module could answer in a
 * circle: one that is closed meets `seen` (Brent 1980); one that never is ends at DEEPEST.
 */
static int is_below(struct td__fs *fs, struct td__vnode *dir, const struct td__vnode *v)
{
	uint64_t seen = 0;

	td__vnode_hold(dir);
	for (uint64_t steps = 1;; steps++) {
		struct td__vnode *up;
		uint64_t fid;
		int err;

		if (dir == v || dir == fs->root) {
			int below = dir == v;

			td__vnode_put(dir, 1);
			return below;
		}
		td__rwlock_shared(&dir->lock);
		err = td__fs_lookup(fs, dir, td__text_name(".."), &fid);
		td__rwlock_unlock(&dir->lock);
		if (!err && (fid == seen || steps > DEEPEST))
			err = -TD_EIO;
		if (!(steps & (steps - 1)))
			seen = err ? 0 : fid;
		if (!err)
			err = td__vnode_by_fid(fs, fid, &up);
		td__vnode_put(dir, 1);
		if (err)
			return err;
		dir = up;
	}
}

static int is_after(const struct td__vnode *a, const struct td__vnode *b)
{
	int adir = a->rec.type == TD_DIR, bdir = b->rec.type == TD_DIR;

	return adir != bdir ? bdir : a->index > b->index;
}

/*
 * At most four vnodes, each once: the parent directories by who is above, then what is moved, directories before files (a file may
 * have another name in such a directory), equals by index.
 */
static uint32_t in_order(const struct rename *r, int to_above, struct td__vnode **out)
{
	struct td__vnode *all[4] = { to_above ? r->to : r->from, to_above ? r->from : r->to, r->v, r->target };
	uint32_t n = 0;

	if (r->target && is_after(r->v, r->target)) {
		all[2] = r->target;
		all[3] = r->v;
	}
	for (int i = 0; i < 4; i++) {
		uint32_t k = 0;

		while (k < n && out[k] != all[i])
			k++;
		if (all[i] && k == n)
			out[n++] = all[i];
	}
	return n;
}

static int rename_allowed(const struct rename *r)
{
	const struct td_cred *cred = r->cred;
	int err = td__may(cred, &r->from->rec, 3);
	int dir = r->v->rec.type == TD_DIR;

	if (!err)
		err = td__may(cred, &r->to->rec, 3);
	if (!err)
		err = td__may_remove(cred, &r->from->rec, &r->v->rec);
	if (!err && r->target)
		err = td__may_remove(cred, &r->to->rec, &r->target->rec);
	if (!err && dir && r->from != r->to)
		err = td__may(cred, &r->v->rec, 2); /* its `..` changes */
	if (!err && !r->to->rec.nlink)
		err = -TD_ENOENT;
	if (err || !r->target)
		return err;
	if (r->flags & TD_RENAME_EXCHANGE) {
		if (r->target->rec.type == TD_DIR && r->from != r->to)
			err = td__may(cred, &r->target->rec, 2);
		return err;
	}
	if (dir && r->target->rec.type != TD_DIR)
		return -TD_ENOTDIR;
	if (!dir && r->target->rec.type == TD_DIR)
		return -TD_EISDIR;
	return 0;
}

static int rename_call(const struct rename *r)
{
	int err = td__fs_rename(r->fs, r->from, r->old, r->to, r->new, r->v, r->target, r->flags & TD_RENAME_EXCHANGE);

	if (err)
		return err;
	td__name_set(r->to, r->new, r->v->rec.fid);
	td__name_set(r->from, r->old, r->flags & TD_RENAME_EXCHANGE ? r->target->rec.fid : 0);
	td__name_set(r->v, td__text_name(".."), r->to->rec.fid);
	td__touch_dir(r->from);
	td__touch_dir(r->to);
	td__touch_change(r->v);
	if (r->target) {
		if (r->flags & TD_RENAME_EXCHANGE)
			td__name_set(r->target, td__text_name(".."), r->from->rec.fid);
		td__touch_change(r->target);
	}
	return 0;
}

/* A name that is free in the directory that is left, and not to be taken. Its lock is held. */
static int free_name(const struct rename *r, char *text, uint32_t size)
{
	uint64_t fid;
	int err = 0;

	for (uint64_t n = 0; !err; n++) {
		struct td_name name;

		td__copy_number(text, size, n);
		name = td__text_name(text);
		if (name.len != r->new.len || memcmp(name.bytes, r->new.bytes, name.len))
			err = td__find_fid(r->fs, r->from, name, &fid);
	}
	return err == -TD_ENOENT ? 0 : err;
}

static int swap_call(const struct rename *r, struct td_name aside, struct td__vnode *v, struct td__vnode *target)
{
	struct rename swap = *r;

	swap.to = r->from;
	swap.new = aside;
	swap.v = v;
	swap.target = target;
	swap.flags = TD_RENAME_EXCHANGE;
	return rename_call(&swap);
}

/* What is moved changes places with the new node, and goes on from there. An error on the way finds all as it was. */
static int leave_behind(const struct rename *r, struct td_name aside, struct td__vnode *node)
{
	struct rename on = *r;
	int err = swap_call(r, aside, r->v, node);

	if (err)
		return err;
	on.old = aside;
	on.flags = 0;
	err = rename_call(&on);
	if (err)
		swap_call(r, aside, node, r->v);
	return err;
}

/*
 * Move, and leave a whiteout behind, as union file systems want it: a character device of number 0. It is made beside the old name, since what
 * can fail is to fail before anything has moved; the directory's lock keeps others from seeing that.
 */
static int rename_whiteout(const struct rename *r)
{
	char text[24];
	struct td_name aside;
	struct td__vnode *node;
	int err = free_name(r, text, sizeof(text));

	aside = td__text_name(text);
	if (!err)
		err = td__make_whiteout(r->fs, r->cred, r->from, aside, &node);
	if (err)
		return err;
	td__rwlock_exclusive(&node->lock);
	err = leave_behind(r, aside, node);
	if (err && !td__fs_unlink(r->fs, r->from, aside, node))
		td__name_set(r->from, aside, 0);
	td__rwlock_unlock(&node->lock);
	td__vnode_drop(node);
	return err;
}

static int peek(struct td__fs *fs, const struct td_cred *cred, struct td__vnode *dir, struct td_name name,
		struct td__vnode **v)
{
	int err;

	td__rwlock_shared(&dir->lock);
	err = td__may(cred, &dir->rec, 1);
	if (!err)
		err = td__dir_find(fs, dir, name, v);
	td__rwlock_unlock(&dir->lock);
	return err;
}

/* The names were looked up before all locks were taken: do they still stand for the same? */
static int still_so(const struct rename *r)
{
	uint64_t fid;
	int err = td__find_fid(r->fs, r->from, r->old, &fid);

	if (err || fid != r->v->rec.fid)
		return 0;
	err = td__find_fid(r->fs, r->to, r->new, &fid);
	return r->target ? !err && fid == r->target->rec.fid : err == -TD_ENOENT;
}

enum { AGAIN = 1, TRIES = 10000 };

/* One attempt: find the vnodes, lock them all, see that nothing has changed, move. */
static int try_rename(struct rename *r)
{
	struct td__vnode *order[4];
	int err, to_above = 0;
	uint32_t n;

	r->v = r->target = 0;
	err = peek(r->fs, r->cred, r->from, r->old, &r->v);
	if (!err) {
		err = peek(r->fs, r->cred, r->to, r->new, &r->target);
		if (err == -TD_ENOENT && !(r->flags & TD_RENAME_EXCHANGE))
			err = 0;
	}
	if (!err && r->target && r->flags & TD_RENAME_NOREPLACE)
		err = -TD_EEXIST;
	if (!err && !r->alone && (r->v->rec.type == TD_DIR || (r->target && r->target->rec.type == TD_DIR))) {
		td__mutex_lock(&r->fs->renames);
		r->alone = 1;
	}
	if (!err && r->from != r->to) {
		to_above = is_below(r->fs, r->from, r->to);
		err = to_above < 0 ? to_above : 0;
		if (!err && r->v->rec.type == TD_DIR && (err = is_below(r->fs, r->to, r->v)) > 0)
			err = -TD_EINVAL;
		if (!err && r->target && r->target->rec.type == TD_DIR && (err = is_below(r->fs, r->from, r->target)) > 0)
			err = r->flags & TD_RENAME_EXCHANGE ? -TD_EINVAL : -TD_ENOTEMPTY;
		if (!err && !to_above) {
			int from_above = is_below(r->fs, r->to, r->from);

			err = from_above < 0 ? from_above : 0;
			to_above = !from_above && r->to->index < r->from->index;
		}
	}
	if (err)
		goto out;
	n = in_order(r, to_above, order);
	for (uint32_t i = 0; i < n; i++)
		td__rwlock_exclusive(&order[i]->lock);
	if (!still_so(r))
		err = AGAIN;
	else if (r->v == r->target)
		err = td__may(r->cred, &r->from->rec, 3); /* two names of one file: nothing to do */
	else
		err = rename_allowed(r);
	if (!err && r->v != r->target)
		err = r->flags & TD_RENAME_WHITEOUT ? rename_whiteout(r) : rename_call(r);
	while (n--)
		td__rwlock_unlock(&order[n]->lock);
out:
	if (r->v)
		td__vnode_put(r->v, 1);
	if (r->target)
		td__vnode_put(r->target, 1);
	return err;
}

static int rename_name(struct td__fs *fs, const struct td_cred *cred, td_handle from, struct td_name old, td_handle to,
		       struct td_name new, uint32_t flags)
{
	struct rename r = { .fs = fs, .cred = cred, .old = old, .new = new, .flags = flags };
	int err, tries = 0;

	if (td__is_dots(old) || td__is_dots(new))
		return flags & TD_RENAME_NOREPLACE && td__is_dots(new) ? -TD_EEXIST : -TD_EBUSY;
	err = td__dir_enter(fs, from, old, &r.from);
	if (err)
		return err;
	err = td__dir_enter(fs, to, new, &r.to);
	if (err) {
		td__vnode_put(r.from, 1);
		return err;
	}
	r.alone = r.from != r.to;
	if (r.alone)
		td__mutex_lock(&fs->renames);
	do
		err = try_rename(&r);
	while (err == AGAIN && ++tries < TRIES);
	if (err == AGAIN) /* a module that answers differently each time */
		err = -TD_EIO;
	if (r.alone)
		td__mutex_unlock(&fs->renames);
	td__vnode_put(r.from, 1);
	td__vnode_put(r.to, 1);
	return err;
}

int td__op_rename(struct td__fs *fs, const struct td_cred *cred, td_handle from, struct td_name old, td_handle to,
	      struct td_name new, uint32_t flags)
{
	int err;

	if (flags & ~(uint32_t)(TD_RENAME_NOREPLACE | TD_RENAME_EXCHANGE | TD_RENAME_WHITEOUT) ||
	    (flags & TD_RENAME_EXCHANGE && flags != TD_RENAME_EXCHANGE) || (flags & TD_RENAME_WHITEOUT && fs->remote))
		return -TD_EINVAL;
	do
		err = rename_name(fs, cred, from, old, to, new, flags);
	while (td__ahead_relieve(fs, err));
	return err;
}
