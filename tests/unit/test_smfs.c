/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMFS over a fake kernel: each operation by itself, then against a model with a checker that
 * walks the whole device. A failure prints the seed and the step that replay it: SMFS_SEED=n,
 * SMFS_STEPS=n.
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

static const char *view_names[FK_VIEWS] = { "live", "snapshot", "far", "called", "unmapped" };

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

	return s && *s ? strtoull(s, 0, 0) : otherwise;
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
		model((struct run){ .blocks = 1150, .views = views });
	}
}

static void test_quota(void **state)
{
	(void)state;
	model((struct run){ .blocks = 1200, .maxfiles = 40 });
}

/* Each service of a call fails in turn, or ends the call; the journal undoes what it did. */
static void test_faults(void **state)
{
	(void)state;
	for (enum fk_views views = 0; views < FK_VIEWS; views++)
		model((struct run){ .blocks = 200, .views = views, .undo = 1, .faults = 3 });
}

/* ---- Size */

static const char *long_name(uint32_t i)
{
	static char name[64];

	snprintf(name, sizeof(name), "file-%u.txt", i);
	return name;
}

/*
 * Go through a directory; every name `i` with i % step == 0 must be there once. Returns how many
 * names there are.
 */
static uint32_t list(struct td_vnode *dir, uint32_t names, uint32_t step)
{
	uint8_t *seen = calloc(names, 1);
	uint32_t len, n = 0, i;
	uint64_t cookie = 0;

	do {
		assert_int_equal(s_readdir(dir, cookie, &len), 0);
		for (uint32_t at = 0; at < len; n++) {
			struct td_dirent *d = (void *)(DATA + at);
			assert_int_equal(sscanf((char *)(d + 1), "file-%u", &i), 1);
			assert_true(i < names && !seen[i]);
			seen[i] = 1;
			cookie = d->cookie;
			at += (uint32_t)sizeof(*d) + ((d->len + 7) & ~7u);
		}
	} while (len);
	for (i = 0; i < names; i += step)
		assert_true(seen[i]);
	free(seen);
	return n;
}

static void sound(void)
{
	const char *why = smfs_sound(fk.dev, fk.blocks, 0, 0);

	if (why)
		fail_msg("%s", why);
}

static void test_large_directory(void **state)
{
	enum { MANY = 100000 };
	uint64_t *fids = calloc(MANY, sizeof(*fids)), fid;
	uint64_t services = 0, written = 0, breads = 0;
	struct td_fsinfo empty, info;
	struct td_vnode v;

	(void)state;
	start(20000, FK_LIVE);
	fk.undo = 0;
	s_statfs(&empty);
	for (uint32_t i = 0; i < MANY; i++) {
		assert_int_equal(s_create(&root, long_name(i), TD_REG, &v), 0);
		fids[i] = v.fid;
		services += fk.services;
		written += fk.written;
		breads += fk.breads;
	}
	print_message("create: %.1f services (%.1f breads), %.0f bytes\n", (double)services / MANY,
		      (double)breads / MANY, (double)written / MANY);
	assert_true(services / MANY <= 20);
	assert_true(written / MANY <= 600);
	sound();
	assert_int_equal(list(&root, MANY, 1), MANY);
	breads = services = 0;
	for (uint32_t i = 0; i < MANY; i += 7) {
		assert_int_equal(s_lookup(&root, long_name(i), &fid), 0);
		assert_int_equal(fid, fids[i]);
		assert_int_equal(fk.written, 0);
		assert_true(fk.breads <= 5);
	}
	services = written = 0;
	for (uint32_t i = 0; i < MANY; i++) {
		if (i % 10 == 0)
			continue;
		assert_int_equal(s_getvnode(fids[i], &v), 0);
		assert_int_equal(s_unlink(&root, long_name(i), &v), 0);
		services += fk.services;
		written += fk.written;
		assert_int_equal(s_inactive(&v), 0);
		services += fk.services;
		written += fk.written;
	}
	print_message("unlink and inactive: %.1f services, %.0f bytes\n",
		      (double)services / MANY / 0.9, (double)written / MANY / 0.9);
	sound();
	assert_int_equal(list(&root, MANY, 10), MANY / 10);
	for (uint32_t i = 0; i < MANY; i += 10) {
		assert_int_equal(s_getvnode(fids[i], &v), 0);
		assert_int_equal(s_unlink(&root, long_name(i), &v), 0);
		assert_int_equal(s_inactive(&v), 0);
	}
	sound();
	s_statfs(&info);
	assert_memory_equal(&info, &empty, sizeof(info));
	free(fids);
	fk_close();
}

/* A name that stays is listed once, though others come and go between the calls. */
static void test_readdir_changes(void **state)
{
	struct td_vnode v;
	uint32_t len, kept = 0, next = 3000;
	uint64_t cookie = 0;

	(void)state;
	start(4096, FK_SNAPSHOT);
	for (uint32_t i = 0; i < 3000; i++)
		assert_int_equal(s_create(&root, long_name(i), TD_FIFO, &v), 0);
	s_out_size = 1000;
	for (;;) {
		uint32_t i, gone[64], n = 0;
		assert_int_equal(s_readdir(&root, cookie, &len), 0);
		if (!len)
			break;
		for (uint32_t at = 0; at < len;) {
			struct td_dirent *d = (void *)(DATA + at);
			assert_int_equal(sscanf((char *)(d + 1), "file-%u", &i), 1);
			kept += i < 3000 && i % 2;
			if (i < 3000 && i % 2 == 0)
				gone[n++] = i;
			cookie = d->cookie;
			at += (uint32_t)sizeof(*d) + ((d->len + 7) & ~7u);
		}
		for (uint32_t j = 0; j < n; j++) { /* names with even numbers go, others come */
			uint64_t fid;
			assert_int_equal(s_lookup(&root, long_name(gone[j]), &fid), 0);
			assert_int_equal(s_getvnode(fid, &v), 0);
			assert_int_equal(s_unlink(&root, long_name(gone[j]), &v), 0);
			assert_int_equal(s_inactive(&v), 0);
			if (next < 4000)
				assert_int_equal(s_create(&root, long_name(next++), TD_FIFO, &v),
						 0);
		}
	}
	s_out_size = TD_WINDOW;
	assert_int_equal(kept, 1500);
	sound();
	fk_close();
}

static uint32_t pieces(struct td_vnode *v, uint64_t lblk, uint64_t count)
{
	struct td_extent e[32];
	uint32_t n, pieces = 0;

	while (count) {
		assert_int_equal(s_bmap(v, lblk, count, e, &n), 0);
		for (uint32_t i = 0; i < n; i++) {
			pieces += e[i].state != TD_HOLE;
			lblk += e[i].count;
			count -= e[i].count;
		}
	}
	return pieces;
}

static void test_append(void **state)
{
	struct td_vnode a, b, v;
	struct td_extent e[32];
	uint64_t services = 0;
	uint32_t n;

	(void)state;
	start(262144, FK_LIVE); /* 1 GiB */
	assert_int_equal(s_create(&root, "a", TD_REG, &a), 0);
	for (uint32_t i = 0; i < 3000; i++) {
		assert_int_equal(s_balloc(&a, i, 1, e, &n), 0);
		assert_int_equal(e[0].state, TD_NEW);
		services += fk.services;
		assert_int_equal(s_create(&root, long_name(i), TD_REG, &v), 0);
	}
	print_message("balloc of one block: %.1f services\n", services / 3000.0);
	assert_int_equal(pieces(&a, 0, 3000), 1);
	/* A file in large steps; groups end, and their maps lie between. */
	assert_int_equal(s_create(&root, "b", TD_REG, &b), 0);
	for (uint64_t at = 0; at < 40000; at += e[n - 1].lblk + e[n - 1].count - at)
		assert_int_equal(s_balloc(&b, at, 4096, e, &n), 0);
	assert_in_range(pieces(&b, 0, 40000), 1, 20);
	assert_int_equal(s_bunmap(&b, 0, TD_TO_END), 0);
	assert_int_equal(b.blocks, 0);
	assert_int_equal(s_bmap(&b, 0, 5, e, &n), 0);
	assert_int_equal(e[0].state, TD_HOLE);
	sound();
	fk_close();
}

/* One block in each of many places of a file of a tebibyte, forwards, backwards and in between. */
static void test_sparse(void **state)
{
	enum { PLACES = 20000 };
	const uint64_t tebi = 1ull << 28;
	struct td_fsinfo empty, info;
	struct td_extent e[32];
	struct td_vnode v;
	uint32_t n;

	(void)state;
	start(65536, FK_LIVE);
	fk.undo = 0;
	s_statfs(&empty);
	assert_int_equal(s_create(&root, "sparse", TD_REG, &v), 0);
	for (uint64_t i = 0; i < PLACES; i++) {
		uint64_t k = i < PLACES / 4   ? i
			     : i < PLACES / 2 ? PLACES - 1 - (i - PLACES / 4)
					      : PLACES / 4 + (i - PLACES / 2) * 7919 % (PLACES / 2);
		assert_int_equal(s_balloc(&v, k * (tebi / PLACES), 1, e, &n), 0);
		assert_int_equal(n, 1);
		assert_int_equal(e[0].state, TD_NEW);
	}
	sound();
	assert_int_equal(pieces(&v, 0, tebi), PLACES);
	for (uint64_t i = 0; i < PLACES; i += 97) {
		assert_int_equal(s_bmap(&v, i * (tebi / PLACES), 1, e, &n), 0);
		assert_int_equal(e[0].state, TD_DATA);
		assert_true(fk.breads <= 8);
	}
	assert_int_equal(s_bunmap(&v, tebi / 3, tebi / 3), 0);
	sound();
	assert_int_equal(s_unlink(&root, "sparse", &v), 0);
	assert_int_equal(s_inactive(&v), 0);
	sound();
	s_statfs(&info);
	assert_memory_equal(&info, &empty, sizeof(info));
	fk_close();
}

/* Devices of all sizes are formatted and mounted again; few blocks are touched. */
static void test_sizes(void **state)
{
	static const uint64_t sizes[] = { 1,	   2,	       4,
					  5,	   6,	       7,
					  64,	   256,	       1023,
					  1024,	   1025,       1026,
					  1027,	   1028,       1029,
					  2049,	   65536,      65537,
					  1 << 18, 1 << 21,    (1 << 21) + 3,
					  1 << 28, 1ull << 32, (1ull << 32) + 12345 };
	struct td_fsinfo info, again;
	struct td_vnode v;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fk_open(sizes[i], FK_LIVE);
		int err = s_mount(0, 1, &info);
		if (sizes[i] < 5) {
			assert_int_equal(err, -TD_ENOSPC);
			fk_close();
			continue;
		}
		assert_int_equal(err, 0);
		assert_true(fk.services < 600);
		assert_true(info.bfree <= info.blocks && info.blocks <= sizes[i] && info.ffree);
		assert_true(sizes[i] < 256 || info.blocks > sizes[i] - sizes[i] / 20);
		s_getvnode(info.root, &root);
		assert_int_equal(s_create(&root, "x", TD_DIR, &v), 0);
		if (sizes[i] <= 1 << 21)
			sound();
		fk_restart();
		assert_int_equal(s_mount(0, 0, &again), 0);
		assert_int_equal(again.root, info.root);
		assert_true(again.files - again.ffree == info.files - info.ffree + 1);
		assert_int_equal(s_mount(info.blocks, 0, &again), -TD_EUCLEAN);
		fk_close();
	}
}

static void test_other_media(void **state)
{
	struct td_fsinfo info;

	(void)state;
	start(256, FK_LIVE);
	fk.dev[9]++;
	assert_int_equal(s_mount(0, 1, &info), -TD_EUCLEAN);
	fk.dev[0]++;
	assert_int_equal(s_mount(0, 1, &info), -TD_EMEDIUMTYPE);
	memset(fk.dev, 0, 4096);
	fk.dev[4095] = 1;
	assert_int_equal(s_mount(0, 1, &info), -TD_EMEDIUMTYPE);
	fk_close();
}

static void test_limits(void **state)
{
	struct td_vnode v, d;
	char target[5000], name[256];
	struct td_extent e[32];
	uint32_t n;

	(void)state;
	start(1024, FK_LIVE);
	memset(target, 'x', sizeof(target));
	target[4096] = 0;
	assert_int_equal(s_symlink(&root, "l", target, &v), -TD_ENAMETOOLONG);
	target[4095] = 0;
	assert_int_equal(s_symlink(&root, "l", target, &v), 0);
	memset(name, 'n', 255);
	name[255] = 0;
	assert_int_equal(s_create(&root, name, TD_REG, &v), 0);
	assert_int_equal(s_setxattr(&v, name, DATA, 65537, 0), -TD_E2BIG);
	assert_int_equal(s_bmap(&v, 1ull << 51, 1, e, &n), -TD_EFBIG);
	assert_int_equal(s_balloc(&v, 1ull << 51, 1, e, &n), -TD_EFBIG);
	assert_int_equal(s_balloc(&v, (1ull << 51) - 1, 1, e, &n), 0);
	v.nlink = 2147483647;
	assert_int_equal(s_link(&root, "m", &v), -TD_EMLINK);
	root.nlink = 2147483647;
	assert_int_equal(s_create(&root, "d", TD_DIR, &d), -TD_EMLINK);
	assert_int_equal(s_getvnode(0, &v), -TD_ESTALE);
	assert_int_equal(s_getvnode(1ull << 63, &v), -TD_ESTALE);
	assert_int_equal(s_getvnode(d.fid + 1, &v), -TD_ESTALE);
	fk_close();
}

/* ---- Damage */

/*
 * Use all of what lies on the device, whatever it is. No answer is wrong; crashing and running on
 * are.
 */
static void use_damaged(uint64_t seed)
{
	struct td_vnode seen[40], v, w;
	uint64_t found = 0;
	static uint8_t value[65536];
	struct td_extent e[32];
	struct td_fsinfo info;
	uint32_t n = 1, len, count;

	if (s_mount(0, 0, &info) || s_getvnode(info.root, &seen[0]))
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t cookie = 0;
		for (int turn = 0; turn < 20 && !s_readdir(&seen[i], cookie, &len) && len; turn++)
			for (uint32_t at = 0; at < len;) {
				struct td_dirent *d = (void *)(s_frame + 4096 + at);
				uint8_t saved[4096 + 65536];
				cookie = d->cookie;
				at += (uint32_t)sizeof(*d) + ((d->len + 7) & ~7u);
				memcpy(saved, s_frame, sizeof(saved));
				if (n < 40 && !s_getvnode(d->fid, &v))
					seen[n++] = v;
				memcpy(s_frame, saved, sizeof(saved));
			}
	}
	for (uint32_t i = 0; i < n; i++) {
		v = seen[i];
		len = sizeof(value);
		s_listxattr(&v, (char *)value, &len);
		len = sizeof(value);
		s_getxattr(&v, "user.0", value, &len);
		s_setxattr(&v, "user.1", value, 9000, 0);
		s_removexattr(&v, "user.0");
		if (v.type == TD_LNK)
			s_readlink(&v, (char *)value);
		if (v.type == TD_REG) {
			s_bmap(&v, 0, 1 << 20, e, &count);
			s_balloc(&v, seed % 100, 50, e, &count);
			s_bunmap(&v, seed % 50, 10);
		}
		if (v.type == TD_DIR) {
			s_create(&v, "new", TD_REG, &w);
			s_create(&v, "newer", TD_DIR, &w);
			s_rename(&v, "new", &v, "newest", &w, 0, 0);
			s_lookup(&v, "file-1.txt", &found);
			if (!s_getvnode(found, &w))
				s_unlink(&v, "file-1.txt", &w);
		}
		if (i)
			s_inactive(&v);
	}
}

static void furnish(void)
{
	struct td_vnode v, d;
	struct td_extent e[32];
	char target[1000] = "";
	uint32_t n;

	start(400, FK_SNAPSHOT);
	for (uint32_t i = 0; i < 250; i++)
		assert_int_equal(s_create(&root, long_name(i), TD_SOCK, &v), 0);
	assert_int_equal(s_create(&root, "d", TD_DIR, &d), 0);
	assert_int_equal(s_create(&d, "f", TD_REG, &v), 0);
	for (uint32_t i = 0; i < 150; i += 2)
		assert_int_equal(s_balloc(&v, i, 1, e, &n), 0);
	assert_int_equal(s_setxattr(&v, "user.0", fk.dev, 20000, 0), 0);
	assert_int_equal(s_setxattr(&d, "user.0", fk.dev, 100, 0), 0);
	assert_int_equal(s_symlink(&d, "short", "target", &v), 0);
	memset(target, 'x', sizeof(target) - 1);
	assert_int_equal(s_symlink(&d, "long", target, &v), 0);
	sound();
}

static void test_damage(void **state)
{
	uint64_t rounds = number("SMFS_DAMAGE", 200), seed = number("SMFS_SEED", 1),
		 size = 400 * 4096;
	uint8_t *image = malloc(size);

	(void)state;
	furnish();
	memcpy(image, fk.dev, size);
	for (uint64_t i = 0; i < rounds; i++, seed++) {
		memcpy(fk.dev, image, size);
		srandom((unsigned)seed);
		for (long hits = 1 + random() % 8; hits;) {
			uint64_t blk = (uint64_t)random() % 400,
				 at = blk * 4096 + (uint64_t)random() % (random() % 2 ? 300 : 4096);
			uint64_t any;
			memcpy(&any, image + at / 8 * 8, 8);
			if (!blk || !any) /* only what is in use */
				continue;
			fk.dev[at] = random() % 2 ? fk.dev[at] ^ (uint8_t)(1 << random() % 8)
						  : (uint8_t)random();
			hits--;
		}
		fk.views = (enum fk_views)(seed % FK_VIEWS);
		fk_restart();
		use_damaged(seed);
	}
	free(image);
	fk_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_large_directory),
		cmocka_unit_test(test_readdir_changes),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_other_media),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_damage),
	};

	if (getenv("SMFS_TEST"))
		cmocka_set_test_filter(getenv("SMFS_TEST"));
	return cmocka_run_group_tests(tests, 0, 0);
}
