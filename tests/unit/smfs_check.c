/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checker of SMFS: a walk from the root directory and the orphans, which notes what each block
 * is used for, then a comparison with the allocator's maps and counters.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smfs.h"
#include "smfs_check.h"

enum use { FREE, DATA, NODE, STRING, INODES };

static struct {
	const uint8_t *dev;
	struct superblock sb;
	uint64_t size; /* blocks of a group */
	uint64_t gmeta, tblocks;
	uint8_t *use;	 /* of each block */
	uint32_t *names; /* of each slot: how many names it has */
	uint32_t *subdirs;
	uint64_t *todo; /* inodes to be walked */
	uint64_t ntodo;
	int free_may_hold;
	char wrong[300];
} k;

/* A walk through one tree. */
struct tree {
	const struct inode *i;
	uint64_t blocks, bytes, next_lblk;
	int level_of_root;
};

static int bad(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (!k.wrong[0])
		vsnprintf(k.wrong, sizeof(k.wrong), format, ap);
	va_end(ap);
	return -1;
}

static const void *block(uint64_t blk)
{
	return k.dev + blk * BSIZE;
}

static int use(uint64_t blk, uint64_t count, enum use what)
{
	for (uint64_t b = blk; b < blk + count; b++) {
		if (b < k.sb.first || b >= k.sb.blocks || (b - k.sb.first) % k.size < k.gmeta)
			return bad("block %llu cannot be used (as %d)", (unsigned long long)b,
				   what);
		if (k.use[b])
			return bad("block %llu used as %d and as %d", (unsigned long long)b,
				   k.use[b], what);
		k.use[b] = (uint8_t)what;
	}
	return 0;
}

static const struct inode *inode(uint64_t fid)
{
	if (fid / SLOTS >= k.sb.blocks)
		return 0;
	const struct inode *i =
		(const void *)((const uint8_t *)block(fid / SLOTS) + fid % SLOTS * INODE_SIZE);
	return i->fid == fid ? i : 0;
}

/* An inode is met: under a name, or as an orphan. The first time it is put on the list. */
static int meet(uint64_t fid, uint32_t type)
{
	const struct inode *i = inode(fid);

	if (!i)
		return bad("no inode %llu", (unsigned long long)fid);
	if (type && i->type != type)
		return bad("inode %llu has type %u, its name says %u", (unsigned long long)fid,
			   i->type, type);
	if (!k.names[fid]++)
		k.todo[k.ntodo++] = fid;
	return 0;
}

static int check_entry(struct tree *t, const struct item *it)
{
	const struct named *n = (const void *)it->value;

	if (it->len < NAMED_HEAD || it->len != NAMED_HEAD + n->len || !n->len || it->key < 256)
		return bad("entry of %llu has a bad length", (unsigned long long)t->i->fid);
	t->bytes += it->len;
	if (meet(n->ref, n->kind))
		return -1;
	if (n->kind != TD_DIR)
		return 0;
	if (inode(n->ref)->parent != t->i->fid)
		return bad("directory %llu has another parent", (unsigned long long)n->ref);
	k.subdirs[t->i->fid]++;
	return 0;
}

static int check_string(struct tree *t, const struct item *it)
{
	const struct named *n = (const void *)it->value;
	uint64_t blocks = (n->ref + BSIZE - 1) / BSIZE, blk;

	if (it->len < NAMED_HEAD + n->len)
		return bad("string of %llu has a bad length", (unsigned long long)t->i->fid);
	uint64_t rest = it->len - NAMED_HEAD - n->len;
	if (n->kind == IN_ITEM)
		return rest == n->ref ? 0
				      : bad("string of %llu: %u bytes",
					    (unsigned long long)t->i->fid, it->len);
	if (n->kind != IN_BLOCKS || rest != blocks * 8)
		return bad("string of %llu: %u bytes in blocks", (unsigned long long)t->i->fid,
			   it->len);
	for (uint64_t i = 0; i < blocks; i++) {
		memcpy(&blk, n->name + n->len + 8 * i, 8);
		if (use(blk, 1, STRING))
			return -1;
		t->blocks++;
	}
	return 0;
}

static int check_extent(struct tree *t, const struct item *it)
{
	struct extent_value x;

	if (it->len != sizeof(x))
		return bad("extent of %llu has %u bytes", (unsigned long long)t->i->fid, it->len);
	memcpy(&x, it->value, sizeof(x));
	if (it->key < t->next_lblk || !x.count)
		return bad("extents of %llu overlap at %llu", (unsigned long long)t->i->fid,
			   (unsigned long long)it->key);
	t->next_lblk = it->key + x.count;
	t->blocks += x.count;
	return use(x.pblk, x.count, DATA);
}

static int check_item(struct tree *t, const struct item *it)
{
	if (it->key >= KEY_XATTR)
		return check_string(t, it);
	if (t->i->type == TD_DIR)
		return check_entry(t, it);
	if (t->i->type == TD_REG)
		return check_extent(t, it);
	if (t->i->type == TD_LNK && it->key == 0)
		return check_string(t, it);
	return bad("inode %llu of type %u has content", (unsigned long long)t->i->fid, t->i->type);
}

static int check_node(struct tree *t, const uint8_t *node, uint32_t size, int level, uint64_t lo,
		      uint64_t hi)
{
	const struct node_head *h = (const void *)node;
	const uint16_t *off = (const void *)(node + sizeof(*h));
	uint32_t bytes = 0;
	uint64_t last = 0;

	if (h->level != level || sizeof(*h) + 2u * h->count > h->low || h->low > size)
		return bad("node of %llu: head", (unsigned long long)t->i->fid);
	for (uint32_t i = 0; i < h->count; i++) {
		const struct item *it = (const void *)(node + off[i]);
		const struct item *next = i + 1 < h->count ? (const void *)(node + off[i + 1]) : 0;
		if (off[i] < h->low || off[i] + sizeof(*it) + it->len > size || it->key < lo ||
		    it->key >= hi || (i && it->key <= last))
			return bad("node of %llu: item %u", (unsigned long long)t->i->fid, i);
		last = it->key;
		bytes += sizeof(*it) + it->len;
		if (!level) {
			if (check_item(t, it))
				return -1;
			continue;
		}
		uint64_t blk;
		memcpy(&blk, it->value, 8);
		const struct node_block *b = block(blk);
		if (use(blk, 1, NODE))
			return -1;
		t->blocks++;
		if (b->magic != NODE_MAGIC || b->fid != t->i->fid)
			return bad("node of %llu in block %llu: block's head",
				   (unsigned long long)t->i->fid, (unsigned long long)blk);
		const struct node_head *ch = (const void *)(b + 1);
		if (!ch->count)
			return bad("node of %llu in block %llu is empty",
				   (unsigned long long)t->i->fid, (unsigned long long)blk);
		if (check_node(t, (const void *)(b + 1), NODE_SIZE, level - 1, i ? it->key : lo,
			       next ? next->key : hi))
			return -1;
	}
	if (h->low + bytes + h->dead != size)
		return bad("node of %llu: %u + %u + %u bytes of %u", (unsigned long long)t->i->fid,
			   h->low, bytes, h->dead, size);
	return 0;
}

static int check_inode(uint64_t fid)
{
	const struct inode *i = inode(fid);
	const struct node_head *rooted = (const void *)(i + 1);
	struct tree t = { .i = i };

	if (k.use[fid / SLOTS] != INODES && use(fid / SLOTS, 1, INODES))
		return -1;
	if (rooted->level >= LEVELS || (rooted->level && !rooted->count))
		return bad("inode %llu: root", (unsigned long long)fid);
	if (check_node(&t, (const void *)rooted, ROOT_SIZE, rooted->level, 0, KEY_MAX))
		return -1;
	if (i->blocks != t.blocks * BUNITS)
		return bad("inode %llu says %llu blocks, has %llu", (unsigned long long)fid,
			   (unsigned long long)i->blocks, (unsigned long long)t.blocks * BUNITS);
	if (i->type == TD_DIR && i->size != t.bytes)
		return bad("directory %llu says %llu bytes, has %llu", (unsigned long long)fid,
			   (unsigned long long)i->size, (unsigned long long)t.bytes);
	return 0;
}

static int check_links(const uint64_t *orphans, uint32_t norphans)
{
	for (uint64_t n = 0; n < k.ntodo; n++) {
		uint64_t fid = k.todo[n];
		const struct inode *i = inode(fid);
		uint32_t want = k.names[fid];
		for (uint32_t o = 0; o < norphans; o++)
			want -= orphans[o] == fid;
		if (i->type == TD_DIR && want)
			want = 2 + k.subdirs[fid];
		if (i->nlink != want)
			return bad("inode %llu has nlink %u, not %u", (unsigned long long)fid,
				   i->nlink, want);
	}
	return 0;
}

static int all_zero(uint64_t blk)
{
	const uint64_t *p = block(blk);

	for (int i = 0; i < BSIZE / 8; i++)
		if (p[i])
			return 0;
	return 1;
}

/* The blocks of a group: bitmap, map of slots, counters. */
static int check_group(uint64_t g, struct shard *sum)
{
	uint64_t start = k.sb.first + g * k.size, s = g % k.sb.shards, entry = g / k.sb.shards + 1;
	const uint8_t *maps = block(start);
	const struct group *e = (const void *)(k.dev + (1 + s * k.tblocks) * BSIZE + entry * 32);
	struct group want = *e;
	uint64_t end = start + k.size < k.sb.blocks ? k.size : k.sb.blocks - start;
	int current = 0;

	want.bused = want.iused = want.iblocks = 0;
	for (uint64_t i = k.gmeta; i < end; i++) {
		uint64_t blk = start + i;
		int used = maps[i / 8] >> i % 8 & 1;
		uint16_t mask, slots = 0;
		if (used != (k.use[blk] != FREE))
			return bad("block %llu: map says %d, use is %d", (unsigned long long)blk,
				   used, k.use[blk]);
		if (!used && !k.free_may_hold && !all_zero(blk))
			return bad("free block %llu is not zero", (unsigned long long)blk);
		if (!used && (i < e->low || i >= end - e->high))
			return bad("free block %llu is outside the group's hints",
				   (unsigned long long)blk);
		want.bused += used;
		memcpy(&mask, maps + k.size / 8 + 2 * i, 2);
		for (int j = 0; j < SLOTS && k.use[blk] == INODES; j++) {
			slots |= (uint16_t)((k.names[blk * SLOTS + j] != 0) << j);
			if (!k.names[blk * SLOTS + j] && inode(blk * SLOTS + j))
				return bad("inode %llu is lost",
					   (unsigned long long)(blk * SLOTS + j));
		}
		want.iblocks += slots != 0;
		want.iused += (uint32_t)__builtin_popcount(slots);
		if (i == e->icur && i) {
			current = 1;
			if (mask != SLOTS_FULL || e->imask != slots)
				return bad("current block %llu: slots %x %x %x",
					   (unsigned long long)blk, mask, e->imask, slots);
		} else if (mask != slots) {
			return bad("block %llu: slots %x, not %x", (unsigned long long)blk, mask,
				   slots);
		}
	}
	if (e->icur && !current)
		return bad("group %llu: current block", (unsigned long long)g);
	if (memcmp(&want, e, sizeof(want)))
		return bad("group %llu: counters %u %u %u, not %u %u %u", (unsigned long long)g,
			   e->bused, e->iused, e->iblocks, want.bused, want.iused, want.iblocks);
	sum[s].bused += want.bused;
	sum[s].iused += want.iused;
	return 0;
}

static int check_all(const uint64_t *orphans, uint32_t norphans)
{
	struct shard sum[SHARDS_MAX] = { 0 };

	if (meet(k.sb.root, TD_DIR))
		return -1;
	for (uint32_t i = 0; i < norphans; i++)
		if (meet(orphans[i], 0))
			return -1;
	for (uint64_t i = 0; i < k.ntodo; i++)
		if (check_inode(k.todo[i]))
			return -1;
	if (check_links(orphans, norphans))
		return -1;
	for (uint64_t g = 0; g < k.sb.groups; g++)
		if (check_group(g, sum))
			return -1;
	for (uint64_t s = 0; s < k.sb.shards; s++)
		if (memcmp(&sum[s], block(1 + s * k.tblocks), sizeof(sum[s])))
			return bad("shard %llu: counters", (unsigned long long)s);
	return 0;
}

static const char *check(const uint8_t *dev, uint64_t blocks, const uint64_t *orphans,
			 uint32_t norphans, int free_may_hold)
{
	memset(&k, 0, sizeof(k));
	k.dev = dev;
	k.free_may_hold = free_may_hold;
	memcpy(&k.sb, dev, sizeof(k.sb));
	if (k.sb.magic != MAGIC || k.sb.blocks > blocks)
		return "superblock";
	k.size = 1ull << k.sb.gshift;
	k.gmeta = (k.size / 8 + k.size * 2 + BSIZE - 1) / BSIZE;
	k.tblocks = ((k.sb.groups + k.sb.shards - 1) / k.sb.shards + 1 + 127) / 128;
	k.use = calloc(blocks, 1);
	k.names = calloc(blocks * SLOTS, sizeof(*k.names));
	k.subdirs = calloc(blocks * SLOTS, sizeof(*k.subdirs));
	k.todo = calloc(blocks * SLOTS, sizeof(*k.todo));
	check_all(orphans, norphans);
	free(k.use);
	free(k.names);
	free(k.subdirs);
	free(k.todo);
	return k.wrong[0] ? k.wrong : 0;
}

const char *smfs_sound(const uint8_t *dev, uint64_t blocks, const uint64_t *orphans,
		       uint32_t norphans)
{
	return check(dev, blocks, orphans, norphans, 0);
}

const char *smfs_sound_used(const uint8_t *dev, uint64_t blocks, const uint64_t *orphans,
			    uint32_t norphans)
{
	return check(dev, blocks, orphans, norphans, 1);
}
