/* SPDX-License-Identifier: BSD-2-Clause */
/* The FUSE front end: when a worker looks for the next request before it sleeps, and when it gives that up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../../front/fuse/front.h"

static struct td_fuse front;
static struct td__fuse_patience p;

static int has_process;

int td_fs_has_process(struct td__fs *fs)
{
	(void)fs;
	return has_process;
}

static int begin(void **state)
{
	(void)state;
	memset(&p, 0, sizeof(p));
	front.cores = 2;
	has_process = 0;
	atomic_store(&front.readers, 1);
	return 0;
}

static void take(long us)
{
	struct timespec from, t;

	clock_gettime(CLOCK_MONOTONIC, &from);
	do
		clock_gettime(CLOCK_MONOTONIC, &t);
	while ((t.tv_sec - from.tv_sec) * 1000000 + (t.tv_nsec - from.tv_nsec) / 1000 < us);
}

/* How many of so many requests were looked for, if one takes so long with and without it, and comes in time. */
static int looked(int requests, long us, long plain_us)
{
	int n = 0;

	while (requests--) {
		if (td__fuse_spins(&front, &p)) {
			td__fuse_spin_won(&p);
			take(us);
			n++;
		} else {
			take(plain_us);
		}
	}
	return n;
}

static void what_is_faster_stays(void **state)
{
	(void)state;
	assert_in_range(looked(600, 20, 200), 500, 560);
}

static void what_is_not_faster_is_tried_only(void **state)
{
	(void)state;
	assert_in_range(looked(600, 200, 20), 60, 70);
}

static void trying_becomes_rare(void **state)
{
	(void)state;
	looked(30000, 50, 10);
	assert_in_range(looked(8000, 50, 10), 0, 70);
}

/* A worker that sleeps in the end, some times. */
static void missing_ends_it(void **state)
{
	int n = 0;

	(void)state;
	assert_in_range(looked(200, 20, 200), 60, 140);
	for (; td__fuse_spins(&front, &p); n++)
		while (td__fuse_spin_on(&p))
			;
	assert_in_range(n, 1, 5);
	assert_int_equal(looked(400, 20, 200), 0);
}

static void nobody_looks_where_several_read(void **state)
{
	(void)state;
	atomic_store(&front.readers, 2);
	assert_int_equal(looked(1000, 1, 2), 0);
}

static void everybody_has_a_core(void **state)
{
	(void)state;
	front.cores = 1;
	assert_int_equal(looked(1000, 1, 2), 0);
	front.cores = 2;
	has_process = 1;
	assert_int_equal(looked(1000, 1, 2), 0);
	begin(state);
	front.cores = 3;
	has_process = 1;
	assert_in_range(looked(600, 20, 200), 500, 560);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_faster_stays, begin),
		cmocka_unit_test_setup(what_is_not_faster_is_tried_only, begin),
		cmocka_unit_test_setup(trying_becomes_rare, begin),
		cmocka_unit_test_setup(missing_ends_it, begin),
		cmocka_unit_test_setup(nobody_looks_where_several_read, begin),
		cmocka_unit_test_setup(everybody_has_a_core, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
