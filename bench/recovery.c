/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recovery: how long a caller waits for an operation in which the module faults, and is served by the next domain.
 *
 *   build/bench/recovery build/tests/undo/smfs_planted.so [--trials N] [--gap MS] LEVEL...
 *
 * SMFS with some files, and a planted store to address 8 in a file's creation. One trial: the operation without a fault, then with one, then a
 * gap. The levels take turns, trial by trial. Printed are medians and 99th percentiles: of the operation with its fault (detection, undoing,
 * a new domain, the second try), of the part for which calls were kept out, and of the operation alone. Goals, on an idle machine: a median below 5 ms at
 * isolated and 1 ms at walled. --gap 0: the next fault comes at once, so that no domain can be there in advance.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../front/inproc/tadan.h"
#include "../tests/stress/strikes.h"
#include "../walls/walls.h"

enum { LEVELS = 16, TRIALS = 10000, FILES = 200 };

static struct mount {
	const char *level;
	struct td_volume *vol;
	struct td__fs *fs;
	uint64_t plain[TRIALS], whole[TRIALS], closed[TRIALS];
} mounts[LEVELS];
static const struct td_cred root = { 0 };

static void create(struct td__fs *fs, const char *name)
{
	td_attr a;
	int err = td_make(fs, &root, td_fs_root(fs), (struct td_name){ (const uint8_t *)name, (uint32_t)strlen(name) }, TD_REG, 0644, 0,
			  (struct td_in){ 0 }, &a);

	if (err) {
		fprintf(stderr, "recovery: create: %s\n", strerror(-err));
		exit(1);
	}
	td_forget(fs, a.handle, 1);
}

static uint64_t timed_create(struct td__fs *fs, const char *name)
{
	uint64_t begin = td__port_monotonic(), ns;

	create(fs, name);
	ns = td__port_monotonic() - begin;
	td_unlink(fs, &root, td_fs_root(fs), (struct td_name){ (const uint8_t *)name, (uint32_t)strlen(name) });
	return ns;
}

static int open_mount(struct mount *m, const char *module, const char *level)
{
	struct td_volume_params p = { .module = module, .size = 64 << 20 };
	char text[200], why[300] = "", name[20];
	struct td_level parsed;

	snprintf(text, sizeof(text), "%s,restart=1000/1s", level);
	p.level = text;
	m->level = level;
	if (td_level_parse(text, &parsed, why, sizeof(why)) || !td__walls[parsed.wall] ||
	    td__walls[parsed.wall]->available(why, sizeof(why)) || td_volume_open(&p, &m->vol, why, sizeof(why))) {
		printf("%-12s -: %s\n", level, why);
		return 0;
	}
	m->fs = td_volume_fs(m->vol);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		create(m->fs, name);
	}
	return 1;
}

static void trial(struct mount *m, uint32_t i)
{
	struct td_fault f;

	m->plain[i] = timed_create(m->fs, "plain");
	strikes_order(m->fs, TD_OP_create, 1, PLANT_NULL, 0);
	m->whole[i] = timed_create(m->fs, "struck");
	if (td_get_faults(m->fs, i, &f, 1) != 1 || strikes_pending(m->fs)) {
		fprintf(stderr, "recovery: %s: no fault\n", m->level);
		exit(1);
	}
	m->closed[i] = f.recovery_ns;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void report(struct mount *m, uint32_t n)
{
	uint64_t *const all[] = { m->whole, m->closed, m->plain };

	printf("%-12s", m->level);
	for (int i = 0; i < 3; i++) {
		qsort(all[i], n, sizeof(uint64_t), by_size);
		printf("  %8.3f %8.3f", (double)all[i][n / 2] / 1e6, (double)all[i][n * 99 / 100] / 1e6);
	}
	putchar('\n');
	td_volume_close(m->vol);
}

int main(int argc, char **argv)
{
	uint32_t n = 0, trials = 200;
	long gap = 20;

	if (argc < 3) {
		fprintf(stderr, "usage: recovery SMFS_PLANTED.so [--trials N] [--gap MS] LEVEL...\n");
		return 2;
	}
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--trials") && i + 1 < argc)
			trials = (uint32_t)atoi(argv[++i]) % TRIALS;
		else if (!strcmp(argv[i], "--gap") && i + 1 < argc)
			gap = atol(argv[++i]);
		else if (n < LEVELS)
			n += (uint32_t)open_mount(&mounts[n], argv[1], argv[i]);
	}
	for (uint32_t i = 0; i < trials; i++) {
		for (uint32_t k = 0; k < n; k++)
			trial(&mounts[k], i);
		nanosleep(&(struct timespec){ .tv_nsec = gap % 1000 * 1000000 }, NULL);
	}
	printf("ms            faulting operation   calls kept out    operation alone\n");
	printf("              median    99 %%    median    99 %%    median    99 %%\n");
	for (uint32_t k = 0; k < n; k++)
		report(&mounts[k], trials);
	return 0;
}
