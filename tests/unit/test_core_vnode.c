/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of vnodes: stale handles, generations, references of many threads; and the bounds of records. */
#include <pthread.h>

#include "fs_gateway.h"
#include "test_core_fake.h"

/* ---- Handles */

static uint32_t freed; /* how often the module was told of the end of a vnode */

static int inactive(struct td__call *c)
{
	struct td_frame_inactive *f = (void *)c->frame;
	const struct td_vnode *v = td__at(f, f->v_at);

	/* What is going has no handle any more that anybody could use. */
	assert_null(td__vnode_get(c->fs, v->handle));
	assert_int_equal(td__svc_do_vref(c, v->handle), -TD_ESTALE);
	freed++;
	return 0;
}

static uint32_t failing; /* so often it cannot */

static int inactive_fails(struct td__call *c)
{
	if (!failing)
		return inactive(c);
	failing--;
	return -TD_EIO;
}

static int nameless(struct td__call *c)
{
	struct td_frame_getvnode *f = (void *)c->frame;
	struct td_vnode *v = td__at(f, f->v_at);

	v->type = f->fid == 1 ? TD_DIR : TD_REG;
	v->nlink = f->fid == 1;
	return 0;
}

static int setup(void **state)
{
	memset(fake_ops, 0, sizeof(fake_ops));
	fake_ops[TD_OP_inactive] = inactive;
	freed = 0;
	*state = fake_mount("guarded");
	return 0;
}

static int teardown(void **state)
{
	return td_unmount(*state);
}

static void test_handles(void **state)
{
	struct td__fs *fs = *state;
	struct td__vnode *v, *again;
	td_attr a;
	td_handle h;

	assert_int_equal(td__vnode_by_fid(fs, 7, &v), 0);
	h = td__vnode_handle(v);
	assert_int_equal(td_getattr(fs, h, &a), 0);
	assert_true(a.fid == 7 && a.handle == h);
	assert_int_equal(td__vnode_by_fid(fs, 7, &again), 0);
	assert_ptr_equal(v, again);
	assert_int_equal(v->refs, 2);
	td_forget(fs, h, 1);
	assert_int_equal(td_ref(fs, h), 0);
	td_forget(fs, h, 100); /* more than there are */
	assert_int_equal(v->refs, 0);
	assert_int_equal(td_getattr(fs, h, &a), -TD_ESTALE);
	assert_int_equal(td__vnode_by_fid(fs, 7, &again), 0); /* it was still cached */
	assert_ptr_equal(v, again);
	td_forget(fs, h, 1);
	assert_int_equal(td__vnode_by_fid(fs, 2000, &v), -TD_ESTALE);
	assert_int_equal(td__vnode_by_fid(fs, 0, &v), -TD_EIO);
}

static void lose(struct td__fs *fs, uint64_t fid)
{
	struct td__vnode *v;

	assert_int_equal(td__vnode_by_fid(fs, fid, &v), 0);
	failing = 1;
	td__vnode_put(v, 1);
}

/* What could not be freed is tried again: by who asks how full it is, now and then, and when the level changes. */
static void test_freed_later(void **state)
{
	struct td__fs *fs = *state;
	struct td_fsinfo info;
	char why[100];

	fake_ops[TD_OP_inactive] = inactive_fails;
	fake_ops[TD_OP_getvnode] = nameless;
	lose(fs, 7);
	assert_int_equal(freed, 0);
	assert_int_equal(td_statfs(fs, &info), 0);
	assert_int_equal(freed, 1);
	lose(fs, 8);
	lose(fs, 9);
	assert_int_equal(td_statfs(fs, &info), 0);
	assert_int_equal(freed, 1); /* too soon */
	assert_int_equal(td_set_level(fs, &fs->domain->level, 0, why, sizeof(why)), 0);
	assert_int_equal(freed, 3);
	assert_int_equal(td_statfs(fs, &info), 0);
	assert_int_equal(freed, 3);
}

static void test_bad_handles(void **state)
{
	static const td_handle bad[] = { 0, 1, 2, 0xffffffff, ~0ull, 1ull << 63, 5ull << 32, 1ull << 32 | 1000, 1ull << 32 | 0x3ffffff };
	struct td__fs *fs = *state;
	td_attr a;

	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (bad[i] == td_fs_root(fs))
			continue;
		assert_int_equal(td_getattr(fs, bad[i], &a), -TD_ESTALE);
		assert_int_equal(td_ref(fs, bad[i]), -TD_ESTALE);
		td_forget(fs, bad[i], 1);
	}
}

/* The place of a vnode that has ended is used again, under another handle. */
static void test_generations(void **state)
{
	struct td__fs *fs = *state;
	td_handle last = 0;

	for (uint32_t i = 0; i < 50; i++) {
		struct td__vnode *v;
		td_attr a;

		assert_int_equal(td__vnode_by_fid(fs, 9, &v), 0);
		assert_int_not_equal(td__vnode_handle(v), last);
		assert_true(!last || (uint32_t)td__vnode_handle(v) == (uint32_t)last);
		assert_int_equal(last ? td_getattr(fs, last, &a) : -TD_ESTALE, -TD_ESTALE);
		last = td__vnode_handle(v);
		v->rec.nlink = 0;
		td__vnode_dirty(v); /* a record without a name need not be written */
		td__vnode_put(v, 1);
		assert_int_equal(freed, i + 1);
	}
	assert_int_equal(td_sync(fs), 0);
}

static void test_failed_load(void **state)
{
	struct td__fs *fs = *state;
	uint64_t before = td__vnodes_count(fs);
	struct td__vnode *v;

	for (uint64_t fid = 1001; fid < 4000; fid++)
		assert_int_equal(td__vnode_by_fid(fs, fid, &v), -TD_ESTALE);
	assert_int_equal(td__vnodes_count(fs), before);
	assert_int_equal(fs->nvnodes, TD__CHUNK);
}

/* ---- Many threads */

enum { THREADS = 4, ROUNDS = 20000, FIDS = 8 };

static void *get_and_put(void *arg)
{
	struct td__fs *fs = arg;
	uint64_t x = (uintptr_t)&x * 0x9e3779b97f4a7c15ull | 1;

	for (int i = 0; i < ROUNDS; i++) {
		struct td__vnode *v, *same;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* Now and then one that is not there. */
		if (td__vnode_by_fid(fs, x % 50 ? 2 + x % FIDS : 5000 + x % FIDS, &v))
			continue;
		same = td__vnode_get(fs, td__vnode_handle(v));
		if (same != v)
			abort();
		td__vnode_put(same, 1);
		if (!(x % 11))
			td__vnode_dirty(v);
		td__vnode_put(v, 1);
		if (!(x % 1000))
			td__vnodes_update(fs);
	}
	return 0;
}

static void test_threads(void **state)
{
	struct td__fs *fs = *state;
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], 0, get_and_put, fs);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], 0);
	for (uint32_t i = 0; i < fs->nvnodes; i++) {
		const struct td__vnode *v = &fs->chunks[i / TD__CHUNK][i % TD__CHUNK];

		assert_true(v == fs->root ? v->refs == 1 : !v->refs);
	}
}

/* ---- Records: each field at its bounds */

static const struct td__limits limits = { 1000, 8000, 1ull << 40, 32000 };

#define FIELD(record, field, least, most, too_small, too_large)                                    \
	do {                                                                                       \
		__typeof__(r.field) keep = r.field;                                                \
		r.field = (__typeof__(keep))(least);                                               \
		assert_null(td__check_##record(&r, &limits));                                               \
		r.field = (__typeof__(keep))(most);                                                \
		assert_null(td__check_##record(&r, &limits));                                               \
		if (too_small) {                                                                   \
			r.field = (__typeof__(keep))((uint64_t)(least) - 1);                       \
			assert_non_null(td__check_##record(&r, &limits));                                   \
		}                                                                                  \
		if (too_large) {                                                                   \
			r.field = (__typeof__(keep))((uint64_t)(most) + 1);                        \
			assert_non_null(td__check_##record(&r, &limits));                                   \
		}                                                                                  \
		r.field = keep;                                                                    \
	} while (0)

#define TIME(field)                                                                                \
	do {                                                                                       \
		FIELD(vnode, field.sec, -67768040609740800ll, 67767976233532799ll, 1, 1);          \
		FIELD(vnode, field.nsec, 0, 999999999, 0, 1);                                      \
		FIELD(vnode, field.pad, 0, 0, 0, 1);                                               \
	} while (0)

static void test_vnode_record(void **state)
{
	struct td_vnode r = { .fid = 1, .type = TD_REG };

	(void)state;
	FIELD(vnode, size, 0, limits.maxsize, 0, 1);
	FIELD(vnode, blocks, 0, limits.units, 0, 1);
	FIELD(vnode, mode, 0, 4095, 0, 1);
	FIELD(vnode, nlink, 0, limits.maxlink, 0, 1);
	FIELD(vnode, uid, 0, 0xffffffff, 0, 0);
	FIELD(vnode, gid, 0, 0xffffffff, 0, 0);
	FIELD(vnode, rdev, 0, 0xffffffff, 0, 0);
	FIELD(vnode, generation, 0, 0xffffffff, 0, 0);
	TIME(atime);
	TIME(mtime);
	TIME(ctime);
	TIME(btime);
}

static void test_fixed(void **state)
{
	struct td_vnode was = { .handle = 1ull << 32 | 5, .fid = 7, .type = TD_DIR }, is = was;

	(void)state;
	is.size = 5;
	is.mode = 0700;
	assert_null(td__fixed_vnode(&was, &is));
	is.handle++;
	assert_string_equal(td__fixed_vnode(&was, &is), "handle");
	is = was;
	is.fid++;
	assert_string_equal(td__fixed_vnode(&was, &is), "fid");
	is = was;
	is.type = TD_REG;
	assert_string_equal(td__fixed_vnode(&was, &is), "type");
	is = was;
	is.flags = TD_VNODE_OPEN;
	assert_string_equal(td__fixed_vnode(&was, &is), "flags");
	/* Whatever a record brings, these three stay. */
	is = (struct td_vnode){ 9, 9, 9, 9, { 9, 9, 0 }, { 9, 9, 0 }, { 9, 9, 0 }, { 9, 9, 0 }, 9, 9, 9, 9, 9, 9, 9, 0 };
	td__record_take(&was, &is);
	assert_true(was.handle == (1ull << 32 | 5) && was.fid == 7 && was.type == TD_DIR);
	assert_true(was.size == 9 && was.blocks == 9 && was.btime.nsec == 9 && was.mode == 9 && was.generation == 9);
}

static void test_extent_record(void **state)
{
	struct td_extent r = { .count = 1 };

	(void)state;
	FIELD(extent, lblk, 0, 2251799813685247ull, 0, 1);
	FIELD(extent, pblk, 0, limits.blocks, 0, 1);
	FIELD(extent, count, 1, 0xffffffff, 1, 0);
	FIELD(extent, state, 0, 2, 0, 1);
}

/* A call may change what its operation's description names, and no more. Bit 1 is `blocks`, the second field that is not fixed. */
static void changes_of_records(void **state)
{
	const struct td__may blocks = { 2, 0, 0, 0 }, link = { 0, 1, 1, 0 }, gone = { 0, 0, 0, 1 }, any = { ~0u, -128, 127, 0 };
	struct td_vnode was = { .nlink = 2 }, is = was;

	(void)state;
	assert_null(td__change_vnode(&blocks, &was, &is));
	is.blocks = 8;
	assert_null(td__change_vnode(&blocks, &was, &is));
	assert_string_equal(td__change_vnode(&link, &was, &is), "nlink");
	is.mtime.nsec = 1;
	assert_string_equal(td__change_vnode(&blocks, &was, &is), "mtime");
	is = was;
	is.nlink = 3;
	assert_null(td__change_vnode(&link, &was, &is));
	assert_string_equal(td__change_vnode(&blocks, &was, &is), "nlink");
	assert_string_equal(td__change_vnode(&gone, &was, &is), "nlink");
	is.nlink = 0;
	assert_null(td__change_vnode(&gone, &was, &is));
	assert_string_equal(td__change_vnode(&link, &was, &is), "nlink");
	is.uid = 7;
	is.size = 1;
	assert_null(td__change_vnode(&any, &was, &is));
}

/* Some errors are for file systems only that others change, too. */
static void errors_of_operations(void **state)
{
	(void)state;
	assert_true(td__op_may_fail(TD_OP_create, TD_ENOSPC, 0));
	assert_false(td__op_may_fail(TD_OP_unlink, TD_ENOENT, 0));
	assert_true(td__op_may_fail(TD_OP_unlink, TD_ENOENT, 1));
	assert_false(td__op_may_fail(TD_OP_read, TD_EACCES, 0));
	assert_true(td__op_may_fail(TD_OP_read, TD_EACCES, 1));
	assert_false(td__op_may_fail(TD_OP_reclaim, TD_EIO, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_handles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_handles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_generations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
		cmocka_unit_test(test_vnode_record),
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_extent_record),
		cmocka_unit_test(changes_of_records),
		cmocka_unit_test(errors_of_operations),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
