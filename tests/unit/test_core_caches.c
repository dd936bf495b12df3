/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel remembers: extents and names, each against a model, with random steps. A failure prints the seed; CACHES_SEED=n
 * replays it.
 */
#include "test_core_fake.h"

enum { LBLKS = 300 };

static uint64_t seed;

static uint32_t below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed * 0x2545f4914f6cdd1dull >> 32) * n >> 32);
}

/* ---- Extents. The model: for each block of the file, where it lies; 0: unknown, 1: a hole. */

static uint64_t model[LBLKS];

static struct td_extent random_extent(void)
{
	struct td_extent e = { .lblk = below(LBLKS), .state = below(3) };

	e.count = 1 + below(LBLKS - (uint32_t)e.lblk < 40 ? LBLKS - (uint32_t)e.lblk : 40);
	/* Often such that neighbours adjoin on the device, too. */
	e.pblk = e.state == TD_HOLE ? 0 : below(2) ? 1000 + e.lblk : 2000 + below(500);
	return e;
}

static void add(struct td__vnode *v)
{
	struct td_extent e = random_extent();

	td__extents_add(v, &e, 1);
	for (uint32_t i = 0; i < e.count; i++)
		model[e.lblk + i] = e.state == TD_HOLE ? 1 : e.pblk + i;
}

static void cut(struct td__vnode *v)
{
	uint64_t lblk = below(LBLKS), count = below(5) ? below(50) : TD_TO_END;

	td__extents_cut(v, lblk, count);
	for (uint64_t b = lblk; b < LBLKS && b - lblk < count; b++)
		model[b] = 0;
}

static void check_extents(const struct td__vnode *v)
{
	for (uint32_t i = 0; i < v->nextents; i++) {
		const struct td_extent *e = &v->extents[i];

		assert_true(e->count && (e->state == TD_HOLE || e->state == TD_DATA));
		assert_true(!i || e[-1].lblk + e[-1].count <= e->lblk);
	}
	for (uint64_t b = 0; b < LBLKS; b++) {
		const struct td_extent *e = td__extent_find(v, b);
		uint64_t is = !e ? 0 : e->state == TD_HOLE ? 1 : e->pblk + (b - e->lblk);

		if (is != model[b])
			fail_msg("block %llu: %llu, not %llu", (unsigned long long)b, (unsigned long long)is, (unsigned long long)model[b]);
	}
}

static void test_extents(void **state)
{
	static struct td__vnode v;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		if (below(3))
			add(&v);
		else
			cut(&v);
		if (!below(500)) {
			td__extents_drop(&v);
			memset(model, 0, sizeof(model));
		}
		check_extents(&v);
	}
	td__extents_drop(&v);
}

/* At the far end of the numbers. */
static void test_far_extents(void **state)
{
	static struct td__vnode v;
	const uint64_t far = 2251799813685247ull;
	struct td_extent e = { far - 5, 100, 6, TD_DATA }, big = { 10, 0, 0xffffffff, TD_HOLE };

	(void)state;
	td__extents_add(&v, &e, 1);
	td__extents_add(&v, &big, 1);
	assert_non_null(td__extent_find(&v, far));
	assert_null(td__extent_find(&v, far + 1));
	assert_non_null(td__extent_find(&v, 10 + 0xfffffffeull));
	td__extents_cut(&v, far - 2, TD_TO_END);
	assert_null(td__extent_find(&v, far - 2));
	assert_non_null(td__extent_find(&v, far - 3));
	td__extents_cut(&v, 5, TD_TO_END);
	assert_int_equal(v.nextents, 0);
	/* Two that adjoin, but are too long for one. */
	td__extents_add(&v, &big, 1);
	big.lblk += 0xffffffff;
	td__extents_add(&v, &big, 1);
	assert_int_equal(v.nextents, 2);
	td__extents_drop(&v);
}

/* Over the limit everything is forgotten but the newest: never wrong, only less. */
static void test_many_extents(void **state)
{
	static struct td__vnode v;

	(void)state;
	for (uint64_t i = 0; i < 3 * TD__EXTENTS_MAX; i++) {
		struct td_extent e = { 2 * i, 10 + 3 * i, 1, TD_DATA };
		const struct td_extent *found;

		td__extents_add(&v, &e, 1);
		found = td__extent_find(&v, 2 * i);
		assert_true(found && found->pblk == e.pblk);
		assert_true(v.nextents <= TD__EXTENTS_MAX);
	}
	td__extents_drop(&v);
}

/* ---- Names. The model: what each name stands for; 0: not there, NEVER: nothing was said about it. */

enum { NAMES = 200, DIRS = 3 };
static const uint64_t NEVER = ~0ull;

static struct td_name name_at(int i, char text[256])
{
	int n = snprintf(text, 256, i % 4 ? "n%d" : "a-name-that-is-longer-than-what-is-remembered-%0100d", i);

	return (struct td_name){ (uint8_t *)text, (uint32_t)n };
}

static void check_name(struct td__vnode *dir, struct td_name name, uint64_t should)
{
	uint64_t fid = 0;
	int known = td__name_get(dir, name, &fid);

	if (known == TD__NAME_KNOWN)
		assert_true(should != NEVER && should && fid == should);
	else if (known == TD__NAME_ABSENT)
		assert_true(!should || should == NEVER); /* NEVER: a new directory, where all names are known */
}

static void test_names(void **state)
{
	struct td__fs *fs = fake_mount("trusted");
	static struct td__vnode dirs[DIRS];
	static uint64_t stands[DIRS][NAMES];
	uint64_t hits = 0;
	char text[256];

	(void)state;
	for (int d = 0; d < DIRS; d++) {
		dirs[d].fs = fs;
		dirs[d].handle = (5ull << 32) + (uint64_t)d + 2;
		for (int i = 0; i < NAMES; i++)
			stands[d][i] = NEVER;
	}
	td__names_begin(&dirs[2], 1); /* a new one */
	for (int step = 0; step < 200000; step++) {
		int d = (int)below(DIRS), i = (int)below(NAMES);
		struct td_name name = name_at(i, text);
		uint64_t fid;

		if (!below(3)) {
			stands[d][i] = below(2) ? 1 + below(1000) : 0;
			td__name_set(&dirs[d], name, stands[d][i]);
		} else {
			check_name(&dirs[d], name, stands[d][i]);
			hits += td__name_get(&dirs[d], name, &fid) != TD__NAME_UNKNOWN;
		}
	}
	assert_true(hits > 50000); /* it is of some use */
	/* The same vnode with another generation is another directory. */
	td__names_forget(&dirs[2]);
	for (int d = 0; d < DIRS; d++) {
		uint64_t fid;

		dirs[d].handle += 1ull << 32;
		for (int i = 0; i < NAMES; i++)
			assert_int_equal(td__name_get(&dirs[d], name_at(i, text), &fid), TD__NAME_UNKNOWN);
	}
	td_unmount(fs);
}

static struct td_name numbered(const char *stem, int i, char text[64])
{
	return (struct td_name){ (uint8_t *)text, (uint32_t)snprintf(text, 64, "%s-%07d.dat", stem, i) };
}

/* A new directory with many more names than one filter takes: none of them is denied, and nearly every other name is. */
static void test_full_directory(void **state)
{
	enum { MANY = 100000 };
	struct td__fs *fs = fake_mount("trusted");
	static struct td__vnode dir;
	int unknown = 0;
	char text[64];
	uint64_t fid;

	(void)state;
	dir.fs = fs;
	dir.handle = 7ull << 32 | 2;
	td__names_begin(&dir, 1);
	for (int i = 0; i < MANY; i++) {
		unknown += td__name_get(&dir, numbered("other", i, text), &fid) != TD__NAME_ABSENT;
		td__name_set(&dir, numbered("name", i, text), (uint64_t)i + 2);
	}
	for (int i = 0; i < MANY; i++) {
		int known = td__name_get(&dir, numbered("name", i, text), &fid);

		assert_true(known == TD__NAME_UNKNOWN || (known == TD__NAME_KNOWN && fid == (uint64_t)i + 2));
	}
	assert_in_range(unknown, 0, MANY / 100);
	td__names_forget(&dir);
	td_unmount(fs);
}

/* Files that are made with blocks and are gone soon, more of them than the ring has room for: the one that stays keeps its blocks. */
static void test_short_lives(void **state)
{
	enum { MANY = 200000 };
	struct td__fs *fs = fake_mount("trusted");
	static struct td__vnode v, stays;
	struct td__vnode *both[] = { &stays, &v };

	(void)state;
	for (int i = 0; i < 2; i++) {
		both[i]->fs = fs;
		both[i]->fid = 100 + (uint64_t)i;
		td__rwlock_init(&both[i]->lock);
	}
	for (int i = 0; i < MANY; i++) {
		struct td__vnode *made = both[i > 0];

		td__rwlock_exclusive(&made->lock);
		made->ahead_end = 2;
		td__ahead_unlock(made);
		if (i)
			td__ahead_forget(made);
	}
	assert_int_equal(stays.ahead_at, 1);
	assert_int_equal(fs->ahead.first, 0);
	assert_int_equal(fs->ahead.blocks, fs->ahead.ring[0].blocks);
	assert_int_equal(fs->ahead.ring[0].fid, stays.fid);
	td__ahead_forget(&stays);
	assert_int_equal(fs->ahead.blocks, 0);
	td_unmount(fs);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_extents), cmocka_unit_test(test_far_extents),
					    cmocka_unit_test(test_many_extents), cmocka_unit_test(test_names),
					    cmocka_unit_test(test_full_directory), cmocka_unit_test(test_short_lives) };
	const char *given = getenv("CACHES_SEED");

	seed = given ? strtoull(given, 0, 0) : 4711;
	print_message("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, 0, 0);
}
