/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that does not answer. At each act of a sync in turn the disk hangs: whoever needs it waits, and everybody else goes on: makes, writes,
 * reads what is in memory, removes. Then a read hangs: only who wants what is not in memory waits. When the disk answers again
 * all of it is there.
 *
 *	hang MODULE LEVEL
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../core/fs.h"
#include "../../core/image.h"
#include "../../walls/walls.h"
#include "disk.h"
#include "sound.h"

enum { BYTES = 6 << 20, MOST_MS = 3000 };

static const struct td_cred root = { 0 };
static struct td__module *module;
static const char *level;
static struct td__fs *fs;
static char why[256];
static uint8_t data[200000];
static unsigned passed, failed;

static struct td_name text(const char *s)
{
	return (struct td_name){ (const uint8_t *)s, (uint32_t)strlen(s) };
}

static void expect(int ok, const char *what, uint64_t at)
{
	passed += ok != 0;
	failed += !ok;
	if (!ok)
		printf("FAIL level %s, act %llu: %s\n", level, (unsigned long long)at, what);
}

static int mount(struct td__disk *disk)
{
	struct td_mount_params p = { .module = module, .walls = td__walls };
	int blank = 1, err = td_level_parse(level, &p.level, why, sizeof(why));

	for (uint64_t i = 0; i < 1 << 20 && blank; i++)
		blank = !disk->bytes[i];
	if (!err)
		err = td__image_open(disk, disk->size, 4096, 0, &p.device, &blank, why, sizeof(why));
	p.format = (uint32_t)blank;
	return err ? err : td_mount(&p, &fs, why, sizeof(why));
}

static int put(const char *name, uint64_t len)
{
	td_attr a;
	int err = td_make(fs, &root, td_fs_root(fs), text(name), TD_REG, 0644, 0, (struct td_in){ 0, 0 }, &a);

	if (err)
		return err;
	memset(data, name[0], len);
	err = td_write(fs, &root, a.handle, 0, data, len) == (int64_t)len ? 0 : -TD_EIO;
	td_forget(fs, a.handle, 1);
	return err;
}

static int is(const char *name, uint64_t len)
{
	td_attr a;
	int ok = !td_lookup(fs, &root, td_fs_root(fs), text(name), &a);

	if (!ok)
		return 0;
	ok = td_read(fs, a.handle, 0, data, sizeof(data)) == (int64_t)len;
	for (uint64_t i = 0; i < len && ok; i++)
		ok = data[i] == name[0];
	td_forget(fs, a.handle, 1);
	return ok;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void wait_for_hang(void)
{
	for (int i = 0; i < 5000 && !disk_hangs(); i++)
		usleep(1000);
}

static void *sync_it(void *arg)
{
	return td_sync(fs) ? arg : NULL;
}

static void *read_it(void *arg)
{
	return is("far", 100000) ? NULL : arg;
}

/* What needs no disk, and how long it takes. */
static void go_on(uint64_t at)
{
	double begin = now_ms();

	expect(!put("new", 30000), "a file cannot be made", at);
	expect(is("new", 30000), "what was written cannot be read", at);
	expect(is("near", 150000), "what is in memory cannot be read", at);
	expect(!td_unlink(fs, &root, td_fs_root(fs), text("new")), "a file cannot be removed", at);
	expect(now_ms() - begin < MOST_MS, "others waited for the disk, too", at);
}

static void hang_sync(struct td__disk *disk, uint64_t at)
{
	struct trouble t = { .at = at };
	pthread_t thread;
	void *bad;
	char name[20];

	snprintf(name, sizeof(name), "%c%llu", (char)('A' + at % 26), (unsigned long long)at);
	expect(!put(name, 100 + 140000 * (at & 1)), "a file cannot be made before", at);
	disk_plan(disk, &t);
	pthread_create(&thread, NULL, sync_it, disk);
	wait_for_hang();
	expect(disk_hangs(), "the disk was not needed", at);
	go_on(at);
	disk_plan(disk, NULL);
	disk_release();
	pthread_join(thread, &bad);
	expect(!bad, "sync fails after all", at);
}

static void hang_read(struct td__disk *disk)
{
	struct trouble t = { .read_at = 1, .stays = 0 };
	pthread_t thread;
	void *bad;

	expect(!td_unmount(fs), "unmount", 0);
	expect(!mount(disk), why, 0);
	expect(is("near", 150000), "what was there is gone", 0);
	expect(!put("warm", 100), "a file cannot be made", 0); /* what names and maps need is in memory now */
	expect(!td_unlink(fs, &root, td_fs_root(fs), text("warm")), "unlink", 0);
	disk_plan(disk, &t);
	pthread_create(&thread, NULL, read_it, disk);
	wait_for_hang();
	expect(disk_hangs(), "the disk was not read", 0);
	go_on(0);
	usleep(300000); /* longer than a module's time limit, were it counted */
	disk_plan(disk, NULL);
	disk_release();
	pthread_join(thread, &bad);
	expect(!bad, "the read fails after all", 0);
}

int main(int argc, char **argv)
{
	struct td__disk *disk = disk_new(BYTES);
	struct td_status status;
	const char *wrong;

	if (argc < 3 || td__module_open(argv[1], &module, why, sizeof(why)))
		return 2;
	level = argv[2];
	if (mount(disk)) {
		printf("%s\n", why);
		return 2;
	}
	expect(!put("near", 150000) && !put("far", 100000) && !td_sync(fs), "the first files", 0);
	for (uint64_t at = 1; at <= 4; at++)
		hang_sync(disk, at);
	hang_read(disk);
	td_get_status(fs, &status);
	expect(!status.faults, "the module was blamed", 0);
	expect(!td_sync(fs), "sync", 0);
	wrong = sound(fs);
	expect(!wrong, wrong, 0);
	expect(!td_unmount(fs), "unmount", 0);
	expect(!mount(disk), why, 0);
	expect(is("near", 150000) && is("far", 100000), "what was there is gone", 0);
	expect(!td_unmount(fs), "unmount", 0);
	disk_free(disk);
	td__module_close(module);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
