/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The superblock, and how a device is divided: superblock, the shards' tables, the groups. Zeroes
 * mean free everywhere, so that a new file system consists of the superblock and the root
 * directory.
 */
#include "smfs.h"

struct fs fs;

static uint64_t checksum(const struct superblock *sb)
{
	const uint8_t *p = (const uint8_t *)sb;
	uint64_t h = 0xcbf29ce484222325;

	for (uint32_t i = 0; i < __builtin_offsetof(struct superblock, sum); i++)
		h = (h ^ p[i]) * 0x100000001b3;
	return h;
}

/* What follows from the superblock. */
static void derive(const struct superblock *sb, uint64_t maxfiles)
{
	uint64_t size = 1ull << sb->gshift,
		 entries = (sb->groups + sb->shards - 1) / sb->shards + 1;

	fs = (struct fs){ .blocks = sb->blocks,
			  .groups = sb->groups,
			  .first = sb->first,
			  .root = sb->root,
			  .seed = sb->seed,
			  .maxfiles = maxfiles,
			  .shards = sb->shards,
			  .gshift = sb->gshift };
	fs.gmeta = (uint32_t)((size / 8 + size * 2 + BSIZE - 1) / BSIZE);
	fs.tblocks = (uint32_t)((entries + TABLE_ENTRIES - 1) / TABLE_ENTRIES);
}

/* Divide a device: groups small enough that there are some for calls that go on side by side. */
static int divide(const struct td_device *dev, struct superblock *sb)
{
	uint64_t size;

	*sb = (struct superblock){
		.magic = MAGIC, .version = VERSION, .bsize = BSIZE, .gshift = 15
	};
	while (1u << sb->gshift > GROUP_MIN && dev->blocks >> sb->gshift < SHARDS_MAX)
		sb->gshift--;
	size = 1ull << sb->gshift;
	sb->groups = (dev->blocks + size - 1) / size;
	for (;;) {
		if (!sb->groups)
			return -TD_ENOSPC;
		sb->shards = sb->groups < SHARDS_MAX ? (uint32_t)sb->groups : SHARDS_MAX;
		derive(sb, 0);
		sb->first = 1 + (uint64_t)sb->shards * fs.tblocks;
		/* The last group must have room for more than its maps. */
		if (sb->first + (sb->groups - 1) * size + fs.gmeta + 2 <= dev->blocks)
			break;
		sb->groups--;
	}
	sb->blocks = dev->blocks < sb->first + sb->groups * size ? dev->blocks
								 : sb->first + sb->groups * size;
	return 0;
}

static int verify(const struct superblock *sb, const struct td_device *dev)
{
	if (sb->magic != MAGIC)
		return -TD_EMEDIUMTYPE;
	if (sb->sum != checksum(sb) || sb->version != VERSION || sb->bsize != BSIZE ||
	    sb->blocks > dev->blocks)
		return -TD_EUCLEAN;
	if (sb->gshift < 10 || sb->gshift > 15 || !sb->shards || sb->shards > SHARDS_MAX ||
	    !sb->groups || sb->shards > sb->groups || sb->groups > (sb->blocks >> sb->gshift) + 1)
		return -TD_EUCLEAN;
	derive(sb, dev->maxfiles);
	if (sb->first != 1 + (uint64_t)sb->shards * fs.tblocks ||
	    group_start(sb->groups - 1) + fs.gmeta + 2 > sb->blocks ||
	    sb->blocks > group_start(sb->groups))
		return -TD_EUCLEAN;
	return 0;
}

static int make_root(struct superblock *sb)
{
	struct call c = { 0 };
	struct td_vnode v = { .type = TD_DIR, .mode = 0755 };
	struct td_buf *b = 0;
	int err;

	touch(&v, 1);
	v.atime = v.btime = v.ctime;
	c.goal = fs.first;
	err = reserve(&c, 0, 1);
	if (!err)
		err = inode_new(&c, &v, 0, &b);
	if (!err)
		inode_store(&c, b, &v, v.fid);
	td_brelse(b);
	sb->root = v.fid;
	return call_end(&c, err);
}

static int format_device(const struct td_device *dev, struct td_buf *b, struct superblock *sb)
{
	struct call c = { 0 };
	uint32_t nsec;
	int64_t sec;
	int err = divide(dev, sb);

	if (err)
		return err;
	td_now(&sec, &nsec);
	sb->seed = ((uint64_t)sec << 30 ^ nsec) * 0x9e3779b97f4a7c15;
	derive(sb, 0);
	err = make_root(sb);
	if (err)
		return err;
	sb->sum = checksum(sb);
	put(&c, b, 0, sb, sizeof(*sb));
	return c.err;
}

static int is_blank(const struct td_buf *b)
{
	const uint64_t *p = td_buf_data(b);

	for (uint32_t i = 0; i < BSIZE / sizeof(*p); i++)
		if (p[i])
			return 0;
	return 1;
}

static int check_root(void)
{
	struct td_buf *b;

	if (!block_ok(fs.root / SLOTS, 1) || inode_open(fs.root, &b))
		return -TD_EUCLEAN;
	int err = inode_at(b, fs.root)->type == TD_DIR ? 0 : -TD_EUCLEAN;
	td_brelse(b);
	return err;
}

int smfs_mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	struct superblock sb;
	struct td_buf *b;
	int err;

	if (dev->bsize != BSIZE || !dev->blocks)
		return -TD_EINVAL;
	err = open_block(0, &b);
	if (err)
		return err;
	memcpy(&sb, td_buf_data(b), sizeof(sb));
	err = format && is_blank(b) ? format_device(dev, b, &sb) : verify(&sb, dev);
	td_brelse(b);
	if (err)
		return err;
	derive(&sb, dev->maxfiles);
	detours_forget();
	err = check_root();
	return err ? err : smfs_statfs(info);
}

int smfs_statfs(struct td_fsinfo *info)
{
	uint64_t all = 0, used = 0, files = 0, room;

	for (uint32_t s = 0; s < SHARDS_MAX && s < fs.shards; s++) {
		struct shard sh;
		int err = shard_load(s, &sh);
		if (err)
			return err;
		all += shard_blocks(s);
		used += sh.bused < shard_blocks(s) ? sh.bused : shard_blocks(s);
		files += sh.iused < shard_blocks(s) * SLOTS ? sh.iused : shard_blocks(s) * SLOTS;
	}
	room = (all - used) * SLOTS;
	*info = (struct td_fsinfo){ .root = fs.root,
				    .maxsize = MAXSIZE,
				    .blocks = all,
				    .bfree = all - used,
				    .bsize = BSIZE,
				    .namemax = TD_NAME_MAX,
				    .maxlink = MAXLINK };
	if (fs.maxfiles && fs.maxfiles < files + room)
		room = fs.maxfiles > files ? fs.maxfiles - files : 0;
	info->files = files + room;
	info->ffree = room;
	return 0;
}
