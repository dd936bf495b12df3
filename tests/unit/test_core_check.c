/* SPDX-License-Identifier: BSD-2-Clause */
/* A check that a module never lets end. */
#include "test_core_fake.h"

static uint64_t told;

static void problem(void *arg, const struct td_problem *p, const char *text)
{
	(void)arg;
	(void)p;
	(void)text;
	told++;
}

static void again(void *arg)
{
	(void)arg;
	told = 0;
}

static const struct td_checker to = { .problem = problem, .again = again };

static int another_part(struct td__call *c)
{
	struct td_frame_check *f = (void *)c->frame;

	f->next = f->part + 1;
	f->problems_len = 0;
	return 0;
}

static int more_problems(struct td__call *c)
{
	struct td_frame_check *f = (void *)c->frame;
	uint32_t bytes = f->problems_size - f->problems_size % (uint32_t)sizeof(struct td_problem);

	memset(td__at(f, f->problems_at), 0, bytes);
	f->next = f->part + 1;
	f->problems_len = bytes;
	return 0;
}

static void check(fake_op op, const char *level, int wanted)
{
	struct td__fs *fs;

	told = 0;
	fake_ops[TD_OP_check] = op;
	fs = fake_mount(level);
	assert_int_equal(td_check(fs, 0, &to), wanted);
	assert_int_equal(td_unmount(fs), 0);
	fake_ops[TD_OP_check] = 0;
}

static void too_many_parts(void **state)
{
	(void)state;
	check(another_part, "guarded", -TD_ETIMEDOUT);
	assert_int_equal(told, 0);
}

static void too_many_problems(void **state)
{
	(void)state;
	check(more_problems, "guarded", -TD_E2BIG);
	assert_int_equal(told, TD_CHECK_PROBLEMS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(too_many_parts),
		cmocka_unit_test(too_many_problems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
