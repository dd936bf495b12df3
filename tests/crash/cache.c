/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file that is larger than what of its image may be in memory: written, synced, read, overwritten in parts and read again, while another
 * thread makes, reads and removes small files, and a third one commits all the time and changes levels. What is in memory, by the
 * system's own count, stays within the bound and what operations under way need; every byte is as it was written, also after another mount.
 *
 *	cache MODULE LEVEL[:LEVEL...] MIB
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../core/fs.h"
#include "../../core/image.h"
#include "../../port/user/disk.h"
#include "../../walls/walls.h"
#include "sound.h"

enum { BSIZE = 4096, CHUNK = 256 << 10, SMALL = 40, LEVELS = 8 };
static const uint64_t image_bytes = 1ull << 30, cache = 16 << 20, spare = 3 << 20; /* three operations at a time */

static const struct td_cred root = { 0 };
static struct td__module *module;
static struct td_level levels[LEVELS];
static unsigned nlevels;
static struct td__fs *fs;
static char path[64], why[256];
static atomic_int over;
static atomic_uint passed, failed;
static uint64_t most;

static void expect(int ok, const char *what, uint64_t at)
{
	atomic_fetch_add(ok ? &passed : &failed, 1);
	if (!ok)
		printf("FAIL at %llu: %s\n", (unsigned long long)at, what);
}

static struct td_name text(const char *s)
{
	return (struct td_name){ (const uint8_t *)s, (uint32_t)strlen(s) };
}

static int mount(void)
{
	struct td_mount_params p = { .module = module, .walls = td__walls, .level = levels[0], .cache = cache };
	struct td__disk *disk;
	uint64_t bytes;
	int blank, err = td__port_disk_open(path, image_bytes, 0, &disk, &bytes, &blank, why, sizeof(why));

	if (!err)
		err = td__image_open(disk, bytes, BSIZE, 0, &p.device, &blank, why, sizeof(why));
	p.format = (uint32_t)blank;
	return err ? err : td_mount(&p, &fs, why, sizeof(why));
}

/* As the system counts it: what the device's pages take. */
static void look(void)
{
	struct stat st;

	if (fstat((int)fs->device->data.share, &st))
		abort();
	if ((uint64_t)st.st_blocks * 512 > most)
		most = (uint64_t)st.st_blocks * 512;
}

/* What byte `at` of a file is: by block, and by how often the block was written. */
static void fill(uint8_t *data, uint64_t at, uint64_t len, uint64_t round)
{
	for (uint64_t i = 0; i < len; i += 8) {
		uint64_t word = (at + i + 1) * 0x9e3779b97f4a7c15ull + round;

		memcpy(data + i, &word, 8);
	}
}

static td_handle make(const char *name)
{
	td_attr a;
	int err = td_make(fs, &root, td_fs_root(fs), text(name), TD_REG, 0644, 0, (struct td_in){ 0, 0 }, &a);

	expect(!err, "a file cannot be made", (uint64_t)-err);
	return err ? 0 : a.handle;
}

/* ---- The others */

static void one_small(unsigned i, uint64_t round, uint8_t *data, uint8_t *found)
{
	char name[16];
	td_handle h;
	uint64_t len = 1000 + 2200 * i;

	snprintf(name, sizeof(name), "small%u", i);
	if (round)
		expect(!td_unlink(fs, &root, td_fs_root(fs), text(name)), "unlink", i);
	h = make(name);
	fill(data, i, (len + 7) & ~7ull, round);
	expect(td_write(fs, &root, h, 0, data, len) == (int64_t)len, "a small file is not written", i);
	expect(td_read(fs, h, 0, found, len) == (int64_t)len && !memcmp(data, found, len), "a small file is another", i);
	td_forget(fs, h, 1);
}

static void *smalls(void *arg)
{
	static uint8_t data[1000 + 2200 * SMALL], found[sizeof(data)];

	for (uint64_t round = 0; !over; round++)
		for (unsigned i = 0; i < SMALL && !(over && round); i++)
			one_small(i, round, data, found);
	return arg;
}

static void *commits(void *arg)
{
	for (unsigned i = 1; !over; i++) {
		expect(!td_sync(fs), "sync", i);
		if (nlevels > 1 && !(i % 16))
			expect(!td_set_level(fs, &levels[i / 16 % nlevels], NULL, why, sizeof(why)), why, i);
		usleep(3000);
	}
	return arg;
}

/* ---- The large file */

static void put(td_handle h, uint64_t from, uint64_t end, uint64_t step, uint64_t round)
{
	static uint8_t data[CHUNK];

	for (uint64_t at = from; at < end; at += step) {
		fill(data, at, CHUNK, round);
		expect(td_write(fs, &root, h, at, data, CHUNK) == CHUNK, "the large file is not written", at);
		look();
	}
}

/* Every second chunk was written in round 1, the others in round 0. */
static void compare(td_handle h, uint64_t size, int mixed)
{
	static uint8_t data[CHUNK], found[CHUNK];

	for (uint64_t at = 0; at < size; at += CHUNK) {
		fill(data, at, CHUNK, mixed && at / CHUNK % 2);
		expect(td_read(fs, h, at, found, CHUNK) == CHUNK && !memcmp(data, found, CHUNK), "the large file is another", at);
		look();
	}
}

static void play(uint64_t size)
{
	td_handle h = make("large");
	pthread_t threads[2];

	pthread_create(&threads[0], NULL, smalls, NULL);
	pthread_create(&threads[1], NULL, commits, NULL);
	put(h, 0, size, CHUNK, 0);
	compare(h, size, 0);
	put(h, CHUNK, size, 2 * CHUNK, 1);
	compare(h, size, 1);
	over = 1;
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	td_forget(fs, h, 1);
}

static void again(uint64_t size)
{
	td_attr a;
	const char *wrong;

	expect(!td_unmount(fs), "unmount", 0);
	expect(!mount(), why, 0);
	expect(!td_lookup(fs, &root, td_fs_root(fs), text("large"), &a), "the large file is gone", 0);
	compare(a.handle, size, 1);
	td_forget(fs, a.handle, 1);
	expect(!td_sync(fs), "sync", 0);
	wrong = sound(fs);
	expect(!wrong, wrong, 0);
}

static int read_levels(char *list)
{
	for (char *one = strtok(list, ":"); one && nlevels < LEVELS; one = strtok(NULL, ":"))
		if (td_level_parse(one, &levels[nlevels++], why, sizeof(why)))
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	struct td_status status;
	uint64_t size = argc > 3 ? strtoull(argv[3], NULL, 0) << 20 : 0;

	snprintf(path, sizeof(path), "cache-%d.img", (int)getpid());
	if (!size || td__module_open(argv[1], &module, why, sizeof(why)) || read_levels(argv[2]) || mount()) {
		printf("%s\n", why);
		unlink(path);
		return 2;
	}
	play(size);
	again(size);
	td_get_status(fs, &status);
	expect(most <= cache + spare, "more is in memory than may be, KiB", most >> 10);
	expect(most > cache / 2, "less is in memory than could be, KiB", most >> 10);
	expect(status.cache == cache && status.evicted > size / 2, "what was evicted is not counted", status.evicted);
	expect(!status.faults, "the module was blamed", status.faults);
	expect(!td_unmount(fs), "unmount", 0);
	td__module_close(module);
	unlink(path);
	printf("at most %llu KiB in memory, %llu MiB evicted\n", (unsigned long long)most >> 10, (unsigned long long)status.evicted >> 20);
	printf("%u passed, %u failed, 0 skipped\n", (unsigned)passed, (unsigned)failed);
	return failed != 0;
}
