/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsbench: unpacking a tree of small files, call for call as tar does it.
 *
 * The tree has a directory for each 25 files, nested like a source tree (a directory has up to six
 * in it). Sizes follow the quantiles of a tree of C headers, cut at 64 KiB, with a mean near 6 KiB.
 * Everything follows from the seed, so a check needs no copy of the tree.
 */
#include "fsbench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_PER_DIR = 25, FANOUT = 6, TAR_RECORD = 10240, MTIME = 1600000000 };

/* Sizes in bytes at each twentieth of the files, smallest first. */
static const unsigned quantiles[] = { 0,    420,  760,	1030,  1270,  1560,  1890,
				      2270, 2700, 3150, 3700,  4340,  5050,  5900,
				      6900, 8100, 9800, 12300, 15000, 21000, 65536 };
enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) - 1, MAX_SIZE = 65536 };

struct file {
	size_t size;
	mode_t mode;
	const unsigned char *data;
	char name[32];
};

static unsigned dirs_for(unsigned files)
{
	return (files + FILES_PER_DIR - 1) / FILES_PER_DIR;
}

static struct file file_at(unsigned i, uint64_t seed)
{
	uint64_t state = seed * 1000003 + i, r = rnd(&state);
	unsigned q = r % QUANTILES, width = quantiles[q + 1] - quantiles[q];
	struct file f = { .mode = r & (7u << 20) ? 0644 : 0755 };

	/* The last bucket is long: squaring the fraction keeps large files rare in it. */
	double part = (double)(r >> 32) / 4294967296.0;
	f.size = quantiles[q] + (size_t)(width * part * (q == QUANTILES - 1 ? part * part : 1));
	f.data = pool(state, f.size);
	snprintf(f.name, sizeof(f.name), "source_%05u.%c", i, i % 3 ? 'h' : 'c');
	return f;
}

/* The path of directory d below the root of the tree. Directory 0 is the first in it. */
static void dir_path(unsigned d, char *path, size_t size)
{
	char up[256] = "";

	if (d >= FANOUT)
		dir_path(d / FANOUT - 1, up, sizeof(up));
	snprintf(path, size, "%s%spart-%03u", up, *up ? "/" : "", d);
}

static struct timespec mtime_of(unsigned i)
{
	return (struct timespec){ .tv_sec = MTIME + i, .tv_nsec = i * 1000 };
}

/* As root, tar creates files closed to others and sets owner and mode once they are complete. */
static void extract(int dirfd, const char *path, unsigned i, const struct file *f, bool root)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, mtime_of(i) };
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOCTTY | O_NONBLOCK;
	int fd = open_in(dirfd, path, flags, root ? 0600 : f->mode);

	write_all(fd, f->data, f->size, TAR_RECORD);
	if (futimens(fd, times) < 0)
		fatal("utimensat %s", path);
	if (root && (fchown(fd, 0, 0) < 0 || fchmod(fd, f->mode) < 0))
		fatal("chown, chmod %s", path);
	close_fd(fd);
}

/* Directories get their times and modes last, because what is put into them changes the times. */
static void finish_dir(int dirfd, unsigned d, bool root)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, mtime_of(d) };
	char path[512];

	dir_path(d, path, sizeof(path));
	if (utimensat(dirfd, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		fatal("utimensat %s", path);
	if (root && fchownat(dirfd, path, 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
		fatal("chown %s", path);
	if (fchmodat(dirfd, path, 0755, 0) < 0)
		fatal("chmod %s", path);
}

void tree_write(int dirfd, unsigned files, uint64_t seed)
{
	unsigned dirs = dirs_for(files);
	bool root = geteuid() == 0;
	char dir[512], path[600];

	for (unsigned d = 0; d < dirs; d++) {
		dir_path(d, dir, sizeof(dir));
		if (mkdirat(dirfd, dir, 0700) < 0)
			fatal("mkdir %s", dir);
		for (unsigned i = d * FILES_PER_DIR; i < files && i < (d + 1) * FILES_PER_DIR;
		     i++) {
			struct file f = file_at(i, seed);

			snprintf(path, sizeof(path), "%s/%s", dir, f.name);
			extract(dirfd, path, i, &f, root);
		}
	}
	for (unsigned d = dirs; d-- > 0;)
		finish_dir(dirfd, d, root);
}

static void check_file(int dirfd, const char *path, unsigned i, const struct file *f)
{
	static unsigned char data[MAX_SIZE + 1];
	struct timespec want = mtime_of(i);
	int fd = open_in(dirfd, path, O_RDONLY, 0);
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		fatal("stat %s", path);
	errno = 0;
	if ((size_t)st.st_size != f->size || (st.st_mode & 0777 & ~f->mode))
		fatal("%s: size %lld and mode %o, not %zu and %o", path, (long long)st.st_size,
		      st.st_mode, f->size, f->mode);
	if (st.st_mtim.tv_sec != want.tv_sec || st.st_mtim.tv_nsec != want.tv_nsec)
		fatal("%s: its time of change is not the one that was set", path);
	n = read(fd, data, sizeof(data));
	if (n != (ssize_t)f->size || memcmp(data, f->data, f->size))
		fatal("%s: its content differs from what was written", path);
	close_fd(fd);
}

void tree_check(int dirfd, unsigned files, uint64_t seed)
{
	char dir[512], path[600];

	for (unsigned i = 0; i < files; i++) {
		struct file f = file_at(i, seed);

		dir_path(i / FILES_PER_DIR, dir, sizeof(dir));
		snprintf(path, sizeof(path), "%s/%s", dir, f.name);
		check_file(dirfd, path, i, &f);
	}
}

static int subdir(const struct bench *b, const char *name)
{
	if (mkdirat(b->workfd, name, 0755) < 0)
		fatal("mkdir %s", name);
	return open_in(b->workfd, name, O_RDONLY | O_DIRECTORY, 0);
}

void bench_unpack(const struct bench *b)
{
	struct result r = { .name = "unpack", .n = b->count ? b->count : 10000 };
	int warm = subdir(b, "warm"), tree = subdir(b, "tree");

	tree_write(warm, r.n / 20, b->seed + 1);
	for (unsigned i = 0; i < r.n; i++)
		r.bytes += file_at(i, b->seed).size;
	lap_start(&r.lap);
	tree_write(tree, r.n, b->seed);
	lap_stop(&r.lap);
	if (b->verify)
		tree_check(tree, r.n, b->seed);
	report(b, &r);
}
