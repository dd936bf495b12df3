/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How costs grow: names in one directory, directories deep, callers, mounts in one host.
 *
 *   scale SMFS.so [LEVEL] [NAMES]
 *
 * One JSON object a line: {"name": ..., "at": size, "ns": for one operation}. Each size is measured on what
 * the sizes before it have built, so the figures of one name tell how the cost of one operation grows.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/mount.h"
#include "../front/inproc/tadan.h"

enum { DEEP = 1000, MOUNTS = 100, MAX_THREADS = 64, SAMPLE = 500, THREAD_OPS = 2000 };

static const struct td_cred root = { .checked = 1 };
static const struct td_in nothing;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void must(int64_t result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "scale: %s failed: %s\n", what, strerror((int)-result));
	exit(1);
}

static void row(const char *name, uint64_t at, uint64_t ns, uint64_t n)
{
	printf("{\"name\": \"%s\", \"at\": %llu, \"ns\": %.1f}\n", name, (unsigned long long)at, (double)ns / (double)n);
	fflush(stdout);
}

static struct td_volume *open_volume(const char *module, const char *level, uint64_t size)
{
	struct td_volume_params p = { .module = module, .level = level, .size = size };
	struct td_volume *vol;
	char why[300];

	if (!td_volume_open(&p, &vol, why, sizeof(why)))
		return vol;
	fprintf(stderr, "scale: %s\n", why);
	exit(77);
}

static struct td_name numbered(char *room, const char *prefix, uint64_t n)
{
	int len = snprintf(room, 40, "%s%llu", prefix, (unsigned long long)n);

	return (struct td_name){ (const uint8_t *)room, (uint32_t)len };
}

static void make_file(struct td__fs *fs, td_handle dir, const char *prefix, uint64_t n)
{
	char room[40];
	td_attr a;

	must(td_make(fs, &root, dir, numbered(room, prefix, n), TD_REG, 0644, 0, nothing, &a), "create");
	td_forget(fs, a.handle, 1);
}

/* ---- Names in one directory. Samples are spread over all names, so that the name cache is little help. */

static void sample_names(struct td__fs *fs, uint64_t names)
{
	uint64_t begin = now_ns();
	char room[40];
	td_attr a;

	for (uint64_t i = 0; i < SAMPLE; i++) {
		must(td_lookup(fs, &root, td_fs_root(fs), numbered(room, "n", i * 7919 % names), &a), "lookup");
		td_forget(fs, a.handle, 1);
	}
	row("lookup", names, now_ns() - begin, SAMPLE);
	begin = now_ns();
	for (uint64_t i = 0; i < SAMPLE; i++)
		must(td_unlink(fs, &root, td_fs_root(fs), numbered(room, "n", i)), "unlink");
	row("unlink", names, now_ns() - begin, SAMPLE);
	begin = now_ns();
	for (uint64_t i = 0; i < SAMPLE; i++)
		make_file(fs, td_fs_root(fs), "n", i);
	row("create", names, now_ns() - begin, SAMPLE);
}

static void list_all(struct td__fs *fs, uint64_t names)
{
	static char entries[TD_WINDOW];
	uint64_t begin = now_ns(), cookie = 0, seen = 0;
	int n;

	while ((n = td_readdir(fs, &root, td_fs_root(fs), cookie, entries, sizeof(entries), NULL, NULL)) > 0)
		for (int at = 0; at < n; seen++) {
			struct td_dirent d;

			memcpy(&d, entries + at, sizeof(d));
			cookie = d.cookie;
			at += (int)sizeof(d) + (int)((d.len + 7) & ~7u);
		}
	must(n, "readdir");
	if (seen != names + 2)
		must(-5, "readdir: names missing or doubled");
	row("readdir", names, now_ns() - begin, names);
}

static void many_names(const char *module, const char *level, uint64_t most)
{
	struct td_volume *vol = open_volume(module, level, 4ull << 30);
	struct td__fs *fs = td_volume_fs(vol);
	uint64_t made = 0;

	for (uint64_t names = 1000; names <= most; names *= 10) {
		for (; made < names; made++)
			make_file(fs, td_fs_root(fs), "n", made);
		sample_names(fs, names);
		list_all(fs, names);
	}
	td_volume_close(vol);
}

/* ---- Directories in one another: one step down costs the same at any depth. */

static void deep(const char *module, const char *level)
{
	struct td_volume *vol = open_volume(module, level, 1ull << 30);
	struct td__fs *fs = td_volume_fs(vol);
	struct td_name d = { (const uint8_t *)"d", 1 };
	td_handle at = td_fs_root(fs);
	uint64_t begin = now_ns();
	td_attr a;

	for (uint64_t i = 1; i <= DEEP; i++) {
		must(td_make(fs, &root, at, d, TD_DIR, 0755, 0, nothing, &a), "mkdir");
		if (at != td_fs_root(fs))
			td_forget(fs, at, 1);
		at = a.handle;
		if (i == 10 || i == 100 || i == DEEP) {
			row("mkdir_at_depth", i, now_ns() - begin, i == 10 ? 10 : i * 9 / 10);
			begin = now_ns();
		}
	}
	td_forget(fs, at, 1);
	td_volume_close(vol);
}

/* ---- Callers: each in a directory of its own. */

struct caller {
	struct td__fs *fs;
	td_handle dir;
	pthread_t thread;
};

static void *call(void *arg)
{
	struct caller *c = arg;
	char room[40];

	for (uint64_t i = 0; i < THREAD_OPS; i++) {
		make_file(c->fs, c->dir, "f", i);
		must(td_unlink(c->fs, &root, c->dir, numbered(room, "f", i)), "unlink");
	}
	return NULL;
}

static void many_callers(const char *module, const char *level)
{
	static struct caller callers[MAX_THREADS];
	struct td_volume *vol = open_volume(module, level, 1ull << 30);
	struct td__fs *fs = td_volume_fs(vol);
	char room[40];
	td_attr a;

	for (int i = 0; i < MAX_THREADS; i++) {
		must(td_make(fs, &root, td_fs_root(fs), numbered(room, "dir", (uint64_t)i), TD_DIR, 0755, 0, nothing, &a), "mkdir");
		callers[i].fs = fs;
		callers[i].dir = a.handle;
	}
	for (int n = 1; n <= MAX_THREADS; n *= 2) {
		uint64_t begin = now_ns();

		for (int i = 0; i < n; i++)
			must(-pthread_create(&callers[i].thread, NULL, call, &callers[i]), "thread");
		for (int i = 0; i < n; i++)
			pthread_join(callers[i].thread, NULL);
		row("create_unlink_by_callers", (uint64_t)n, now_ns() - begin, (uint64_t)n * THREAD_OPS);
	}
	for (int i = 0; i < MAX_THREADS; i++)
		td_forget(fs, callers[i].dir, 1);
	td_volume_close(vol);
}

/* ---- Mounts in one host */

static void many_mounts(const char *module, const char *level)
{
	static struct td_volume *vols[MOUNTS];
	uint64_t begin = now_ns();

	for (int i = 0; i < MOUNTS; i++) {
		vols[i] = open_volume(module, level, 1 << 26);
		if (i == 0 || i == 9 || i == MOUNTS - 1) {
			row("mount", (uint64_t)i + 1, now_ns() - begin, i == 0 ? 1 : i == 9 ? 9 : MOUNTS - 10);
			begin = now_ns();
		}
	}
	begin = now_ns();
	for (uint64_t n = 0; n < 10; n++)
		for (int i = 0; i < MOUNTS; i++)
			make_file(td_volume_fs(vols[i]), td_fs_root(td_volume_fs(vols[i])), "f", n);
	row("create_in_each_mount", MOUNTS, now_ns() - begin, 10 * MOUNTS);
	for (int i = 0; i < MOUNTS; i++)
		must(td_volume_close(vols[i]), "unmount");
}

int main(int argc, char **argv)
{
	const char *level = argc > 2 ? argv[2] : "trusted";
	uint64_t names = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000;

	if (argc < 2) {
		fprintf(stderr, "usage: scale SMFS.so [LEVEL] [NAMES]\n");
		return 2;
	}
	many_names(argv[1], level, names);
	deep(argv[1], level);
	many_callers(argv[1], level);
	many_mounts(argv[1], level);
	return 0;
}
