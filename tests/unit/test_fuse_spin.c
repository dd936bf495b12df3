/* SPDX-License-Identifier: BSD-2-Clause */
/* The FUSE front end: when a worker looks for the next request before it sleeps, and when it gives that up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../front/fuse/front.h"

/* All on one core: then nobody asks how busy the machine is. */
static struct td_fuse front = { .cores = 1 };
static struct td__fuse_patience p;

static int begin(void **state)
{
	(void)state;
	memset(&p, 0, sizeof(p));
	atomic_store(&front.readers, 1);
	return 0;
}

/* Requests until it looks again; 0: more than `most`. */
static unsigned pause_of(unsigned most)
{
	for (unsigned n = 1; n <= most; n++)
		if (td__fuse_spins(&front, &p))
			return n;
	return 0;
}

/* A request that came only after the worker had slept. The machine may be busy: then giving up takes fewer of them. */
static void miss(void)
{
	while (td__fuse_spin_on(&p))
		;
}

static void misses_end_a_try(void **state)
{
	unsigned n = 0;

	(void)state;
	for (; td__fuse_spins(&front, &p); n++)
		miss();
	assert_in_range(n, 1, 4);
}

static void tries_in_vain_become_rare(void **state)
{
	unsigned last = 0, pause = 0;

	(void)state;
	assert_int_equal(pause_of(1), 1);
	for (int i = 0; i < 10; i++, last = pause) {
		do
			miss();
		while (p.spins && td__fuse_spins(&front, &p));
		pause = pause_of(10000);
		assert_true(pause > last || pause > 8000);
	}
	assert_true(pause > 8000);
}

static void it_goes_on_while_it_pays(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++) {
		assert_true(td__fuse_spins(&front, &p));
		td__fuse_spin_won(&p);
	}
	do
		miss();
	while (p.spins && td__fuse_spins(&front, &p));
	assert_in_range(pause_of(10000), 1, 200);
}

static void nobody_looks_where_several_read(void **state)
{
	(void)state;
	atomic_store(&front.readers, 2);
	assert_int_equal(pause_of(10000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(misses_end_a_try, begin),
		cmocka_unit_test_setup(tries_in_vain_become_rare, begin),
		cmocka_unit_test_setup(it_goes_on_while_it_pays, begin),
		cmocka_unit_test_setup(nobody_looks_where_several_read, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
