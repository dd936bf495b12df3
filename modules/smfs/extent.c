/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files: which blocks of the device hold which blocks of the file. The key of an item is the
 * extent's first block in the file. Extents that adjoin in both places are merged when they are
 * neighbours in one leaf.
 */
#include "smfs.h"

/* A place in a file: the extents before and behind it. Counts are 0 where there is none. */
struct spot {
	struct path p;		     /* to the leaf that `lblk` belongs to */
	struct td_extent prev, next; /* prev may begin at lblk, and may reach beyond it */
	int prev_here, next_here;    /* they are in the path's leaf, before and at its place */
};

int extent_of(const struct item *it, struct td_extent *e)
{
	struct extent_value x;

	if (!it || it->len != sizeof(x))
		return -TD_EIO;
	memcpy(&x, it->value, sizeof(x));
	*e = (struct td_extent){ it->key, x.pblk, x.count, TD_DATA };
	if (e->lblk >= MAXLBLK || e->count > MAXLBLK - e->lblk || !block_ok(e->pblk, e->count))
		return -TD_EIO;
	return 0;
}

static uint64_t end_of(const struct td_extent *e)
{
	return e->lblk + e->count;
}

/* The last extent below `hi`, from the leaf in front. */
static int look_back(struct td_vnode *v, uint64_t lo, struct td_extent *e)
{
	struct path p;
	int err = path_find(&p, v, lo - 1);

	if (err)
		return err;
	uint32_t pos = p.n[0].pos;
	const struct item *it = pos < path_count(&p) ? path_item(&p) : 0;
	if (it && it->key == lo - 1)
		err = extent_of(it, e);
	else if (pos)
		err = extent_of(node_item(&p.n[0], pos - 1), e);
	path_close(&p);
	return err;
}

static int look_ahead(struct td_vnode *v, uint64_t hi, struct td_extent *e)
{
	struct path p;
	int err = path_from(&p, v, hi);

	if (err)
		return err == -TD_ENOENT ? 0 : err;
	if (path_item(&p)->key < KEY_XATTR)
		err = extent_of(path_item(&p), e);
	path_close(&p);
	return err;
}

/* Find what is around `lblk`. */
static int look(struct spot *s, struct td_vnode *v, uint64_t lblk)
{
	struct node *leaf = &s->p.n[0];
	int err;

	*s = (struct spot){ 0 };
	err = path_find(&s->p, v, lblk);
	if (err)
		return err;
	const struct item *it = node_item(leaf, leaf->pos);
	if (it && it->key == lblk)
		it = node_item(leaf, ++leaf->pos);
	if (it) {
		s->next_here = it->key < KEY_XATTR;
		if (s->next_here)
			err = extent_of(it, &s->next);
	} else if (s->p.hi < KEY_XATTR) {
		err = look_ahead(v, s->p.hi, &s->next);
	}
	if (leaf->pos) {
		s->prev_here = 1;
		if (!err)
			err = extent_of(node_item(leaf, leaf->pos - 1), &s->prev);
	} else if (s->p.lo && !err) {
		err = look_back(v, s->p.lo, &s->prev);
	}
	if (!err &&
	    ((s->prev.count && s->prev.lblk > lblk) || (s->next.count && s->next.lblk <= lblk) ||
	     (s->prev.count && s->next.count && end_of(&s->prev) > s->next.lblk)))
		err = -TD_EIO;
	if (err)
		path_close(&s->p);
	return err;
}

/* What is at lblk: an extent cut to [lblk, end), or a hole up to the next. */
static struct td_extent piece(const struct spot *s, uint64_t lblk, uint64_t end)
{
	const struct td_extent *e = &s->prev;
	uint64_t n = end - lblk;

	if (e->count && end_of(e) > lblk) {
		uint64_t skip = lblk - e->lblk;
		n = n < e->count - skip ? n : e->count - skip;
		return (struct td_extent){ lblk, e->pblk + skip, (uint32_t)n, TD_DATA };
	}
	if (s->next.count && s->next.lblk - lblk < n)
		n = s->next.lblk - lblk;
	return (struct td_extent){ lblk, 0, n < 0xffffffff ? (uint32_t)n : 0xffffffff, TD_HOLE };
}

static int range(uint64_t lblk, uint64_t count, uint64_t *end)
{
	if (lblk >= MAXLBLK || !count)
		return -TD_EFBIG;
	*end = count < MAXLBLK - lblk ? lblk + count : MAXLBLK;
	return 0;
}

/* Go on to the next extent of the leaf. */
static int step(struct spot *s)
{
	struct node *leaf = &s->p.n[0];
	const struct item *it = node_item(leaf, ++leaf->pos);
	int err = 0;

	s->prev = s->next;
	s->next = (struct td_extent){ 0 };
	s->next_here = it && it->key < KEY_XATTR;
	if (s->next_here)
		err = extent_of(it, &s->next);
	return !err && s->next_here && s->next.lblk < end_of(&s->prev) ? -TD_EIO : err;
}

int smfs_bmap(struct td_vnode *v, uint64_t lblk, uint64_t count, struct td_extent *extents,
	      uint32_t *n)
{
	uint64_t end;
	int err = range(lblk, count, &end);

	for (*n = 0; !err && lblk < end && *n < 32;) {
		struct spot s;
		err = look(&s, v, lblk);
		if (err)
			break;
		do { /* within the leaf there is no need to search again */
			extents[*n] = piece(&s, lblk, end);
			lblk = end_of(&extents[(*n)++]);
			if (!s.next_here)
				break;
			if (lblk >= s.next.lblk)
				err = step(&s);
		} while (!err && lblk < end && *n < 32);
		path_close(&s.p);
	}
	return err;
}

/* ---- Giving blocks to holes */

static void set_extent(struct call *c, struct path *p, uint32_t pos, const struct td_extent *e)
{
	struct extent_value x = { e->pblk, e->count };

	node_set(c, &p->n[0], pos, e->lblk, &x, 0, sizeof(x));
}

static int adjoin(const struct td_extent *a, const struct td_extent *b)
{
	return a->count && b->count && end_of(a) == b->lblk && a->pblk + a->count == b->pblk;
}

/* Enter a new extent into the tree; merge it with its neighbours. */
static int enter(struct call *c, struct spot *s, const struct td_extent *new)
{
	struct extent_value x = { new->pblk, new->count };
	uint32_t pos = s->p.n[0].pos;
	struct td_extent e = *new;

	if (s->prev_here && adjoin(&s->prev, new)) {
		e = s->prev;
		e.count += new->count;
		if (s->next_here && adjoin(&e, &s->next)) {
			e.count += s->next.count;
			node_delete(c, &s->p.n[0], pos);
		}
		set_extent(c, &s->p, pos - 1, &e);
		return c->err;
	}
	if (s->next_here && adjoin(new, &s->next)) {
		e.count += s->next.count;
		set_extent(c, &s->p, pos, &e);
		return c->err;
	}
	return tree_insert(c, &s->p, new->lblk, &x, sizeof(x));
}

/* Near the extent in front, else near the inode; data grow upwards from the group's beginning. */
static uint64_t goal_at(const struct spot *s, const struct td_vnode *v, uint64_t lblk)
{
	if (!s->prev.count)
		return group_start(group_of(v->fid / SLOTS));
	if (end_of(&s->prev) == lblk)
		return s->prev.pblk + s->prev.count;
	return group_start(group_of(s->prev.pblk));
}

/* Give blocks to the beginning of a hole: as many as lie together. */
static int fill_hole(struct call *c, struct spot *s, struct td_vnode *v, struct td_extent *e)
{
	uint64_t need = tree_need(&s->p, sizeof(struct extent_value)), want = e->count;
	uint64_t goal = goal_at(s, v, e->lblk);
	int err;

	c->goal = goal;
	err = reserve(c, need + 1, 0);
	if (err)
		return err;
	if (want > c->avail - need)
		want = c->avail - need;
	err = take_run(c, goal, want, &e->pblk, &e->count);
	e->state = TD_NEW;
	if (!err) {
		v->blocks += (uint64_t)e->count * BUNITS;
		err = enter(c, s, e);
	}
	if (!err) {
		struct td_buf *b = s->p.n[s->p.top].b;
		inode_store(c, b, v, inode_at(b, v->fid)->parent);
	}
	return err ? err : c->err;
}

/*
 * Give blocks to the holes of [lblk, end), at most `most` extents. What there is no room for has not been allocated: the
 * answer is shorter, and ENOSPC is said of the first block only.
 */
int fill_holes(struct call *c, struct td_vnode *v, uint64_t lblk, uint64_t end, struct td_extent *extents,
	 uint32_t *n, uint32_t most)
{
	int err = 0;

	for (*n = 0; !err && lblk < end && *n < most;) {
		struct spot s;
		err = look(&s, v, lblk);
		if (err)
			break;
		struct td_extent e = piece(&s, lblk, end);
		if (e.state == TD_HOLE)
			err = fill_hole(c, &s, v, &e);
		path_close(&s.p);
		if (err)
			break;
		extents[(*n)++] = e;
		lblk = end_of(&e);
	}
	return *n && err == -TD_ENOSPC ? 0 : err;
}

int smfs_balloc(struct td_vnode *v, uint64_t lblk, uint64_t count, struct td_extent *extents,
		uint32_t *n)
{
	struct call c = { 0 };
	uint64_t end;
	int err = range(lblk, count, &end);

	*n = 0;
	return call_end(&c, err ? err : fill_holes(&c, v, lblk, end, extents, n, 32));
}

/* ---- Taking blocks away */

/* Shards of all blocks of [lblk, end), and of the nodes that may become empty. */
static int locks_of(struct td_vnode *v, uint64_t lblk, uint64_t end, uint64_t *set)
{
	struct path p;
	struct td_extent e = { 0 };
	int err = path_find(&p, v, lblk);

	if (err)
		return err;
	if (!p.n[0].pos && p.lo)
		err = look_back(v, p.lo, &e);
	else if (p.n[0].pos)
		p.n[0].pos--;
	if (e.count && end_of(&e) > lblk)
		*set |= lock_bit(e.pblk);
	for (;;) {
		for (uint32_t i = 0; i < p.top; i++)
			*set |= lock_bit(p.n[i].b->blkno);
		for (; !err && p.n[0].pos < path_count(&p); p.n[0].pos++) {
			const struct item *it = path_item(&p);
			if (it && it->key >= end)
				break;
			err = extent_of(it, &e);
			if (!err && end_of(&e) > lblk)
				*set |= lock_bit(e.pblk);
		}
		uint64_t next = p.hi;
		int done = err || p.n[0].pos < path_count(&p) || next >= end;
		path_close(&p);
		if (done)
			return err;
		err = path_find(&p, v, next);
		if (err)
			return err;
	}
}

/* Change an extent in place, wherever its leaf is. */
static int rewrite(struct call *c, struct td_vnode *v, uint64_t key, const struct td_extent *e)
{
	struct path p;
	int err = path_find(&p, v, key);

	if (err)
		return err;
	if (p.n[0].pos < path_count(&p) && path_item(&p) && path_item(&p)->key == key)
		set_extent(c, &p, p.n[0].pos, e);
	else
		err = -TD_EIO;
	path_close(&p);
	return err ? err : c->err;
}

static int drop(struct call *c, struct td_vnode *v, uint64_t key)
{
	struct path p;
	int err = path_find(&p, v, key);

	if (err)
		return err;
	if (p.n[0].pos < path_count(&p) && path_item(&p) && path_item(&p)->key == key)
		err = tree_delete(c, &p);
	else
		err = -TD_EIO;
	path_close(&p);
	return err;
}

/* Punch [lblk, end) out of an extent that reaches beyond on both sides. */
static int split(struct call *c, struct td_vnode *v, const struct td_extent *e, uint64_t lblk,
		 uint64_t end)
{
	struct td_extent head = *e;
	struct extent_value tail = { e->pblk + (end - e->lblk), (uint32_t)(end_of(e) - end) };
	struct path p;
	int err = path_find(&p, v, end);

	if (err)
		return err;
	head.count = (uint32_t)(lblk - e->lblk);
	c->goal = v->fid / SLOTS;
	err = reserve(c, tree_need(&p, sizeof(tail)), 0);
	if (!err)
		err = rewrite(c, v, e->lblk, &head);
	if (!err)
		err = tree_insert(c, &p, end, &tail, sizeof(tail));
	path_close(&p);
	return err;
}

/* Take [lblk, end) away from one extent. */
static int cut(struct call *c, struct td_vnode *v, const struct td_extent *e, uint64_t lblk,
	       uint64_t end)
{
	uint64_t from = e->lblk > lblk ? e->lblk : lblk, to = end_of(e) < end ? end_of(e) : end;
	struct td_extent rest = *e;
	int err;

	if (from > e->lblk && to < end_of(e)) {
		err = split(c, v, e, from, to);
	} else if (from > e->lblk) {
		rest.count = (uint32_t)(from - e->lblk);
		err = rewrite(c, v, e->lblk, &rest);
	} else if (to < end_of(e)) {
		rest = (struct td_extent){ to, e->pblk + (to - e->lblk), (uint32_t)(end_of(e) - to),
					   TD_DATA };
		err = rewrite(c, v, e->lblk, &rest);
	} else {
		err = drop(c, v, e->lblk);
	}
	if (!err)
		err = free_run(c, e->pblk + (from - e->lblk), to - from);
	v->blocks -= (to - from) * BUNITS;
	return err;
}

int smfs_bunmap(struct td_vnode *v, uint64_t lblk, uint64_t count)
{
	struct call c = { 0 };
	uint64_t end, set = 0;
	int err;

	if (range(lblk, count, &end))
		return 0; /* nothing can be there */
	err = locks_of(v, lblk, end, &set);
	if (!err && !set)
		return 0;
	if (!err)
		err = lock_set(&c, set);
	while (!err && lblk < end) {
		struct spot s;
		err = look(&s, v, lblk);
		if (err)
			break;
		struct td_extent e = s.prev.count && end_of(&s.prev) > lblk ? s.prev : s.next;
		path_close(&s.p);
		if (!e.count || e.lblk >= end)
			break;
		err = cut(&c, v, &e, lblk, end);
		lblk = end_of(&e);
	}
	if (!err)
		err = inode_save(&c, v);
	return call_end(&c, err);
}
