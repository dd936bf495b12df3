/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors of writing, told once to each open file, through the in-process front end: to who had the file open when it happened, at fsync,
 * close and td_volume_sync(), also where another one was told before and where the data has been written since; not to who opened
 * it after somebody was told; and to the next who opens it, where nobody was. Files that were written hear nothing.
 *
 *	unwritten MODULE LEVEL
 */
#include <stdio.h>
#include <string.h>

#include "../../core/image.h"
#include "../../front/inproc/tadan.h"
#include "disk.h"

#include <errno.h>
#include <fcntl.h>

enum { BYTES = 8 << 20, LARGE = 400000 };

static struct td_task task = { .cwd = TD_CWD_ROOT };
static struct td__disk *disk;
static uint8_t data[LARGE];
static char why[256];
static unsigned passed, failed;

static void expect(int64_t found, int64_t wanted, const char *what)
{
	passed += found == wanted;
	failed += found != wanted;
	if (found != wanted)
		printf("FAIL %s: %lld, not %lld\n", what, (long long)found, (long long)wanted);
}

static int open_one(const char *path)
{
	int fd = td_path_open(&task, path, O_RDWR | O_CREAT, 0644);

	expect(fd >= 0, 1, "open");
	return fd;
}

static void put(int fd, uint64_t len)
{
	data[0]++;
	expect(td_fd_pwrite(&task, fd, data, len, 0), (int64_t)len, "write");
}

static void fail_with(int error)
{
	struct trouble t = { .at = 1, .error = error, .stays = 1 };

	disk_plan(disk, error ? &t : NULL);
}

static int sync_fd(int fd)
{
	return td_fd_sync(&task, fd);
}

/* Somebody else's sync fails, at this file; then the disk is well again, and all is written. */
static void fail_once(int fd, uint64_t len, int error)
{
	put(fd, len);
	fail_with(error);
	expect(td_volume_sync(task.volume), error == -ENOSPC ? -ENOSPC : -EIO, "sync of a disk that fails");
	fail_with(0);
	expect(td_volume_sync(task.volume), 0, "sync of a disk that is well again");
}

static void each_is_told_once(uint64_t len)
{
	int a = open_one("/a"), b = open_one("/a"), other = open_one("/other"), late;

	put(other, len);
	expect(sync_fd(other), 0, "fsync before");
	fail_once(a, len, -EIO);
	expect(sync_fd(a), -EIO, "fsync of the first");
	late = open_one("/a");
	expect(sync_fd(a), 0, "fsync of the first again");
	expect(sync_fd(late), 0, "fsync of who came when it had been told");
	expect(sync_fd(b), -EIO, "fsync of the second");
	expect(sync_fd(b), 0, "fsync of the second again");
	expect(sync_fd(other), 0, "fsync of another file");
	fail_once(a, len, -ENOSPC);
	expect(td_fd_close(&task, a), -ENOSPC, "close of the first");
	expect(td_fd_close(&task, b), -ENOSPC, "close of the second");
	expect(sync_fd(late), -ENOSPC, "fsync of the third");
	expect(td_fd_close(&task, late), 0, "close of who has been told");
	expect(td_fd_close(&task, other), 0, "close of another file");
}

static void the_next_is_told(uint64_t len)
{
	int a = open_one("/b"), b, c;

	fail_once(a, len, -EIO);
	b = open_one("/b");
	expect(sync_fd(b), -EIO, "fsync of who came when nobody had been told");
	c = open_one("/b");
	expect(sync_fd(c), 0, "fsync of who came then");
	expect(sync_fd(a), -EIO, "fsync of the first");
	td_fd_close(&task, a);
	td_fd_close(&task, b);
	td_fd_close(&task, c);
}

/* As long as it cannot be written, each fsync says so. */
static void it_stays_true(uint64_t len)
{
	int a = open_one("/c");

	put(a, len);
	fail_with(-ENOSPC);
	for (int i = 0; i < 3; i++)
		expect(sync_fd(a), -ENOSPC, "fsync while the disk is full");
	fail_with(0);
	expect(sync_fd(a), 0, "fsync of who has been told, when there is room");
	td_fd_close(&task, a);
}

int main(int argc, char **argv)
{
	struct td_volume_params p = { .format = 1 };
	int blank = 1, err;

	if (argc < 3)
		return 2;
	p.module = argv[1];
	p.level = argv[2];
	disk = disk_new(BYTES);
	err = td__image_open(disk, BYTES, 4096, 0, &p.device, &blank, why, sizeof(why));
	if (!err)
		err = td_volume_open(&p, &task.volume, why, sizeof(why));
	if (err) {
		printf("%s\n", why);
		return 2;
	}
	each_is_told_once(LARGE); /* in place */
	each_is_told_once(5000);  /* through the log */
	the_next_is_told(LARGE);
	the_next_is_told(5000);
	it_stays_true(LARGE);
	it_stays_true(5000);
	expect(td_volume_close(task.volume), 0, "the end");
	disk_free(disk);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
