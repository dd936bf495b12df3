/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * deadlock: what one look at the wait-for graph costs. Mounts are laid out as they are when calls wait, without threads: the look is
 * the kernel's own. Prints JSON objects, one a line, as `floor` does: name, ns (median of one look), n.
 *
 *   deadlock_nothing      nobody waits
 *   deadlock_one_mount    47 calls of one mount wait in a row, the last of them for one that runs
 *   deadlock_many_mounts  40 mounts with 10,000 locks held in all and 100 calls that wait: all 40 looked at
 *   deadlock_few_held     the same with 100 locks held: what the locks that nobody waits for add is the difference
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/fs.h"

enum { MOUNTS = 40, ROUNDS = 201 };

static struct td__fs mounts[MOUNTS];
static struct td__domain domain;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void clear(struct td__fs *fs)
{
	if (!fs->calls) {
		fs->calls = aligned_alloc(128, TD__SLOTS * sizeof(*fs->calls));
		fs->domain = &domain;
	}
	memset(fs->calls, 0, TD__SLOTS * sizeof(*fs->calls));
	memset(&fs->locks, 0, sizeof(fs->locks));
	td__locks_init(&fs->locks);
	for (uint32_t i = 0; i < TD__SLOTS; i++) {
		fs->calls[i].fs = fs;
		fs->calls[i].slot = i;
	}
}

/* `held` locks, by the calls in turn; of the calls 1 to `waiting` each waits for a lock of the one before. */
static void lay_out(struct td__fs *fs, uint32_t held, uint32_t waiting)
{
	clear(fs);
	for (uint32_t i = 0; i < held; i++)
		fs->locks.word[i] = 1ull << 63 | 1ull << i % TD__SLOTS;
	for (uint32_t i = 1; i <= waiting; i++) {
		fs->locks.word[i - 1] |= 1ull << 62;
		fs->calls[i].waits = i;
		fs->calls[i].wants_all = 1;
		fs->calls[i].turn = i;
		fs->locks.waiting |= 1ull << i;
	}
}

static uint32_t found;

static uint64_t look(uint32_t n, uint32_t times)
{
	uint64_t begin = now();

	for (uint32_t k = 0; k < times; k++)
		for (uint32_t i = 0; i < n; i++)
			found += td__locks_check(&mounts[i], TD_RESOLVE_ABORT);
	return now() - begin;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, uint32_t n, uint32_t times)
{
	double took[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		took[i] = (double)look(n, times) / times;
	qsort(took, ROUNDS, sizeof(took[0]), by_size);
	printf("{\"name\": \"deadlock_%s\", \"ns\": %.1f, \"n\": %u}\n", name, took[ROUNDS / 2], ROUNDS * times);
}

static void many(const char *name, uint32_t held)
{
	for (uint32_t i = 0; i < MOUNTS; i++)
		lay_out(&mounts[i], held, i % 2 ? 2 : 3);
	report(name, MOUNTS, 20);
}

int main(void)
{
	clear(&mounts[0]);
	report("nothing", 1, 1000);
	lay_out(&mounts[0], 250, 47);
	report("one_mount", 1, 100);
	many("many_mounts", 250);
	many("few_held", 3);
	if (found) {
		fprintf(stderr, "deadlock: found %u where there are none\n", found);
		return 1;
	}
	return 0;
}
