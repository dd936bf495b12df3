/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Strings in a tree: the target of a symbolic link (an item with key 0 and an empty name), the
 * value of an extended attribute. A short one lies in the item, a longer one in blocks whose
 * numbers the item lists.
 */
#include "smfs.h"

uint32_t value_blocks(uint64_t len)
{
	return (uint32_t)((len + BSIZE - 1) / BSIZE);
}

static void write_block(struct call *c, struct td_in data, uint32_t off, uint64_t *blk)
{
	uint32_t len = data.len - off < BSIZE ? data.len - off : BSIZE;
	struct td_buf *b = 0;
	int err = take_block(c, blk);

	if (!err && td_getblk(*blk, &b))
		err = -TD_EIO;
	if (err && !c->err)
		c->err = err;
	put(c, b, 0, (const uint8_t *)data.data + off, len);
	td_brelse(b);
}

/*
 * Make an item's value at `to`, which has room for VALUE_MAX. Blocks, if it is not to lie inside
 * the item, have been reserved. Returns its length.
 */
uint32_t value_make(struct call *c, uint8_t *to, struct td_vnode *v, struct td_name name,
		    struct td_in data, int inside)
{
	uint32_t len = named_make(to, data.len, inside ? IN_ITEM : IN_BLOCKS, name);

	if (inside) {
		memcpy(to + len, data.data, data.len);
		return len + data.len;
	}
	for (uint32_t off = 0; off < data.len && !c->err; off += BSIZE) {
		uint64_t blk = 0;
		write_block(c, data, off, &blk);
		memcpy(to + len, &blk, sizeof(blk));
		len += sizeof(blk);
		v->blocks += BUNITS;
	}
	return len;
}

/* What lies behind the name, and how long the string is; 0 where the item is damaged. */
static const uint8_t *content(const struct item *it, uint64_t *len, int *inside)
{
	const struct named *n = named_at(it);

	if (!n)
		return 0;
	uint32_t rest = it->len - NAMED_HEAD - n->len;
	*len = n->ref;
	*inside = n->kind == IN_ITEM;
	if (n->ref > XATTR_MAX || n->kind > IN_BLOCKS)
		return 0;
	if (rest != (*inside ? n->ref : value_blocks(n->ref) * sizeof(uint64_t)))
		return 0;
	return n->name + n->len;
}

static int read_block(uint64_t blk, struct td_out *out, uint32_t len)
{
	struct td_buf *b;
	int err = block_ok(blk, 1) ? open_block(blk, &b) : -TD_EIO;

	if (err)
		return err;
	err = td_out_put(out, td_buf_data(b), len);
	td_brelse(b);
	return err;
}

/* Append the string to `out`. ERANGE: there is not enough room. */
int value_read(const struct item *it, struct td_out *out)
{
	uint64_t len, blk;
	int inside, err = 0;
	const uint8_t *at = content(it, &len, &inside);

	if (!at)
		return -TD_EIO;
	if (len > out->size - out->used)
		return -TD_ERANGE;
	if (inside)
		return td_out_put(out, at, (uint32_t)len);
	for (; len && !err; at += sizeof(blk)) {
		uint32_t n = len < BSIZE ? (uint32_t)len : BSIZE;
		memcpy(&blk, at, sizeof(blk));
		err = read_block(blk, out, n);
		len -= n;
	}
	return err;
}

/* Shards whose locks value_free() needs. */
uint64_t value_locks(const struct item *it)
{
	uint64_t len, blk, set = 0;
	int inside;
	const uint8_t *at = content(it, &len, &inside);

	if (!at || inside)
		return 0;
	for (uint32_t i = 0; i < value_blocks(len); i++) {
		memcpy(&blk, at + i * sizeof(blk), sizeof(blk));
		if (block_ok(blk, 1))
			set |= lock_bit(blk);
	}
	return set;
}

/* Free the string's blocks. The item itself stays. */
int value_free(struct call *c, const struct item *it, struct td_vnode *v)
{
	uint64_t len, blk;
	int inside, err = 0;
	const uint8_t *at = content(it, &len, &inside);

	if (!at)
		return -TD_EIO;
	if (inside)
		return 0;
	for (uint32_t i = 0; i < value_blocks(len) && !err; i++) {
		memcpy(&blk, at + i * sizeof(blk), sizeof(blk));
		err = free_run(c, blk, 1);
		v->blocks -= BUNITS;
	}
	return err;
}
