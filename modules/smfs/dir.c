/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directories: items with a name that hold a fid and a type. A directory's size is the bytes of
 * its entries' values, its parent stands in its inode, and `.` and `..` are not stored.
 */
#include "smfs.h"

/* v has changed now; and its content, too. */
void touch(struct td_vnode *v, int content)
{
	td_now(&v->ctime.sec, &v->ctime.nsec);
	if (content)
		v->mtime = v->ctime;
}

static struct td_buf *inode_buf(const struct path *p)
{
	return p->n[p->top].b;
}

/* Write the inode of a directory whose path is open. */
static void dir_store(struct call *c, const struct path *p)
{
	struct td_buf *b = inode_buf(p);

	inode_store(c, b, p->v, inode_at(b, p->v->fid)->parent);
}

int smfs_lookup(struct td_vnode *dir, struct td_name name, uint64_t *fid)
{
	struct path p;
	uint64_t key;
	int err;

	if (td_name_is(name, ".") || td_name_is(name, "..")) {
		struct td_buf *b;
		err = inode_open(dir->fid, &b);
		if (err)
			return err;
		*fid = name.len == 1 ? dir->fid : inode_at(b, dir->fid)->parent;
		td_brelse(b);
		return 0;
	}
	err = named_find(&p, dir, 0, name, &key);
	if (!err)
		*fid = named_at(path_item(&p))->ref;
	if (!err || err == -TD_ENOENT)
		path_close(&p);
	return err;
}

/*
 * New directories spread over the shards, so that work in them goes on side by side; files stay
 * near their directory.
 */
static uint64_t goal_for(const struct td_vnode *dir, const struct td_vnode *v, uint64_t key)
{
	if (v->type == TD_DIR)
		return group_start((key >> 8) % fs.shards) + fs.gmeta;
	return dir->fid / SLOTS;
}

/* Put the target into the new link's inode, or into a block. */
static void put_target(struct call *c, struct td_vnode *v, struct td_buf *b, struct td_in target)
{
	uint8_t value[VALUE_MAX];
	struct node root;
	uint32_t len;

	inode_root(b, v->fid, &root);
	len = value_make(c, value, v, (struct td_name){ 0, 0 }, target,
			 node_fits(&root, NAMED_HEAD + target.len));
	node_insert(c, &root, 0, 0, value, len);
	v->size = target.len;
	inode_store(c, b, v, 0);
}

static int target_fits(struct td_in target)
{
	return sizeof(struct node_head) + 2 + ITEM_HEAD + NAMED_HEAD + target.len <= ROOT_SIZE;
}

/* Make v and its entry; the path leads to the entry's place. */
static int make_at(struct call *c, struct path *p, uint64_t key, struct td_name name,
		   struct td_vnode *v, struct td_in target)
{
	struct td_vnode *dir = p->v;
	uint8_t value[VALUE_MAX];
	uint32_t len = NAMED_HEAD + name.len, need = tree_need(p, len);
	struct td_buf *b = 0;
	int err;

	if (v->type == TD_LNK && !target_fits(target))
		need += value_blocks(target.len);
	c->goal = goal_for(dir, v, key);
	err = reserve(c, need, 1);
	if (err)
		return err;
	err = inode_new(c, v, v->type == TD_DIR ? dir->fid : 0, &b);
	if (!err && v->type == TD_LNK)
		put_target(c, v, b, target);
	td_brelse(b);
	named_make(value, v->fid, v->type, name);
	if (!err)
		err = tree_insert(c, p, key, value, len);
	if (err)
		return err;
	dir->size += len;
	dir->nlink += v->type == TD_DIR;
	touch(dir, 1);
	dir_store(c, p);
	return c->err;
}

static int make(struct call *c, struct td_vnode *dir, struct td_name name, struct td_vnode *v,
		struct td_in target)
{
	struct path p;
	uint64_t key;
	int err = named_find(&p, dir, 0, name, &key);

	if (err && err != -TD_ENOENT)
		return err;
	if (!err)
		err = -TD_EEXIST;
	else
		err = key ? make_at(c, &p, key, name, v, target) : -TD_ENOSPC;
	path_close(&p);
	return err;
}

int smfs_create(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	struct call c = { 0 };

	v->size = 0;
	return call_end(&c, make(&c, dir, name, v, (struct td_in){ 0, 0 }));
}

int smfs_create_blocks(struct td_vnode *dir, struct td_name name, struct td_vnode *v, uint64_t count,
		       struct td_extent *extents, uint32_t *n)
{
	struct call c = { 0 };
	int err;

	v->size = 0;
	err = make(&c, dir, name, v, (struct td_in){ 0, 0 });
	if (!err) {
		err = fill_holes(&c, v, 0, count, extents, n, 4);
		err = err == -TD_ENOSPC ? 0 : err;
	}
	return call_end(&c, err);
}

int smfs_tmpfile(struct td_vnode *dir, struct td_vnode *v)
{
	struct call c = { .goal = dir->fid / SLOTS };
	struct td_buf *b = 0;
	int err = reserve(&c, 0, 1);

	v->size = 0;
	if (!err)
		err = inode_new(&c, v, 0, &b);
	v->nlink = 0;
	if (!err)
		inode_store(&c, b, v, 0);
	td_brelse(b);
	return call_end(&c, err);
}

int smfs_mkdir(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	if (dir->nlink >= MAXLINK)
		return -TD_EMLINK;
	return smfs_create(dir, name, v);
}

int smfs_symlink(struct td_vnode *dir, struct td_name name, struct td_vnode *v, struct td_in target)
{
	struct call c = { 0 };

	if (target.len > TD_PATH_MAX)
		return -TD_ENAMETOOLONG;
	v->size = target.len;
	return call_end(&c, make(&c, dir, name, v, target));
}

int smfs_readlink(struct td_vnode *v, struct td_out *target)
{
	struct path p;
	int err = path_from(&p, v, 0);

	if (err)
		return -TD_EIO;
	err = path_item(&p)->key ? -TD_EIO : value_read(path_item(&p), target);
	path_close(&p);
	return err ? -TD_EIO : 0;
}

static int link_at(struct call *c, struct path *p, uint64_t key, struct td_name name,
		   struct td_vnode *v)
{
	uint8_t value[VALUE_MAX];
	uint32_t len = named_make(value, v->fid, v->type, name);
	int err;

	c->goal = p->v->fid / SLOTS;
	err = reserve(c, tree_need(p, len), 0);
	if (!err)
		err = tree_insert(c, p, key, value, len);
	if (err)
		return err;
	p->v->size += len;
	touch(p->v, 1);
	dir_store(c, p);
	v->nlink++;
	touch(v, 0);
	return inode_save(c, v);
}

int smfs_link(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	struct call c = { 0 };
	struct path p;
	uint64_t key;
	int err = named_find(&p, dir, 0, name, &key);

	if (err && err != -TD_ENOENT)
		return err;
	if (!err)
		err = -TD_EEXIST;
	else if (v->nlink >= MAXLINK)
		err = -TD_EMLINK;
	else
		err = key ? link_at(&c, &p, key, name, v) : -TD_ENOSPC;
	path_close(&p);
	return call_end(&c, err);
}

/* Remove v's name. v's nlink falls by `names`, dir's by `dots`. */
static int take_away(struct td_vnode *dir, struct td_name name, struct td_vnode *v, uint32_t names,
		     uint32_t dots)
{
	struct call c = { 0 };
	struct path p;
	uint64_t key;
	int err = named_find(&p, dir, 0, name, &key);

	if (err) {
		if (err == -TD_ENOENT)
			path_close(&p);
		return err;
	}
	if (named_at(path_item(&p))->ref != v->fid)
		err = -TD_ENOENT;
	else
		err = lock_set(&c, tree_locks(&p));
	if (!err) {
		dir->size -= path_item(&p)->len;
		err = tree_delete(&c, &p);
	}
	if (!err) {
		dir->nlink -= dots;
		touch(dir, 1);
		dir_store(&c, &p);
		v->nlink -= names;
		touch(v, 0);
		err = inode_save(&c, v);
	}
	path_close(&p);
	return call_end(&c, err);
}

int smfs_unlink(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	return take_away(dir, name, v, v->nlink > 0, 0);
}

/* 0, or ENOTEMPTY. */
int dir_is_empty(struct td_vnode *dir)
{
	struct path p;
	int err = path_from(&p, dir, 0);

	if (err)
		return err == -TD_ENOENT ? 0 : err;
	err = path_item(&p)->key < KEY_XATTR ? -TD_ENOTEMPTY : 0;
	path_close(&p);
	return err;
}

int smfs_rmdir(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	int err = dir_is_empty(v);

	return err ? err : take_away(dir, name, v, v->nlink, dir->nlink > 2);
}

/*
 * Emit the leaf's entries from the path's place on. 0: go on behind *key; 1: the end; or an error.
 */
static int emit_leaf(struct path *p, uint64_t *key, struct td_out *entries)
{
	for (; p->n[0].pos < path_count(p); p->n[0].pos++) {
		const struct item *it = path_item(p);
		if (it && it->key >= KEY_XATTR)
			return 1;
		const struct named *n = it ? named_at(it) : 0;
		if (!n || it->key < *key || !n->len || n->kind < TD_REG || n->kind > TD_SOCK)
			return -TD_EIO;
		struct td_name name = { n->name, n->len };
		if (!td_readdir_emit(entries, n->ref, it->key, n->kind, name))
			return 1;
		*key = it->key + 1;
	}
	if (p->hi > *key)
		*key = p->hi;
	return p->hi == KEY_MAX;
}

int smfs_readdir(struct td_vnode *dir, uint64_t cookie, uint64_t parent, struct td_out *entries)
{
	uint64_t key = cookie + 1;
	int err = 0;

	(void)parent;
	if (cookie >= KEY_XATTR)
		return 0;
	while (!err) {
		struct path p;
		err = path_from(&p, dir, key);
		if (err)
			return err == -TD_ENOENT ? 0 : err;
		err = emit_leaf(&p, &key, entries);
		path_close(&p);
	}
	return err < 0 ? err : 0;
}
