/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `check` finds what is wrong. A sound image is checked: nothing is found. Then it is damaged in one way of each kind: that is found
 * and named; what the module says can be repaired is repaired without losing anything, and then nothing is found. Then images with
 * bytes changed at random: a check ends, the module never fails, and a repair leaves nothing that it could repair.
 *
 *	damage MODULE LEVEL [TRIALS [SEED]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/fs.h"
#include "../../core/image.h"
#include "../../walls/walls.h"
#include "disk.h"
#include "smfs.h"

enum { BYTES = 6 << 20, NAMES = 300 };

static const struct td_cred root_cred = { 0 };
static struct td__module *module;
static const char *level;
static char why[256];
static struct td__disk *disk;
static uint64_t base; /* of the device, in the image */
static unsigned passed, failed;

/* ---- The image, sound */

static struct {
	uint64_t root, p, q, r, big, a, b, link, holes;
} fid;

static struct td_name text(const char *s)
{
	return (struct td_name){ (const uint8_t *)s, (uint32_t)strlen(s) };
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "the image cannot be made: %s\n", what);
	exit(2);
}

static td_handle make(struct td__fs *fs, td_handle dir, const char *name, uint32_t type, const char *target, uint64_t *to)
{
	td_attr a;

	need(!td_make(fs, &root_cred, dir, text(name), type, 0755, 0,
		      (struct td_in){ target, target ? (uint32_t)strlen(target) : 0 }, &a), name);
	if (to)
		*to = a.fid;
	return a.handle;
}

static void fill_file(struct td__fs *fs, td_handle v, uint64_t step, uint64_t n)
{
	static uint8_t data[8192];

	memset(data, 7, sizeof(data));
	for (uint64_t i = 0; i < n; i++)
		need(td_write(fs, &root_cred, v, i * step, data, 4096) == 4096, "write");
}

static void populate(struct td__fs *fs)
{
	static uint8_t value[9000];
	td_handle root = td_fs_root(fs), p = make(fs, root, "p", TD_DIR, NULL, &fid.p), q = make(fs, p, "q", TD_DIR, NULL, &fid.q);
	td_handle big = make(fs, root, "big", TD_DIR, NULL, &fid.big), v;
	td_attr a;

	need(!td_getattr(fs, root, &a), "root");
	fid.root = a.fid;
	make(fs, q, "r", TD_DIR, NULL, &fid.r);
	for (unsigned i = 0; i < NAMES; i++) {
		char name[60];

		snprintf(name, sizeof(name), "a-name-that-takes-some-room-%u", i);
		make(fs, big, name, TD_REG, NULL, NULL);
	}
	v = make(fs, root, "alpha", TD_REG, NULL, &fid.a);
	fill_file(fs, v, 4096, 9);
	need(!td_setxattr(fs, &root_cred, v, text("user.x"), (struct td_in){ value, sizeof(value) }, 0), "attribute");
	fill_file(fs, make(fs, root, "beta", TD_REG, NULL, &fid.b), 4096, 5);
	fill_file(fs, make(fs, root, "holes", TD_REG, NULL, &fid.holes), 8192, 400);
	make(fs, root, "link", TD_LNK, "somewhere/else", &fid.link);
}

static int mount(struct td__fs **fs)
{
	struct td_mount_params p = { .module = module, .walls = td__walls };
	int blank = 1, err = td_level_parse(level, &p.level, why, sizeof(why));

	for (uint64_t i = 0; i < 1 << 20 && blank; i++)
		blank = !disk->bytes[i];
	if (!err)
		err = td__image_open(disk, disk->size, BSIZE, 0, &p.device, &blank, why, sizeof(why));
	if (err)
		return err;
	base = p.device->base;
	p.format = (uint32_t)blank;
	err = td_mount(&p, fs, why, sizeof(why));
	if (err) {
		p.device->disk = NULL; /* the test's */
		td__device_destroy(p.device);
	}
	return err;
}

/* ---- Damages */

static void *block(uint64_t blk)
{
	return disk->bytes + base + blk * BSIZE;
}

static struct superblock *super(void)
{
	return block(0);
}

static struct inode *inode(uint64_t n)
{
	return (struct inode *)((uint8_t *)block(n / SLOTS) + n % SLOTS * INODE_SIZE);
}

static struct node_head *tree(uint64_t n)
{
	return (struct node_head *)(inode(n) + 1);
}

static struct item *item(struct node_head *h, uint32_t i)
{
	return (struct item *)((uint8_t *)h + ((uint16_t *)(h + 1))[i]);
}

static uint64_t child_block(uint64_t n, uint32_t i)
{
	uint64_t blk;

	need(tree(n)->level > 0, "a tree of two levels");
	memcpy(&blk, item(tree(n), i)->value, 8);
	return blk;
}

static struct node_head *child(uint64_t n, uint32_t i)
{
	return (struct node_head *)((uint8_t *)block(child_block(n, i)) + sizeof(struct node_block));
}

/* The leaf with an entry, and the entry. The root directory is small. */
static struct named *entry_in(struct node_head *h, uint64_t ref)
{
	for (uint32_t i = 0; i < h->count; i++) {
		struct named *n = (struct named *)item(h, i)->value;
		struct named *found = NULL;
		uint64_t blk;

		if (h->level) {
			memcpy(&blk, item(h, i)->value, 8);
			found = entry_in((struct node_head *)((uint8_t *)block(blk) + sizeof(struct node_block)), ref);
			if (found)
				return found;
		} else if (n->ref == ref && item(h, i)->key < KEY_XATTR) {
			return n;
		}
	}
	return NULL;
}

static struct named *entry(uint64_t dir, uint64_t ref)
{
	struct named *n = entry_in(tree(dir), ref);

	need(n != NULL, "an entry");
	return n;
}

static struct extent_value *extent(uint64_t n)
{
	return (struct extent_value *)item(tree(n), 0)->value;
}

static struct group *group(void)
{
	return (struct group *)block(1) + 1;
}

static uint8_t *bits(void)
{
	return block(super()->first);
}

static uint16_t *slot_mask(uint64_t n)
{
	return (uint16_t *)(bits() + (1u << super()->gshift) / 8) + (n / SLOTS - super()->first);
}

static void flip(uint64_t blk)
{
	uint64_t i = blk - super()->first;

	bits()[i / 8] ^= (uint8_t)(1 << i % 8);
}

static void links(void) { inode(fid.a)->nlink++; }
static void links_dir(void) { inode(fid.p)->nlink--; }
static void nblocks(void) { inode(fid.a)->blocks += 8; }
static void dir_size(void) { inode(fid.big)->size -= 3; }
static void leak(void) { flip(super()->first + group()->low + 3); }
static void unmarked(void) { flip(extent(fid.a)->pblk + 1); }
static void shared(void) { extent(fid.b)->pblk = extent(fid.a)->pblk; }
static void outside(void) { extent(fid.b)->pblk = super()->blocks - 2; }
static void in_maps(void) { extent(fid.b)->pblk = super()->first; }
static void overlap(void) { ((struct extent_value *)item(child(fid.holes, 0), 0)->value)->count = 9; }
static void slash(void) { entry(fid.root, fid.a)->name[2] = '/'; }
static void misnamed(void) { entry(fid.root, fid.a)->name[2] = 'x'; }
static void no_inode(void) { entry(fid.root, fid.a)->ref = fid.a + 100000; }
static void other_type(void) { entry(fid.root, fid.a)->kind = TD_LNK; }
static void lost(void) { entry(fid.root, fid.a)->ref = fid.b; }
static void magic(void) { ((struct node_block *)block(child_block(fid.big, 0)))->magic ^= 1; }
static void owner(void) { ((struct node_block *)block(child_block(fid.big, 0)))->fid ^= 1; }
static void node_low(void) { child(fid.big, 0)->low = 3; }
static void dead(void) { child(fid.big, 0)->dead += 1; }
static void record(void) { inode(fid.b)->type = 99; }
static void nsec(void) { inode(fid.b)->nsec[1] = 2000000000; }
static void parent(void) { inode(fid.q)->parent = fid.big; }
static void slot_set(void) { *slot_mask(fid.root) = SLOTS_FULL; inode(fid.root + 1)->fid = 0; }
static void group_blocks(void) { group()->bused += 5; }
static void group_inodes(void) { group()->iused -= 1; }
static void group_low(void) { group()->low += 800; }
static void group_high(void) { group()->high += 800; }
static void shard_sum(void) { ((struct shard *)block(1))->bused += 1; }
static void current(void) { *((uint16_t *)(bits() + (1u << super()->gshift) / 8) + group()->icur) = 1; }
static void link_size(void) { inode(fid.link)->size++; }
static void target_len(void) { ((struct named *)item(tree(fid.link), 0)->value)->ref = 3; }

static void disorder(void)
{
	uint16_t *off = (uint16_t *)(child(fid.big, 0) + 1), first = off[0];

	off[0] = off[1];
	off[1] = first;
}

static void twice(void)
{
	memcpy(item(tree(fid.big), 1)->value, item(tree(fid.big), 0)->value, 8);
}

/* p lies in q, and q in p. */
static void ring(void)
{
	entry(fid.root, fid.p)->ref = fid.r;
	entry(fid.q, fid.r)->ref = fid.p;
	inode(fid.r)->parent = fid.root;
	inode(fid.p)->parent = fid.q;
}

static void nameless(void)
{
	entry(fid.root, fid.a)->ref = fid.b;
	inode(fid.b)->nlink++;
	inode(fid.a)->nlink = 0;
}

static const struct damage {
	const char *name;
	void (*act)(void);
	const char *says;
	int safe;
} damages[] = {
	{ "links", links, "counts its links", 1 },
	{ "links-dir", links_dir, "counts its links", 1 },
	{ "blocks", nblocks, "counts its blocks", 1 },
	{ "dir-size", dir_size, "counts its bytes", 1 },
	{ "leak", leak, "nothing has them", 1 },
	{ "unmarked", unmarked, "something has them", 1 },
	{ "shared", shared, "belong to something else", 0 },
	{ "outside", outside, "cannot be a file's", 0 },
	{ "in-maps", in_maps, "cannot be a file's", 0 },
	{ "overlap", overlap, "overlap with others", 0 },
	{ "slash", slash, "name that cannot be", 0 },
	{ "misnamed", misnamed, "where nobody looks", 0 },
	{ "no-inode", no_inode, "does not exist", 0 },
	{ "other-type", other_type, "another type", 0 },
	{ "lost", lost, "has no name", 0 },
	{ "magic", magic, "hold no node", 0 },
	{ "owner", owner, "hold no node", 0 },
	{ "node-low", node_low, "damaged node", 0 },
	{ "dead", dead, "counts its bytes wrongly", 0 },
	{ "record", record, "record that cannot be", 0 },
	{ "nsec", nsec, "record that cannot be", 0 },
	{ "parent", parent, "another as its parent", 0 },
	{ "slot-set", slot_set, "map of slots says it is", 0 },
	{ "group-blocks", group_blocks, "those in use", 1 },
	{ "group-inodes", group_inodes, "inodes in use", 1 },
	{ "group-low", group_low, "the first", 1 },
	{ "group-high", group_high, "the last", 1 },
	{ "shard-sum", shard_sum, "sum of blocks", 1 },
	{ "current", current, "as full in the map", 1 },
	{ "link-size", link_size, "not its target's", 0 },
	{ "target-len", target_len, "target of a length", 0 },
	{ "disorder", disorder, "in disorder", 0 },
	{ "twice", twice, "belong to something else", 0 },
	{ "ring", ring, "within itself", 0 },
	{ "nameless", nameless, "was not freed", 1 },
};

/* ---- A check */

struct findings {
	const char *says; /* wanted */
	unsigned n, said, unsafe, unrepaired;
	char first[200];
};

static void found(void *arg, const struct td_problem *p, const char *said)
{
	struct findings *f = arg;

	if (!f->n++)
		snprintf(f->first, sizeof(f->first), "file %llu, blocks %llu+%llu: %s (%llu, not %llu)", (unsigned long long)p->fid,
			 (unsigned long long)p->blkno, (unsigned long long)p->blocks, said, (unsigned long long)p->found,
			 (unsigned long long)p->right);
	f->said += f->says && strstr(said, f->says);
	f->unsafe += !(p->flags & TD_PROBLEM_SAFE);
	f->unrepaired += (p->flags & (TD_PROBLEM_SAFE | TD_PROBLEM_REPAIRED)) == TD_PROBLEM_SAFE;
}

static void again(void *arg)
{
	struct findings *f = arg;

	*f = (struct findings){ .says = f->says };
}

/* 1: the image could be mounted. What the mount, the check or the module did wrong is in *wrong. */
static int look(int repair, struct findings *f, const char **wrong)
{
	const struct td_checker to = { f, found, again };
	struct td_status status;
	struct td__fs *fs;
	int err = mount(&fs);

	if (err)
		return 0;
	err = td_check(fs, repair, &to);
	if (err) {
		snprintf(why, sizeof(why), "check: error %d", -err);
		*wrong = why;
	}
	td_get_status(fs, &status);
	if (status.faults)
		*wrong = "the module failed";
	if (status.careless)
		*wrong = "the module made mistakes";
	if (td_unmount(fs) && !*wrong)
		*wrong = "unmount fails";
	return 1;
}

static void report(const char *wrong, const char *name, uint64_t trial)
{
	passed += !wrong;
	failed += wrong != NULL;
	if (wrong)
		printf("FAIL %s %s %llu: %s\n", level, name, (unsigned long long)trial, wrong);
}

static void try(const struct damage *d)
{
	struct findings f = { .says = d->says };
	const char *wrong = NULL;
	uint64_t mark = disk_mark(disk);
	/* Changed past the disk's notes: kept whole. */
	uint8_t *before = malloc(disk->size);
	uint64_t size = disk->size;

	memcpy(before, disk->bytes, size);
	d->act();
	if (!look(0, &f, &wrong))
		wrong = why;
	if (!wrong && !f.said) {
		snprintf(why, sizeof(why), "not found, but %u others: %.150s", f.n, f.first);
		wrong = why;
	}
	if (!wrong && d->safe && f.unsafe)
		wrong = "said to lose something";
	if (!wrong && !d->safe && !f.unsafe)
		wrong = "said to lose nothing";
	f = (struct findings){ 0 };
	if (!wrong && d->safe && (!look(1, &f, &wrong) || f.unrepaired) && !wrong)
		wrong = "was not repaired";
	f = (struct findings){ 0 };
	if (!wrong && d->safe && look(0, &f, &wrong) && f.n && !wrong) {
		snprintf(why, sizeof(why), "after the repair: %.200s", f.first);
		wrong = why;
	}
	report(wrong, d->name, 0);
	disk_revert(disk, mark);
	memcpy(disk->bytes, before, size);
	free(before);
}

/* ---- Anything */

/* A place among the bytes that are not zero, where all that matters is. */
static uint64_t place(uint64_t *seed)
{
	for (int i = 0; i < 1000; i++) {
		uint64_t at = base + next_random(seed) % (disk->size - base - 8);

		if (disk->bytes[at] && disk->bytes[at] != 7)
			return at;
	}
	return base;
}

static void mutate(uint64_t *seed)
{
	uint64_t at = place(seed), other = place(seed);

	switch (next_random(seed) % 5) {
	case 0: disk->bytes[at] ^= (uint8_t)(1 << next_random(seed) % 8); break;
	case 1: disk->bytes[at] = (uint8_t)next_random(seed); break;
	case 2: memcpy(disk->bytes + at, disk->bytes + other, 8 < disk->size - other ? 8 : 1); break;
	case 3: disk->bytes[at]++; break;
	case 4: memcpy(disk->bytes + base + (at - base) / BSIZE * BSIZE, disk->bytes + base + (other - base) / BSIZE * BSIZE, BSIZE); break;
	}
}

static void mutated(uint64_t trial, uint64_t seed)
{
	uint64_t dice = seed * 1000003 + trial, mark = disk_mark(disk), size = disk->size;
	uint8_t *before = malloc(size);
	struct findings f = { 0 };
	const char *wrong = NULL;

	memcpy(before, disk->bytes, size);
	for (uint64_t n = 1 + next_random(&dice) % 6; n; n--)
		mutate(&dice);
	if (look(0, &f, &wrong) && !wrong) {
		f = (struct findings){ 0 };
		look(1, &f, &wrong);
	}
	report(wrong, "mutated", trial);
	disk_revert(disk, mark);
	memcpy(disk->bytes, before, size);
	free(before);
}

int main(int argc, char **argv)
{
	uint64_t trials = argc > 3 ? strtoull(argv[3], NULL, 0) : 100, seed = argc > 4 ? strtoull(argv[4], NULL, 0) : 1;
	struct findings f = { 0 };
	const char *wrong = NULL;
	struct td_level l;
	struct td__fs *fs;

	if (argc < 3 || td__module_open(argv[1], &module, why, sizeof(why)) || td_level_parse(argv[2], &l, why, sizeof(why))) {
		fprintf(stderr, "damage: %s\n", argc < 3 ? "which module and level?" : why);
		return 2;
	}
	level = argv[2];
	if (!td__walls[l.wall] || td__walls[l.wall]->available(why, sizeof(why))) {
		printf("skipped: %s\n", why);
		return 77;
	}
	disk = disk_new(BYTES);
	need(!mount(&fs), why);
	populate(fs);
	need(!td_unmount(fs), "unmount");
	if (!look(0, &f, &wrong))
		wrong = why;
	report(f.n ? f.first : wrong, "sound", 0);
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++)
		try(&damages[i]);
	for (uint64_t i = 0; i < trials; i++)
		mutated(i, seed);
	disk_free(disk);
	td__module_close(module);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
