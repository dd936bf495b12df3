/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A node: a head, offsets of the items in the order of their keys, free room, and the items. It
 * fills a block (behind a node_block) or the end of an inode. Offsets count from the node's
 * beginning.
 *
 * Inserting writes the item, then head and offsets in one piece. Deleting leaves a gap behind,
 * which is closed when the room is needed.
 */
#include "smfs.h"

enum { HEAD = sizeof(struct node_head), COUNT_MAX = NODE_SIZE / 2 };

static const uint8_t *at(const struct node *n, uint32_t off)
{
	return (const uint8_t *)td_buf_data(n->b) + n->base + off;
}

const struct node_head *node_head(const struct node *n)
{
	return (const struct node_head *)at(n, 0);
}

static uint32_t offset(const struct node *n, uint32_t i)
{
	return *(const uint16_t *)at(n, HEAD + 2 * i);
}

/* The item, or 0 where it is damaged. */
const struct item *node_item(const struct node *n, uint32_t i)
{
	uint32_t off;

	if (i >= node_head(n)->count)
		return 0;
	off = offset(n, i);
	if (off < node_head(n)->low || off > n->size - ITEM_HEAD)
		return 0;
	const struct item *it = (const struct item *)at(n, off);
	if (it->len > n->size - ITEM_HEAD - off)
		return 0;
	return it;
}

/* Is this a node of this level whose keys lie in [lo, hi)? */
int node_check(const struct node *n, uint32_t level, uint64_t lo, uint64_t hi)
{
	const struct node_head *h = node_head(n);
	const struct item *first, *last;

	if (h->level != level || h->low > n->size || h->dead > n->size ||
	    HEAD + 2u * h->count > h->low)
		return -TD_EIO;
	if (!h->count)
		return 0;
	first = node_item(n, 0);
	last = node_item(n, h->count - 1u);
	if (!first || !last || first->key < lo || last->key >= hi || first->key > last->key)
		return -TD_EIO;
	return 0;
}

/* The first item whose key is not below `key`. */
int node_search(const struct node *n, uint64_t key, uint32_t *pos)
{
	uint32_t from = 0, to = node_head(n)->count;

	while (from < to) {
		uint32_t mid = (from + to) / 2;
		const struct item *it = node_item(n, mid);
		if (!it)
			return -TD_EIO;
		if (it->key < key)
			from = mid + 1;
		else
			to = mid;
	}
	*pos = from;
	return 0;
}

static uint32_t gap(const struct node *n)
{
	const struct node_head *h = node_head(n);

	return h->low - HEAD - 2u * h->count;
}

int node_fits(const struct node *n, uint32_t len)
{
	return gap(n) + node_head(n)->dead >= ITEM_HEAD + len + 2;
}

void node_init(struct call *c, struct node *n, uint32_t level)
{
	struct node_head h = { (uint16_t)level, 0, (uint16_t)n->size, 0 };

	put(c, n->b, n->base, &h, sizeof(h));
}

/*
 * Copy items [first, count) of `from` into `room`, as a node of `size` bytes. Returns where the
 * lowest begins, 0: damaged.
 */
static uint32_t pack(const struct node *from, uint32_t first, uint8_t *room, uint32_t size)
{
	struct node_head *h = (struct node_head *)room;
	uint32_t low = size, n = node_head(from)->count - first;

	for (uint32_t i = 0; i < n; i++) {
		const struct item *it = node_item(from, first + i);
		uint16_t off;
		if (!it || low < HEAD + 2 * n + ITEM_HEAD + it->len)
			return 0;
		low -= ITEM_HEAD + it->len;
		memcpy(room + low, it, ITEM_HEAD + it->len);
		off = (uint16_t)low;
		memcpy(room + HEAD + 2 * i, &off, 2);
	}
	*h = (struct node_head){ node_head(from)->level, (uint16_t)n, (uint16_t)low, 0 };
	return low;
}

static void write_packed(struct call *c, struct node *n, const uint8_t *room)
{
	const struct node_head *h = (const struct node_head *)room;

	put(c, n->b, n->base, room, HEAD + 2u * h->count);
	if (h->low < n->size)
		put(c, n->b, n->base + h->low, room + h->low, n->size - h->low);
}

/* Close the gaps. */
static void compact(struct call *c, struct node *n)
{
	uint8_t room[NODE_SIZE] __attribute__((aligned(8)));

	if (!pack(n, 0, room, n->size))
		c->err = -TD_EIO;
	else
		write_packed(c, n, room);
}

/* Write head and offsets with one offset put in (`off`) or taken out (0) at `pos`. */
static void write_offsets(struct call *c, struct node *n, struct node_head h, uint32_t pos,
			  uint32_t off)
{
	uint16_t room[HEAD / 2 + COUNT_MAX + 1] __attribute__((aligned(8)));
	uint32_t count = node_head(n)->count;
	uint16_t *to = room + HEAD / 2;

	memcpy(room, &h, sizeof(h));
	memcpy(to, at(n, HEAD), 2 * pos);
	if (off)
		to[pos] = (uint16_t)off;
	memcpy(to + pos + (off != 0), at(n, HEAD + 2 * (pos + (off == 0))),
	       2 * (count - pos - (off == 0)));
	put(c, n->b, n->base, room, HEAD + 2u * h.count);
}

/* There is room: node_fits() said so. */
void node_insert(struct call *c, struct node *n, uint32_t pos, uint64_t key, const void *value,
		 uint32_t len)
{
	uint8_t room[ITEM_HEAD + VALUE_MAX];
	struct item *it = (struct item *)room;
	struct node_head h;

	if (!c->err && gap(n) < ITEM_HEAD + len + 2)
		compact(c, n);
	if (c->err)
		return;
	if (gap(n) < ITEM_HEAD + len + 2 || len > VALUE_MAX || pos > node_head(n)->count) {
		c->err = -TD_EIO;
		return;
	}
	it->key = key;
	it->len = (uint16_t)len;
	memcpy(it->value, value, len);
	h = *node_head(n);
	h.low -= (uint16_t)(ITEM_HEAD + len);
	h.count++;
	put(c, n->b, n->base + h.low, room, ITEM_HEAD + len);
	write_offsets(c, n, h, pos, h.low);
}

void node_delete(struct call *c, struct node *n, uint32_t pos)
{
	const struct item *it = node_item(n, pos);
	struct node_head h = *node_head(n);
	uint32_t off;

	if (!it) {
		c->err = -TD_EIO;
		return;
	}
	off = offset(n, pos);
	h.count--;
	if (!h.count) {
		h.low = (uint16_t)n->size;
		h.dead = 0;
	} else if (off == h.low) {
		h.low += (uint16_t)(ITEM_HEAD + it->len);
	} else {
		h.dead += (uint16_t)(ITEM_HEAD + it->len);
	}
	write_offsets(c, n, h, pos, 0);
}

/* Change an item's key, which keeps its place in the order, and bytes of its value. */
void node_set(struct call *c, struct node *n, uint32_t pos, uint64_t key, const void *value,
	      uint32_t off, uint32_t len)
{
	const struct item *it = node_item(n, pos);
	uint32_t where;

	if (!it || off + len > it->len) {
		c->err = -TD_EIO;
		return;
	}
	where = n->base + offset(n, pos);
	if (it->key != key)
		put(c, n->b, where, &key, sizeof(key));
	put(c, n->b, where + ITEM_HEAD + off, value, len);
}

/* Move the items from `first` on to `to`, a node without items. */
void node_move(struct call *c, struct node *from, uint32_t first, struct node *to)
{
	uint8_t room[NODE_SIZE] __attribute__((aligned(8)));
	struct node_head h = *node_head(from);
	uint32_t bytes = 0;

	if (!pack(from, first, room, to->size)) {
		c->err = -TD_EIO;
		return;
	}
	bytes = to->size - ((struct node_head *)room)->low;
	write_packed(c, to, room);
	h.count = (uint16_t)first;
	if (!first) {
		h.low = (uint16_t)from->size;
		h.dead = 0;
	} else {
		h.dead += (uint16_t)bytes;
	}
	put(c, from->b, from->base, &h, sizeof(h));
}
