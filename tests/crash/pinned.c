/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was written and not flushed is not evicted. A flush fails, so all of it is to be written again; the next try gets as far as each act in
 * turn, data in place and flush given up; then the rest of the image is read through a cache that holds half of it, and a flush
 * fails once more. What was only on its way to the disk must still be in memory, since nobody else has it.
 *
 *	pinned MODULE
 */
#include <stdio.h>
#include <string.h>

#include "../../core/fs.h"
#include "../../core/image.h"
#include "../../walls/walls.h"
#include "disk.h"

enum { BYTES = 6 << 20, BSIZE = 4096, CACHE = 1 << 20, DATA = 50 * BSIZE, CLEAN = 400 * BSIZE, PIECE = 40 * BSIZE, ACTS = 12 };

static const struct td_cred root = { 0 };
static struct td__module *module;
static struct td__fs *fs;
static char why[256];
static uint8_t bytes[CLEAN];
static unsigned passed, failed;

static void expect(int ok, const char *what, uint64_t act)
{
	passed += ok != 0;
	failed += !ok;
	if (!ok)
		printf("FAIL act %llu: %s\n", (unsigned long long)act, what);
}

static int mount(struct td__disk *disk, int blank)
{
	struct td_mount_params p = { .module = module, .walls = td__walls, .cache = CACHE, .format = (uint32_t)blank };
	int err = td_level_parse("trusted", &p.level, why, sizeof(why));

	if (!err)
		err = td__image_open(disk, disk->size, BSIZE, 0, &p.device, &blank, why, sizeof(why));
	return err ? err : td_mount(&p, &fs, why, sizeof(why));
}

static td_handle file(const char *name, int make)
{
	struct td_name n = { (const uint8_t *)name, (uint32_t)strlen(name) };
	td_attr a;
	int err = make ? td_make(fs, &root, td_fs_root(fs), n, TD_REG, 0644, 0, (struct td_in){ 0, 0 }, &a) :
			 td_lookup(fs, &root, td_fs_root(fs), n, &a);

	return err ? 0 : a.handle;
}

static int put(td_handle h, int byte, uint64_t len)
{
	memset(bytes, byte, len);
	return td_write(fs, &root, h, 0, bytes, len) == (int64_t)len;
}

static int holds(td_handle h, int byte, uint64_t len)
{
	uint64_t at = 0;

	memset(bytes, 0, len);
	if (td_read(fs, h, 0, bytes, len) != (int64_t)len)
		return 0;
	while (at < len && bytes[at] == byte)
		at++;
	return at == len;
}

/* So that no part of it is too much to be changed at a time. */
static int put_clean(td_handle h)
{
	int ok = 1;

	memset(bytes, 'c', PIECE);
	for (uint64_t at = 0; at < CLEAN && ok; at += PIECE)
		ok = td_write(fs, &root, h, at, bytes, PIECE) == PIECE && !td_sync(fs);
	return ok;
}

static void fail_from(struct td__disk *disk, uint64_t act, int flushes)
{
	struct trouble t = { .at = act, .error = -TD_EIO, .stays = 1, .flushes = flushes };

	disk_plan(disk, act ? &t : NULL);
}

static void play(uint64_t act)
{
	struct td__disk *disk = disk_new(BYTES);
	td_handle data, clean;

	expect(!mount(disk, 1), why, act);
	data = file("data", 1);
	clean = file("clean", 1);
	expect(put(data, 'a', DATA) && !td_sync(fs) && put_clean(clean), "the files cannot be made", act);
	fail_from(disk, 1, 1);
	expect(put(data, 'b', DATA) && td_sync(fs) == -TD_EIO, "a sync without a flush", act);
	fail_from(disk, act, 0);
	td_sync(fs);
	fail_from(disk, 1, 1);
	for (int i = 0; i < 3; i++)
		expect(holds(clean, 'c', CLEAN), "what is clean is another", act);
	td_sync(fs);
	fail_from(disk, 0, 0);
	expect(holds(data, 'b', DATA), "what was written is gone from memory", act);
	expect(!td_sync(fs), "sync when the disk is well again", act);
	td_forget(fs, data, 1);
	td_forget(fs, clean, 1);
	expect(!td_unmount(fs), "unmount", act);
	expect(!mount(disk, 0), why, act);
	data = file("data", 0);
	expect(data && holds(data, 'b', DATA), "what was written is gone from the disk", act);
	td_forget(fs, data, 1);
	expect(!td_unmount(fs), "unmount", act);
	disk_free(disk);
}

int main(int argc, char **argv)
{
	if (argc < 2 || td__module_open(argv[1], &module, why, sizeof(why)))
		return 2;
	for (uint64_t act = 1; act <= ACTS; act++)
		play(act);
	td__module_close(module);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
