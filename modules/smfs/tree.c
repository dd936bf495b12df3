/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A B+tree of nodes, one for each inode: what a directory, a file or a symbolic link consists of,
 * and its attributes. Its root lies in the inode. An item of a node above the leaves is the number
 * of the child's block, under the lowest key that the child may hold; the first child holds what
 * is lower, too.
 *
 * A node that is full is split; the root, which cannot be, moves into a block of its own and
 * becomes the parent of that. A node that becomes empty is freed. Below the root no node is empty.
 */
#include "smfs.h"

void path_close(struct path *p)
{
	for (uint32_t i = 0; i <= p->top; i++) {
		td_brelse(p->n[i].b);
		p->n[i].b = 0;
	}
	p->top = 0;
}

/* Open the node of v's tree in block `blk`. */
static int node_open(struct node *n, uint64_t blk, const struct td_vnode *v)
{
	const struct node_block *h;
	int err = block_ok(blk, 1) ? open_block(blk, &n->b) : -TD_EIO;

	if (err)
		return err;
	n->base = sizeof(*h);
	n->size = NODE_SIZE;
	n->pos = 0;
	h = td_buf_data(n->b);
	return h->magic == NODE_MAGIC && h->fid == v->fid ? 0 : -TD_EIO;
}

static int child_of(const struct node *n, uint32_t i, uint64_t *blk)
{
	const struct item *it = node_item(n, i);

	if (!it || it->len != sizeof(*blk))
		return -TD_EIO;
	memcpy(blk, it->value, sizeof(*blk));
	return 0;
}

/* Find the child that holds `key`; narrow the range to what it may hold. */
static int choose(struct path *p, uint32_t level, uint64_t key, uint64_t *blk)
{
	struct node *n = &p->n[level];
	uint32_t count = node_head(n)->count, pos;
	const struct item *it;
	int err = node_search(n, key, &pos);

	if (err)
		return err;
	it = pos < count ? node_item(n, pos) : 0;
	if ((!it || it->key != key) && pos > 0)
		pos--;
	n->pos = pos;
	if (pos > 0) {
		it = node_item(n, pos);
		if (!it || it->key < p->lo || it->key > key)
			return -TD_EIO;
		p->lo = it->key;
	}
	if (pos + 1 < count) {
		it = node_item(n, pos + 1);
		if (!it || it->key > p->hi || it->key <= key)
			return -TD_EIO;
		p->hi = it->key;
	}
	return child_of(n, pos, blk);
}

/*
 * Open the way to the leaf that holds `key`, or would; n[0].pos is the first item there that is
 * not below it. To be closed with path_close(), unless it fails.
 */
int path_find(struct path *p, struct td_vnode *v, uint64_t key)
{
	struct td_buf *b;
	struct node root = { 0 };
	uint32_t level;
	uint64_t blk;
	int err = inode_open(v->fid, &b);

	*p = (struct path){ .hi = KEY_MAX, .v = v };
	if (err)
		return err;
	inode_root(b, v->fid, &root);
	level = node_head(&root)->level;
	p->n[0].b = b;
	if (level >= LEVELS) {
		path_close(p);
		return -TD_EIO;
	}
	p->n[0].b = 0;
	p->n[level] = root;
	p->top = level;
	err = node_check(&root, level, 0, KEY_MAX);
	while (!err && level > 0) {
		err = node_head(&p->n[level])->count ? choose(p, level, key, &blk) : -TD_EIO;
		if (!err)
			err = node_open(&p->n[level - 1], blk, v);
		level--;
		if (!err)
			err = node_check(&p->n[level], level, p->lo, p->hi);
	}
	if (!err && p->top && !node_head(&p->n[0])->count)
		err = -TD_EIO;
	if (!err)
		err = node_search(&p->n[0], key, &p->n[0].pos);
	if (err)
		path_close(p);
	return err;
}

uint32_t path_count(const struct path *p)
{
	return node_head(&p->n[0])->count;
}

const struct item *path_item(const struct path *p)
{
	return node_item(&p->n[0], p->n[0].pos);
}

/*
 * As path_find(), and where that leaf has no such item, the first of the next leaf. ENOENT: there
 * is none.
 */
int path_from(struct path *p, struct td_vnode *v, uint64_t key)
{
	int err = path_find(p, v, key);

	while (!err && p->n[0].pos == path_count(p)) {
		uint64_t next = p->hi;
		path_close(p);
		if (next == KEY_MAX)
			return -TD_ENOENT;
		err = path_find(p, v, next);
	}
	if (!err && !path_item(p)) {
		path_close(p);
		err = -TD_EIO;
	}
	return err;
}

/* How many blocks an insertion at this path takes. */
uint32_t tree_need(const struct path *p, uint32_t len)
{
	uint32_t need = 0;

	for (uint32_t level = 0; level <= p->top; level++, len = sizeof(uint64_t)) {
		if (node_fits(&p->n[level], len))
			break;
		need++;
	}
	return need;
}

/* A new block for a node of v's tree. */
static int node_new(struct call *c, struct td_vnode *v, uint32_t level, struct node *n)
{
	struct node_block h = { NODE_MAGIC, 0, v->fid };
	uint64_t blk;
	int err = take_block(c, &blk);

	if (err)
		return err;
	if (td_getblk(blk, &n->b))
		return -TD_EIO;
	n->base = sizeof(h);
	n->size = NODE_SIZE;
	n->pos = 0;
	put(c, n->b, 0, &h, sizeof(h));
	node_init(c, n, level);
	v->blocks += BUNITS;
	return c->err;
}

/* Move the root's items into a new node below it. */
static int push_down(struct call *c, struct path *p)
{
	struct node *root = &p->n[p->top], child = { 0 };
	uint32_t level = p->top, pos = root->pos;
	int err = level + 1 < LEVELS ? node_new(c, p->v, level, &child) : -TD_EIO;

	if (err) {
		td_brelse(child.b);
		return err;
	}
	node_move(c, root, 0, &child);
	child.pos = pos;
	p->n[level + 1] = *root;
	p->n[level] = child;
	p->top = level + 1;
	root = &p->n[p->top];
	root->pos = 0;
	node_init(c, root, p->top);
	node_insert(c, root, 0, 0, &child.b->blkno, sizeof(uint64_t));
	return c->err;
}

/*
 * Where to split. By halves; but where the last key of the content grows, as in a file that is
 * written from the beginning, the full node stays as it is.
 */
static uint32_t split_at(const struct path *p, const struct node *n, uint32_t at)
{
	uint32_t count = node_head(n)->count, bytes = 0, i = 0;
	uint32_t half = (n->size - node_head(n)->low - node_head(n)->dead) / 2;

	if (at == count && p->hi >= KEY_XATTR)
		return count;
	while (i + 1 < count && bytes < half) {
		const struct item *it = node_item(n, i++);
		bytes += it ? ITEM_HEAD + it->len : 0;
	}
	return i;
}

/* Insert into a full node: it is split. `key` becomes the new node's lowest, `blk` its block. */
static int split_insert(struct call *c, struct path *p, uint32_t level, uint32_t at, uint64_t *key,
			const void *value, uint32_t len, uint64_t *blk)
{
	struct node *n = &p->n[level], right = { 0 };
	uint32_t mid = split_at(p, n, at);
	uint64_t lowest = *key;
	int err = node_new(c, p->v, level, &right);

	if (!err && mid < node_head(n)->count) {
		const struct item *it = node_item(n, mid);
		lowest = it ? it->key : 0;
		node_move(c, n, mid, &right);
		if (at <= mid)
			node_insert(c, n, at, *key, value, len);
		else
			node_insert(c, &right, at - mid, *key, value, len);
	} else if (!err) {
		node_insert(c, &right, 0, *key, value, len);
	}
	*key = lowest;
	*blk = right.b ? right.b->blkno : 0;
	td_brelse(right.b);
	return err ? err : c->err;
}

/*
 * Insert an item at the path's place. The call has reserved tree_need() blocks. The path still
 * leads to the inode after it, but no longer to the item.
 */
int tree_insert(struct call *c, struct path *p, uint64_t key, const void *value, uint32_t len)
{
	uint64_t blk = 0, child;
	int err = 0;

	for (uint32_t level = 0; !err; level++) {
		uint32_t at = p->n[level].pos + (level > 0);
		if (!node_fits(&p->n[level], len) && level == p->top)
			err = push_down(c, p);
		if (err)
			break;
		if (node_fits(&p->n[level], len)) {
			node_insert(c, &p->n[level], at, key, value, len);
			break;
		}
		err = split_insert(c, p, level, at, &key, value, len, &blk);
		child = blk;
		value = &child;
		len = sizeof(child);
	}
	return err ? err : c->err;
}

/* Shards whose locks tree_delete() needs. */
uint64_t tree_locks(const struct path *p)
{
	uint64_t set = 0;

	for (uint32_t i = 0; i < p->top && node_head(&p->n[i])->count == 1; i++)
		set |= lock_bit(p->n[i].b->blkno);
	return set;
}

/* Delete the path's item, and the nodes that become empty. */
int tree_delete(struct call *c, struct path *p)
{
	uint32_t level = 0;
	int err = 0;

	for (; !err && level < p->top && node_head(&p->n[level])->count == 1; level++) {
		err = free_run(c, p->n[level].b->blkno, 1);
		p->v->blocks -= BUNITS;
	}
	if (err)
		return err;
	node_delete(c, &p->n[level], p->n[level].pos);
	if (level && !c->err && !node_head(&p->n[level])->count)
		node_init(c, &p->n[level], 0);
	return c->err;
}

/*
 * ---- The whole tree, when the inode goes. First the locks, then the blocks: the same walk twice.
 */

struct walk {
	struct call *c; /* 0: collect locks */
	struct td_vnode *v;
	uint64_t set;
};

static int walk_blocks(struct walk *w, uint64_t blk, uint64_t count)
{
	if (!block_ok(blk, count))
		return -TD_EIO;
	if (w->c)
		return free_run(w->c, blk, count);
	w->set |= lock_bit(blk);
	return 0;
}

static int walk_item(struct walk *w, const struct item *it)
{
	struct td_extent e;

	if (it->key >= KEY_XATTR || w->v->type == TD_LNK) {
		if (w->c)
			return value_free(w->c, it, w->v);
		w->set |= value_locks(it);
		return 0;
	}
	if (w->v->type != TD_REG)
		return 0;
	int err = extent_of(it, &e);
	return err ? err : walk_blocks(w, e.pblk, e.count);
}

/* Depth first; the levels fall, so it ends. Keys in range and ascending: no node comes twice. */
static int walk_node(struct walk *w, const struct node *n, uint64_t lo, uint64_t hi)
{
	uint32_t level = node_head(n)->level, count = node_head(n)->count;
	int err = node_check(n, level, lo, hi);

	for (uint32_t i = 0; i < count && !err; i++) {
		const struct item *it = node_item(n, i), *next = node_item(n, i + 1);
		struct node child = { 0 };
		uint64_t blk;
		if (!it || it->key < lo || it->key >= hi || (i + 1 < count && !next))
			return -TD_EIO;
		if (!level) {
			lo = it->key + 1;
			err = walk_item(w, it);
			continue;
		}
		lo = i ? it->key : lo;
		uint64_t end = next ? next->key : hi;
		if (end < lo || end > hi)
			return -TD_EIO;
		err = child_of(n, i, &blk);
		if (!err)
			err = node_open(&child, blk, w->v);
		if (!err)
			err = node_check(&child, level - 1, lo, end);
		if (!err && !node_head(&child)->count)
			err = -TD_EIO;
		if (!err)
			err = walk_node(w, &child, lo, end);
		td_brelse(child.b);
		if (!err)
			err = walk_blocks(w, blk, 1);
	}
	return err;
}

static int walk_tree(struct walk *w, struct td_buf *b)
{
	struct node root;

	inode_root(b, w->v->fid, &root);
	return node_head(&root)->level < LEVELS ? walk_node(w, &root, 0, KEY_MAX) : -TD_EIO;
}

/* Shards of all that v's tree holds, and of its nodes; `b` is the inode's block. */
int tree_locks_all(struct td_vnode *v, struct td_buf *b, uint64_t *set)
{
	struct walk w = { .v = v };
	int err = walk_tree(&w, b);

	*set |= w.set;
	return err;
}

int tree_free_all(struct call *c, struct td_vnode *v, struct td_buf *b)
{
	struct walk w = { .c = c, .v = v };

	return walk_tree(&w, b);
}
