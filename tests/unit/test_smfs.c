/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMFS over a fake kernel: each operation by itself, then against a model with a checker that walks the whole
 * device. A failure prints the seed and the step that replay it: SMFS_SEED=n, SMFS_STEPS=n.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakekernel.h"
#include "smfs_calls.h"
#include "smfs_check.h"
#include "smfs_model.h"

/* ---- Each operation */

static const char *view_names[] = { "live", "snapshot", "unmapped" };

static void start(uint64_t blocks, enum fk_views views)
{
	struct td_fsinfo info;

	fk_open(blocks, views);
	assert_int_equal(s_mount(0, 0, &info), -TD_EMEDIUMTYPE);
	assert_int_equal(s_mount(0, 1, &info), 0);
	assert_int_equal(s_getvnode(info.root, &root), 0);
}

static void test_basic(void **state)
{
	(void)state;
	for (enum fk_views views = 0; views < FK_VIEWS; views++) {
		struct td_vnode a, b, d, again;
		uint64_t fid;
		print_message("views %s\n", view_names[views]);
		start(1024, views);
		assert_int_equal(s_create(&root, "a", TD_REG, &a), 0);
		assert_int_equal(s_create(&root, "a", TD_REG, &b), -TD_EEXIST);
		assert_int_equal(s_lookup(&root, "a", &fid), 0);
		assert_int_equal(fid, a.fid);
		assert_int_equal(s_lookup(&root, "b", &fid), -TD_ENOENT);
		assert_int_equal(s_create(&root, "d", TD_DIR, &d), 0);
		assert_int_equal(root.nlink, 3);
		assert_int_equal(s_lookup(&d, "..", &fid), 0);
		assert_int_equal(fid, root.fid);
		assert_int_equal(s_rmdir(&root, "d", &d), 0);
		assert_int_equal(s_inactive(&d), 0);
		assert_int_equal(s_getvnode(d.fid, &again), -TD_ESTALE);
		assert_int_equal(s_getvnode(a.fid, &again), 0);
		assert_memory_equal(&again, &a, sizeof(a));
		assert_int_equal(s_link(&root, "b", &a), 0);
		assert_int_equal(a.nlink, 2);
		assert_int_equal(s_unlink(&root, "a", &a), 0);
		assert_int_equal(s_unlink(&root, "b", &a), 0);
		assert_int_equal(a.nlink, 0);
		assert_int_equal(s_inactive(&a), 0);
		assert_int_equal(root.size, 0);
		fk_close();
	}
}

/* ---- Against the model */

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, 0, 0) : otherwise;
}

static void model(struct run run)
{
	uint64_t seed = number("SMFS_SEED", 0), runs = seed ? 1 : number("SMFS_RUNS", 2);

	for (uint64_t i = 0; i < runs; i++) {
		run.seed = seed ? seed : i + 1;
		run.steps = (uint32_t)number("SMFS_STEPS", 800);
		const char *why = smfs_model(&run);
		if (why)
			fail_msg("%s", why);
	}
}

static void test_model(void **state)
{
	(void)state;
	for (enum fk_views views = 0; views < FK_VIEWS; views++)
		model((struct run){ .blocks = 512, .views = views, .undo = 1 });
}

/* Little room and no journal: an error must leave the device as it was by itself. */
static void test_full(void **state)
{
	(void)state;
	for (enum fk_views views = 0; views < FK_VIEWS; views++) {
		model((struct run){ .blocks = 64, .views = views });
		model((struct run){ .blocks = 2300, .views = views });
	}
}

static void test_quota(void **state)
{
	(void)state;
	model((struct run){ .blocks = 3000, .maxfiles = 40 });
}

/* Each service of a call fails in turn, or ends the call; the journal undoes what it did. */
static void test_faults(void **state)
{
	(void)state;
	for (enum fk_views views = 0; views < FK_VIEWS; views++)
		model((struct run){ .blocks = 200, .views = views, .undo = 1, .faults = 3 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
