/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops that do real work, for what yields cost: seek with `whence` 0 hashes names, 1 sums up blocks, 2 searches a tree,
 * each `off` times. The answer depends on all of it, so none of it can be left out.
 */
#include <tadan/fs.h>

enum { NAMES = 64, NAME = 24, WORDS = 1024, LEVELS = 4, FAN = 32 };

static uint8_t names[NAMES][NAME];
static uint32_t block[WORDS];
static uint64_t keys[LEVELS][FAN];

static int work_mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	(void)format;
	for (uint32_t i = 0; i < NAMES * NAME; i++)
		names[i / NAME][i % NAME] = (uint8_t)('a' + i * 7 % 26);
	for (uint32_t i = 0; i < WORDS; i++)
		block[i] = i * 2654435761u;
	for (uint32_t i = 0; i < LEVELS * FAN; i++)
		keys[i / FAN][i % FAN] = (uint64_t)(i % FAN) << 32;
	*info = (struct td_fsinfo){ .root = 1, .maxsize = 1, .blocks = dev->blocks, .files = 1, .bsize = dev->bsize,
				    .namemax = TD_NAME_MAX, .maxlink = 2 };
	return 0;
}

static int work_getvnode(uint64_t fid, struct td_vnode *v)
{
	return fid == 1 ? td_vnode_init(v, TD_DIR, 0755, 0) : -TD_ESTALE;
}

/* FNV-1a of a name, byte by byte. */
static uint32_t hash(const uint8_t *name)
{
	uint32_t h = 2166136261u;

	for (uint32_t i = 0; i < NAME; i++)
		h = (h ^ name[i]) * 16777619u;
	return h;
}

/* Fletcher's, over a block of 4 KiB. */
static uint64_t checksum(const uint32_t *words)
{
	uint64_t a = 0, b = 0;

	for (uint32_t i = 0; i < WORDS; i++) {
		a += words[i];
		b += a;
	}
	return a ^ b << 32;
}

/* Down a tree, by halves in each node. */
static uint64_t search(uint64_t key)
{
	uint64_t path = 0;

	for (uint32_t level = 0; level < LEVELS; level++) {
		uint32_t low = 0, high = FAN;

		key &= ((uint64_t)FAN << 32) - 1; /* within the keys, and nobody can foresee where */
		while (high - low > 1) {
			uint32_t middle = (low + high) / 2;

			if (keys[level][middle] <= key)
				low = middle;
			else
				high = middle;
		}
		path = path * FAN + low;
		key = key * 6364136223846793005u + low;
	}
	return path;
}

static int work_seek(struct td_vnode *v, uint64_t off, uint32_t whence, uint64_t *found)
{
	uint64_t sum = 0;

	(void)v;
	for (uint64_t i = 0; i < off; i++)
		sum += whence == 0 ? hash(names[(i + sum) % NAMES]) :
		       whence == 1 ? checksum(block) :
				     search((i ^ sum) * 2654435761u);
	block[0] = (uint32_t)sum;
	*found = sum;
	return 0;
}

TD_FS_MODULE(work, 0, .mount = work_mount, .getvnode = work_getvnode, .seek = work_seek);
