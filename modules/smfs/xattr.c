/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extended attributes: named items behind the content, in the tree of the file that they belong
 * to.
 */
#include "smfs.h"

/* Up to this many bytes a value lies in the item itself. */
enum { INSIDE_MAX = VALUE_MAX - NAMED_HEAD - TD_NAME_MAX };

int smfs_getxattr(struct td_vnode *v, struct td_name name, struct td_out *value)
{
	struct path p;
	uint64_t key;
	int err = named_find(&p, v, KEY_XATTR, name, &key);

	if (err && err != -TD_ENOENT)
		return err;
	err = err ? -TD_ENODATA : value_read(path_item(&p), value);
	path_close(&p);
	return err;
}

int smfs_listxattr(struct td_vnode *v, struct td_out *names)
{
	uint64_t key = KEY_XATTR;
	struct path p;
	int err = 0;

	for (;;) {
		err = path_from(&p, v, key);
		if (err)
			return err == -TD_ENOENT ? 0 : err;
		for (; p.n[0].pos < path_count(&p) && !err; p.n[0].pos++) {
			const struct item *it = path_item(&p);
			const struct named *n = it ? named_at(it) : 0;
			if (!n)
				err = -TD_EIO;
			else if (n->len + 1u > names->size - names->used)
				err = -TD_ERANGE;
			else
				err = td_out_put(names, n->name, n->len) || td_out_put(names, "", 1)
					      ? -TD_ERANGE
					      : 0;
		}
		key = p.hi;
		path_close(&p);
		if (err || key == KEY_MAX)
			return err;
	}
}

static void save(struct call *c, const struct path *p)
{
	struct td_buf *b = p->n[p->top].b;

	touch(p->v, 0);
	inode_store(c, b, p->v, inode_at(b, p->v->fid)->parent);
}

/* Store a value at the path's place; an item that is there (`old`) gives way to it. */
static int set(struct call *c, struct path *p, uint64_t key, struct td_name name, struct td_in data,
	       const struct item *old)
{
	uint8_t value[VALUE_MAX], before[ITEM_HEAD + VALUE_MAX];
	int inside = data.len <= INSIDE_MAX, err = 0;
	uint32_t len = NAMED_HEAD + name.len;

	len += inside ? data.len : value_blocks(data.len) * (uint32_t)sizeof(uint64_t);
	if (old && old->len > VALUE_MAX)
		return -TD_EIO;
	if (old) {
		memcpy(before, old, ITEM_HEAD + old->len);
		err = lock_set(c, value_locks(old));
	}
	c->goal = p->v->fid / SLOTS;
	if (!err)
		err = reserve(c, tree_need(p, len) + (inside ? 0 : value_blocks(data.len)), 0);
	if (err)
		return err;
	value_make(c, value, p->v, name, data, inside);
	if (old && old->len == len) {
		node_set(c, &p->n[0], p->n[0].pos, key, value, 0, len);
	} else {
		if (old)
			node_delete(c, &p->n[0], p->n[0].pos);
		err = tree_insert(c, p, key, value, len);
	}
	if (old && !err)
		err = value_free(c, (struct item *)before, p->v);
	if (!err)
		save(c, p);
	return err ? err : c->err;
}

int smfs_setxattr(struct td_vnode *v, struct td_name name, struct td_in value, uint32_t flags)
{
	struct call c = { 0 };
	struct path p;
	uint64_t key;
	int err;

	if (value.len > XATTR_MAX)
		return -TD_E2BIG;
	err = named_find(&p, v, KEY_XATTR, name, &key);
	if (err && err != -TD_ENOENT)
		return err;
	if (!err)
		err = flags & TD_XATTR_CREATE
			      ? -TD_EEXIST
			      : set(&c, &p, path_item(&p)->key, name, value, path_item(&p));
	else if (flags & TD_XATTR_REPLACE)
		err = -TD_ENODATA;
	else
		err = key ? set(&c, &p, key, name, value, 0) : -TD_ENOSPC;
	path_close(&p);
	return call_end(&c, err);
}

int smfs_removexattr(struct td_vnode *v, struct td_name name)
{
	uint8_t before[ITEM_HEAD + VALUE_MAX];
	struct call c = { 0 };
	struct path p;
	uint64_t key;
	int err = named_find(&p, v, KEY_XATTR, name, &key);

	if (err && err != -TD_ENOENT)
		return err;
	if (!err && path_item(&p)->len > VALUE_MAX)
		err = -TD_EIO;
	if (!err) {
		memcpy(before, path_item(&p), ITEM_HEAD + path_item(&p)->len);
		err = lock_set(&c, tree_locks(&p) | value_locks(path_item(&p)));
		if (!err)
			err = tree_delete(&c, &p);
		if (!err)
			err = value_free(&c, (struct item *)before, v);
		if (!err)
			save(&c, &p);
	} else if (err == -TD_ENOENT) {
		err = -TD_ENODATA;
	}
	path_close(&p);
	return call_end(&c, err);
}
