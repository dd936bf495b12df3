/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Renaming. Where the new name exists its entry gets the other fid, so replacing and exchanging
 * need no room. Otherwise the new entry is made first and the old one deleted after it: blocks are
 * taken before any is freed.
 */
#include "smfs.h"

struct move {
	struct td_vnode *from, *to, *v, *target;
	struct td_name old, new;
};

static int same_dir(const struct move *m)
{
	return m->from->fid == m->to->fid;
}

/* Open the path to a name that has to stand for v. */
static int find(struct path *p, struct td_vnode *dir, struct td_name name, const struct td_vnode *v)
{
	uint64_t key;
	int err = named_find(p, dir, 0, name, &key);

	if (!err && named_at(path_item(p))->ref != v->fid)
		err = -TD_ENOENT;
	if (err == -TD_ENOENT)
		path_close(p);
	return err;
}

/* Let the path's entry stand for v. */
static void point(struct call *c, struct path *p, const struct td_vnode *v)
{
	struct named n = { .ref = v->fid, .kind = (uint8_t)v->type };
	uint32_t pos = p->n[0].pos;
	const struct item *it = path_item(p);

	if (it)
		node_set(c, &p->n[0], pos, it->key, &n, 0, __builtin_offsetof(struct named, len));
}

static int store(struct call *c, struct td_vnode *v, uint64_t parent)
{
	struct td_buf *b;
	int err = inode_open(v->fid, &b);

	if (err)
		return err;
	inode_store(c, b, v, parent);
	td_brelse(b);
	return c->err;
}

/* The directories' link counts, when a directory goes from one to the other. */
static int shift_links(const struct move *m, int there, int back)
{
	if (same_dir(m) || there == back)
		return 0;
	struct td_vnode *more = there ? m->to : m->from, *less = there ? m->from : m->to;
	if (more->nlink >= MAXLINK)
		return -TD_EMLINK;
	more->nlink++;
	less->nlink--;
	return 0;
}

/* Write what changed: both directories, v and the target, whose parent may be another now. */
static int finish(struct call *c, const struct move *m, int exchanged)
{
	int err;

	touch(m->from, 1);
	touch(m->to, 1);
	touch(m->v, 0);
	err = inode_save(c, m->from);
	if (!err && !same_dir(m))
		err = inode_save(c, m->to);
	if (!err)
		err = store(c, m->v, m->v->type == TD_DIR ? m->to->fid : 0);
	if (err || !m->target)
		return err;
	touch(m->target, 0);
	if (exchanged)
		return store(c, m->target, m->target->type == TD_DIR ? m->from->fid : 0);
	return inode_save(c, m->target);
}

static int exchange(struct call *c, struct move *m, struct path *old, struct path *new)
{
	int err = shift_links(m, m->v->type == TD_DIR, m->target->type == TD_DIR);

	if (err)
		return err;
	point(c, new, m->v);
	point(c, old, m->target);
	return c->err ? c->err : finish(c, m, 1);
}

/* The target loses its last name, or one of several. */
static int replace(struct call *c, struct move *m, struct path *old, struct path *new)
{
	int there = m->v->type == TD_DIR, gone = m->target->type == TD_DIR, err = 0;

	if (gone)
		err = dir_is_empty(m->target);
	if (!err)
		err = lock_set(c, tree_locks(old));
	if (!err && there && !gone)
		err = shift_links(m, 1, 0);
	if (err)
		return err;
	point(c, new, m->v);
	m->from->size -= path_item(old)->len;
	err = tree_delete(c, old);
	if (err)
		return err;
	if (gone) {
		m->target->nlink = 0;
		m->from->nlink--; /* v's `..` has left, or in one directory the target's has */
	} else {
		m->target->nlink -= m->target->nlink > 0;
	}
	return finish(c, m, 0);
}

static int to_new_name(struct call *c, struct move *m, struct path *old, struct path *new,
		       uint64_t key)
{
	uint8_t value[VALUE_MAX];
	uint32_t len = named_make(value, m->v->fid, m->v->type, m->new);
	int err = lock_set(c, tree_locks(old));

	c->goal = m->to->fid / SLOTS;
	if (!err)
		err = reserve(c, tree_need(new, len), 0);
	if (!err && m->v->type == TD_DIR)
		err = shift_links(m, 1, 0);
	if (!err) {
		m->from->size -= path_item(old)->len;
		m->to->size += len;
		err = tree_insert(c, new, key, value, len);
	}
	if (err)
		return err;
	/*
	 * In one directory the insertion may have moved the old entry. It cannot have left it
	 * alone in a node.
	 */
	if (same_dir(m)) {
		path_close(old);
		err = find(old, m->from, m->old, m->v);
		if (err)
			return -TD_EIO;
	}
	err = tree_delete(c, old);
	return err ? err : finish(c, m, 0);
}

static int to_target(struct call *c, struct move *m, struct path *old, uint32_t flags)
{
	struct path new;
	int err = find(&new, m->to, m->new, m->target);

	if (err)
		return err;
	err = flags & TD_RENAME_EXCHANGE ? exchange(c, m, old, &new) : replace(c, m, old, &new);
	path_close(&new);
	return err;
}

static int to_nothing(struct call *c, struct move *m, struct path *old)
{
	struct path new;
	uint64_t key;
	int err = named_find(&new, m->to, 0, m->new, &key);

	if (err && err != -TD_ENOENT)
		return err;
	if (!err)
		err = -TD_EIO; /* the kernel did not know of it */
	else
		err = key ? to_new_name(c, m, old, &new, key) : -TD_ENOSPC;
	path_close(&new);
	return err;
}

int smfs_rename(struct td_vnode *from, struct td_name old, struct td_vnode *to, struct td_name new,
		struct td_vnode *v, struct td_vnode *target, uint32_t flags)
{
	struct move m = { from, from->fid == to->fid ? from : to, v, target, old, new };
	struct call c = { 0 };
	struct path p;
	int err;

	if (!target && flags & TD_RENAME_EXCHANGE)
		return -TD_ENOENT;
	err = find(&p, from, old, v);
	if (err)
		return err;
	err = target ? to_target(&c, &m, &p, flags) : to_nothing(&c, &m, &p);
	path_close(&p);
	return call_end(&c, err);
}
