/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking one inode and its tree, by SPEC.md. See check.h. */
#include "check.h"

/* A walk through a tree. */
struct walk {
	const struct inode *i;
	uint64_t fid;
	uint64_t blocks; /* that it holds */
	uint64_t bytes;	 /* of a directory's entries; of a link's target */
	uint64_t next;	 /* first block of the file that no extent has covered */
};

static void cut(struct walk *w, const char *text)
{
	tell_file(w->fid, text);
	ck->torn = 1;
}

static void tell_name(uint64_t fid, const char *text, const struct named *n)
{
	tell(&(struct td_problem){ .fid = fid }, text, (struct td_name){ n->name, n->len });
}

/* ---- Items */

static int legal(const struct named *n)
{
	if (!n->len || (n->len <= 2 && n->name[0] == '.' && n->name[n->len - 1] == '.'))
		return 0;
	for (uint32_t i = 0; i < n->len; i++)
		if (!n->name[i] || n->name[i] == '/')
			return 0;
	return 1;
}

static int in_use(uint64_t fid)
{
	uint64_t g = group_of(fid / SLOTS);
	struct group e;
	uint16_t mask;

	if (!block_ok(fid / SLOTS, 1) || entry_of_group(g, &e) || slots_of(fid, &mask))
		return 0;
	if (e.icur == fid / SLOTS - group_start(g))
		mask = e.imask;
	return mask >> fid % SLOTS & 1;
}

/* The inode that an entry names, as far as it is one. */
static int check_target(struct walk *w, const struct named *n)
{
	struct seen *s, *dir;
	struct td_buf *b;

	if (!in_use(n->ref) || inode_open(n->ref, &b)) {
		tell_name(w->fid, "has a name for a file that does not exist: ", n);
		return 0;
	}
	ck->work += 2;
	const struct inode *i = inode_at(b, n->ref);
	uint32_t type = i->type;
	uint64_t parent = i->parent;
	td_brelse(b);
	if (type != n->kind)
		tell_name(w->fid, "has a name that says another type than its file: ", n);
	s = see(n->ref);
	if (!s)
		return -TD_ENOMEM;
	s->names++;
	if (type != TD_DIR)
		return 0;
	if (parent != w->fid)
		tell_name(w->fid, "has a directory that names another as its parent: ", n);
	dir = see(w->fid);
	if (!dir)
		return -TD_ENOMEM;
	dir->subdirs++;
	return 0;
}

static int check_entry(struct walk *w, const struct item *it)
{
	const struct named *n = named_at(it);

	if (!n || it->len != NAMED_HEAD + n->len) {
		cut(w, "has an entry of a length that cannot be");
		return 0;
	}
	w->bytes += it->len;
	if (!legal(n))
		tell_name(w->fid, "has a name that cannot be: ", n);
	else if ((it->key & ~255ull) != name_key(0, (struct td_name){ n->name, n->len }))
		tell_name(w->fid, "has a name in a place where nobody looks for it: ", n);
	return check_target(w, n);
}

/* A string: a link's target, an attribute's value. */
static void check_string(struct walk *w, const struct item *it)
{
	const struct named *n = named_at(it);
	uint64_t rest = n ? it->len - NAMED_HEAD - n->len : 0, blk;

	if (!n || n->ref > XATTR_MAX || n->kind > IN_BLOCKS ||
	    rest != (n->kind == IN_ITEM ? n->ref : value_blocks(n->ref) * sizeof(blk))) {
		cut(w, it->key ? "has an attribute of a length that cannot be" : "has a target of a length that cannot be");
		return;
	}
	if (!it->key)
		w->bytes = n->ref;
	else if (!n->len)
		tell_file(w->fid, "has an attribute without a name");
	else if ((it->key & ~255ull) != name_key(KEY_XATTR, (struct td_name){ n->name, n->len }))
		tell_name(w->fid, "has an attribute in a place where nobody looks for it: ", n);
	for (uint32_t i = 0; n->kind == IN_BLOCKS && i < value_blocks(n->ref); i++) {
		memcpy(&blk, n->name + n->len + i * sizeof(blk), sizeof(blk));
		claim(w->fid, blk, 1);
		w->blocks++;
	}
}

static void check_extent(struct walk *w, const struct item *it)
{
	struct extent_value x;

	if (it->len != sizeof(x)) {
		cut(w, "has an extent of a length that cannot be");
		return;
	}
	memcpy(&x, it->value, sizeof(x));
	if (!x.count || it->key < w->next || it->key >= MAXLBLK || x.count > MAXLBLK - it->key) {
		tell_blocks(w->fid, x.pblk, x.count, "overlap with others of the file, or lie where no file has any");
		ck->torn = 1;
		return;
	}
	w->next = it->key + x.count;
	w->blocks += x.count;
	claim(w->fid, x.pblk, x.count);
}

static int check_item(struct walk *w, const struct item *it)
{
	if (it->key >= KEY_XATTR || (w->i->type == TD_LNK && !it->key))
		check_string(w, it);
	else if (w->i->type == TD_DIR)
		return check_entry(w, it);
	else if (w->i->type == TD_REG)
		check_extent(w, it);
	else
		cut(w, "has content that its type cannot have");
	return 0;
}

/* ---- Nodes */

static int check_node(struct walk *w, const struct node *n, uint32_t level, uint64_t lo, uint64_t hi);

/* The child that an item leads to; its keys lie in [lo, hi). */
static int check_child(struct walk *w, const struct item *it, uint32_t level, uint64_t lo, uint64_t hi)
{
	const struct node_block *head;
	struct node n = { .base = sizeof(*head), .size = NODE_SIZE };
	uint64_t blk = 0;
	int err = 0;

	if (it->len != sizeof(blk)) {
		cut(w, "has a node that leads nowhere");
		return 0;
	}
	memcpy(&blk, it->value, sizeof(blk));
	w->blocks++;
	if (!claim(w->fid, blk, 1)) {
		ck->torn = 1;
		return 0;
	}
	if (check_open(blk, &n.b))
		return -TD_EIO;
	head = td_buf_data(n.b);
	if (head->magic != NODE_MAGIC || head->fid != w->fid || !node_head(&n)->count) {
		tell_blocks(w->fid, blk, 1, "hold no node of its tree");
		ck->torn = 1;
	} else {
		err = check_node(w, &n, level, lo, hi);
	}
	td_brelse(n.b);
	return err;
}

static int check_items(struct walk *w, const struct node *n, uint32_t level, uint64_t lo, uint64_t hi)
{
	const struct node_head *h = node_head(n);
	uint32_t bytes = 0;

	for (uint32_t i = 0; i < h->count; i++) {
		const struct item *it = node_item(n, i), *next = i + 1u < h->count ? node_item(n, i + 1) : 0;
		int err;

		if (!it || it->key < lo || it->key >= hi || it->len > VALUE_MAX || (next && next->key <= it->key)) {
			cut(w, "has a node whose items are in disorder");
			return 0;
		}
		bytes += ITEM_HEAD + it->len;
		err = level ? check_child(w, it, level - 1, i ? it->key : lo, next ? next->key : hi) : check_item(w, it);
		if (err)
			return err;
	}
	if (h->low + bytes + h->dead != n->size)
		tell_file(w->fid, "has a node that counts its bytes wrongly");
	return 0;
}

static int check_node(struct walk *w, const struct node *n, uint32_t level, uint64_t lo, uint64_t hi)
{
	if (!node_check(n, level, lo, hi))
		return check_items(w, n, level, lo, hi);
	cut(w, "has a damaged node");
	return 0;
}

/* ---- Inodes */

/* A number of the inode that follows from its tree. */
static void check_number(struct td_buf *b, uint64_t fid, uint32_t at, const char *text, uint64_t right)
{
	uint32_t off = (uint32_t)(fid % SLOTS) * INODE_SIZE + at;
	uint64_t found;

	memcpy(&found, (const uint8_t *)td_buf_data(b) + off, sizeof(found));
	if (found != right && tell_count(fid, 0, 0, text, found, right))
		put(&ck->call, b, off, &right, sizeof(right));
}

int check_inode(struct td_buf *b, uint64_t fid)
{
	const struct inode *i = inode_at(b, fid);
	struct walk w = { .i = i, .fid = fid };
	struct seen *s = see(fid);
	struct node root;
	int err;

	if (!s)
		return -TD_ENOMEM;
	s->in_use = 1;
	s->directory = i->type == TD_DIR;
	if (!inode_sane(i)) {
		cut(&w, "has a record that cannot be");
		return 0;
	}
	inode_root(b, fid, &root);
	if (node_head(&root)->level >= LEVELS || (node_head(&root)->level && !node_head(&root)->count)) {
		cut(&w, "has a damaged root of its tree");
		return 0;
	}
	err = check_node(&w, &root, node_head(&root)->level, 0, KEY_MAX);
	if (err)
		return err;
	check_number(b, fid, __builtin_offsetof(struct inode, blocks), "counts its blocks wrongly", w.blocks * BUNITS);
	if (i->type == TD_DIR)
		check_number(b, fid, __builtin_offsetof(struct inode, size), "counts its bytes wrongly", w.bytes);
	else if (inode_at(b, fid)->type == TD_LNK && inode_at(b, fid)->size != w.bytes)
		tell_file(fid, "is a symbolic link with a size that is not its target's");
	return 0;
}
