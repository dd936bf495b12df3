/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The journal: whatever a call has written, in whatever order and however often, an error or a fault leaves the device as it was; and
 * a success leaves what was written last. And the counts of changes say which blocks are as they were. A failure prints the seed; JOURNAL_SEED=n replays it.
 */
#include "fs_gateway.h"
#include "test_core_fake.h"
#include "../../port/user/disk.h"

#include <unistd.h>

enum { BLOCKS = 6, BSIZE = 4096, WRITES = 40 };

static uint64_t seed, random_state;
static uint8_t model[BLOCKS * BSIZE];
static int outcome; /* of the operation: 0, an error, or 1: a fault */
static uint32_t attempts;

static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state * 0x2545f4914f6cdd1dull >> 32) * n >> 32);
}

static uint8_t *device(struct td__call *c)
{
	return td__device_at(c->fs->device, 1);
}

static void write_somewhere(struct td__call *c, uint32_t block, uint32_t handle)
{
	uint32_t off = below(BSIZE), len = below(BSIZE - off + 1), to = below(BSIZE - len + 1);
	uint64_t changes = td__device_changes(c->fs->device, 1 + block);
	uint8_t *m = model + block * BSIZE, data[BSIZE];

	switch (below(3)) {
	case 0:
		memset(data, (int)below(256), sizeof(data));
		assert_int_equal(td__svc_do_buf_write(c, handle, off, data, len), 0);
		memcpy(m + off, data, len);
		break;
	case 1:
		assert_int_equal(td__svc_do_buf_fill(c, handle, off, len, 0x55), 0);
		memset(m + off, 0x55, len);
		break;
	default:
		assert_int_equal(td__svc_do_buf_move(c, handle, to, off, len), 0);
		memmove(m + to, m + off, len);
	}
	assert_int_equal(td__device_changes(c->fs->device, 1 + block), changes + 1); /* modules count along */
}

/* Open, change and close blocks at random; some are opened as fresh, some discarded, which is done at the end only. */
static int change(struct td__call *c)
{
	uint32_t opened[8] = { 0 }, discarded = 0, n = 1 + below(WRITES);

	attempts++;
	memcpy(model, device(c), sizeof(model));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = below(8), block = below(BLOCKS), fresh = !below(4), handle = index | ++opened[index] << 8;
		uint64_t view;

		assert_int_equal(td__svc_do_bread(c, handle, 1 + block, fresh, &view), 0);
		if (fresh)
			memset(model + block * BSIZE, 0, BSIZE);
		write_somewhere(c, block, handle);
		assert_int_equal(td__svc_do_brelse(c, handle), 0);
		assert_memory_equal(device(c), model, sizeof(model));
		if (!below(10)) {
			discarded |= 1u << block;
			assert_int_equal(td__svc_do_discard(c, 1 + block, 1), 0);
		}
	}
	for (uint32_t b = 0; b < BLOCKS; b++)
		if (discarded >> b & 1)
			memset(model + b * BSIZE, 0, BSIZE);
	if (outcome == 1)
		c->fault.kind = TD_FAULT_ACCESS;
	((struct td_frame_statfs *)c->frame)->info = c->fs->info;
	return outcome;
}

static void note_counts(const struct td__fs *fs, uint64_t counts[BLOCKS])
{
	for (uint32_t b = 0; b < BLOCKS; b++)
		counts[b] = td__device_changes(fs->device, 1 + b);
}

/* A block that is not what it was has another count. */
static void check_counts(const struct td__fs *fs, const uint64_t counts[BLOCKS], const uint8_t *before)
{
	for (uint32_t b = 0; b < BLOCKS; b++)
		if (memcmp(td__device_at(fs->device, 1 + b), before + b * BSIZE, BSIZE))
			assert_true(td__device_changes(fs->device, 1 + b) > counts[b]);
}

static void test_undo(void **state)
{
	static const int outcomes[] = { 0, -TD_EIO, 1 };
	struct td__fs *fs;
	static uint8_t before[BLOCKS * BSIZE];
	struct td_fsinfo info;
	uint64_t counts[BLOCKS];

	(void)state;
	fake_ops[TD_OP_statfs] = change;
	fs = fake_mount("guarded,restart=1000/1s");
	assert_int_equal(td__device_count(fs->device), 0);
	for (int i = 0; i < 500; i++) {
		const uint8_t *dev = td__device_at(fs->device, 1);
		int err;

		outcome = outcomes[below(3)];
		attempts = 0;
		memcpy(before, dev, sizeof(before));
		note_counts(fs, counts);
		err = td__fs_statfs(fs, &info);
		assert_int_equal(err, outcome ? -TD_EIO : 0);
		assert_int_equal(attempts, outcome == 1 ? 2 : 1);
		assert_memory_equal(dev, outcome ? before : model, sizeof(before));
		check_counts(fs, counts, before);
		for (uint32_t slot = 0; slot < TD__SLOTS; slot++)
			assert_int_equal(fs->calls[slot].journal.used, 0);
	}
	td_unmount(fs);
}

/* What the kernel does by itself is counted, too, and a great deal at once as a change of all blocks. */
static void test_counts(void **state)
{
	struct td__device *dev;
	uint64_t was;

	(void)state;
	assert_int_equal(td__device_create(10000, BSIZE, 0, 0, &dev), 0);
	assert_int_equal(td__device_count(dev), 0);
	was = td__device_changes(dev, 9);
	td__device_dirty(dev, 8, 2);
	td__device_changed(dev, 8, 2);
	assert_int_equal(td__device_changes(dev, 9), was + 1);
	td__device_discard(dev, 9, 1);
	assert_int_equal(td__device_changes(dev, 9), was + 2);
	td__device_zero(dev, 0, 10);
	assert_int_equal(td__device_changes(dev, 9), was + 3);
	td__device_discard(dev, 10, 9000);
	assert_int_equal(td__device_changes(dev, 10), was + 1);
	assert_int_equal(td__device_changes(dev, 9999), was + 1);
	assert_int_equal(td__device_count(dev), 0);
	assert_int_equal(td__device_changes(dev, 9999), was + 1);
	td__device_destroy(dev);
}

/* What the report of a fault says of it. */
static int three_writes(struct td__call *c)
{
	uint64_t view;

	td__svc_do_bread(c, 0 | 1 << 8, 3, 0, &view);
	td__svc_do_buf_fill(c, 0 | 1 << 8, 0, 10, 1);
	td__svc_do_buf_fill(c, 0 | 1 << 8, 100, 20, 2);
	td__svc_do_bread(c, 1 | 1 << 8, 4, 1, &view);
	c->fault.kind = TD_FAULT_ACCESS;
	return 0;
}

static void test_report(void **state)
{
	struct td_fsinfo info;
	struct td_fault f[4];
	struct td__fs *fs;

	(void)state;
	fake_ops[TD_OP_statfs] = three_writes;
	fs = fake_mount("guarded");
	assert_int_equal(td__fs_statfs(fs, &info), -TD_EIO);
	assert_int_equal(td_get_faults(fs, 0, f, 4), 2);
	assert_true(f[0].number == 1 && f[0].attempt == 1 && f[1].attempt == 2);
	assert_int_equal(f[0].op, TD_OP_statfs);
	assert_int_equal(f[0].undone, 3);
	assert_int_equal(f[0].entries, 3);
	assert_int_equal(f[0].last[0].what, TD__ENTRY_ZEROED); /* newest first */
	assert_true(f[0].last[0].blkno == 4);
	assert_true(f[0].last[1].blkno == 3 && f[0].last[1].off == 100 && f[0].last[1].len == 20);
	assert_true(f[0].last[2].off == 0 && f[0].last[2].len == 10);
	assert_int_equal(td_get_faults(fs, 1, f, 4), 1);
	assert_int_equal(td_get_faults(fs, 2, f, 4), 0);
	td_unmount(fs);
}

/* A whole block of a disk that is not in memory is overwritten: what is undone is read from the disk again. */
static int overwrite(struct td__call *c)
{
	uint64_t view;

	assert_int_equal(td__device_present(c->fs->device, 5), 0);
	assert_int_equal(td__svc_do_bread(c, 0 | 1 << 8, 5, 1, &view), 0);
	assert_int_equal(td__svc_do_buf_fill(c, 0 | 1 << 8, 7, 10, 0x77), 0);
	assert_int_equal(td__device_at(c->fs->device, 5)[7], 0x77);
	((struct td_frame_statfs *)c->frame)->info = c->fs->info;
	if (outcome == 1)
		c->fault.kind = TD_FAULT_ACCESS;
	return outcome;
}

static void test_absent(void **state)
{
	static const int outcomes[] = { -TD_EIO, 1 };
	uint8_t block[BSIZE];
	char path[64], why[128];
	struct td_fsinfo info;
	struct td__disk *disk;
	struct td__fs *fs;
	uint64_t bytes;
	int blank;

	(void)state;
	snprintf(path, sizeof(path), "test_core_journal-%d.img", (int)getpid());
	assert_int_equal(td__port_disk_open(path, 64 * BSIZE, 0, &disk, &bytes, &blank, why, sizeof(why)), 0);
	unlink(path);
	memset(block, 0x5a, sizeof(block));
	assert_int_equal(td__port_disk_write(disk, 5 * BSIZE, block, BSIZE), 0);
	fake_ops[TD_OP_statfs] = overwrite;
	fs = fake_mount_disk("guarded,restart=1000/1s", disk);
	for (int i = 0; i < 2; i++) {
		outcome = outcomes[i];
		assert_int_equal(td__fs_statfs(fs, &info), -TD_EIO);
		assert_int_equal(td__device_present(fs->device, 5), 0);
	}
	assert_int_equal(td__device_load(fs->device, 5, 1), 0);
	assert_memory_equal(td__device_at(fs->device, 5), block, BSIZE);
	td_unmount(fs);
}

/* Each unlike mistake is written down once, with its place; what is left behind gets it when the operation is traced. */
static int careless(struct td__call *c)
{
	uint64_t view;

	fake_place = 0x100;
	td__svc_do_brelse(c, 5);
	fake_place = 0x200;
	td__svc_do_brelse(c, 6);
	td__svc_do_brelse(c, 6);
	fake_place = 0x300;
	assert_int_equal(td__svc_do_bread(c, 0 | 1 << 8, 3, 0, &view), 0);
	((struct td_frame_statfs *)c->frame)->info = c->fs->info;
	return 0;
}

static void test_mistakes(void **state)
{
	struct td_fsinfo info;
	struct td_fault m[8];
	struct td__fs *fs;

	(void)state;
	fake_ops[TD_OP_statfs] = careless;
	fs = fake_mount("guarded,mistakes=100");
	assert_int_equal(td__fs_statfs(fs, &info), 0);
	assert_int_equal(td_get_mistakes(fs, 0, m, 8), 3);
	assert_true(m[0].pc == 0x100 && m[0].times == 1 && m[1].pc == 0x200 && m[1].times == 2);
	assert_true(m[0].mistake == TD_MISTAKE_HANDLE && m[0].which == 5 && !strcmp(m[0].object, "buf") && m[0].op == TD_OP_statfs);
	assert_true(m[2].mistake == TD_MISTAKE_BUF && m[2].which == 3 && m[2].pc == 0);
	assert_int_equal(td__fs_statfs(fs, &info), 0);
	assert_int_equal(td_get_mistakes(fs, 0, m, 8), 3);
	assert_true(m[0].times == 2 && m[1].times == 4 && m[2].times == 2 && m[2].pc == 0x300);
	assert_int_equal(td_get_mistakes(fs, 2, m, 8), 1);
	assert_int_equal(td_get_faults(fs, 0, m, 8), 0);
	td_unmount(fs);
}

/* Wrong handles and ranges are refused, counted, and change nothing; too many of them are a fault. */
static int misuse(struct td__call *c)
{
	uint64_t view;

	assert_int_equal(td__svc_do_buf_fill(c, 5, 0, 1, 1), -TD_ESTALE);
	assert_int_equal(td__svc_do_bread(c, 64 | 1 << 8, 1, 0, &view), -TD_EMFILE);
	assert_int_equal(td__svc_do_bread(c, 0 | 2 << 8, 1, 0, &view), -TD_EINVAL);
	assert_int_equal(td__svc_do_bread(c, 0 | 1 << 8, 64, 0, &view), -TD_EINVAL);
	assert_int_equal(td__svc_do_bread(c, 0 | 1 << 8, ~0ull, 0, &view), -TD_EINVAL);
	assert_int_equal(td__svc_do_bread(c, 0 | 1 << 8, 1, 0, &view), 0);
	assert_int_equal(td__svc_do_bread(c, 0 | 2 << 8, 1, 0, &view), -TD_EINVAL);
	assert_int_equal(td__svc_do_buf_fill(c, 0 | 1 << 8, 4096, 1, 1), -TD_EINVAL);
	assert_int_equal(td__svc_do_buf_fill(c, 0 | 1 << 8, 1, ~0u, 1), -TD_EINVAL);
	assert_int_equal(td__svc_do_buf_move(c, 0 | 1 << 8, 0, 4000, 97), -TD_EINVAL);
	assert_int_equal(td__svc_do_discard(c, 64, 1), -TD_EINVAL);
	assert_int_equal(td__svc_do_discard(c, 1, ~0ull), -TD_EINVAL);
	assert_int_equal(td__svc_do_brelse(c, 1 | 1 << 8), -TD_ESTALE);
	assert_int_equal(td__svc_do_brelse(c, 0 | 1 << 8), 0);
	assert_int_equal(td__svc_do_brelse(c, 0 | 1 << 8), -TD_ESTALE);
	assert_true(!c->doomed);
	while (!c->doomed && c->mistakes < 1000)
		td__svc_do_unlock(c, 3);
	assert_int_equal(c->doomed, TD_FAULT_SERVICE);
	assert_int_equal(td__svc_do_bread(c, 1 | 1 << 8, 1, 0, &view), -TD_EDEADLK); /* over */
	return 0;
}

static void test_misuse(void **state)
{
	struct td_fsinfo info;
	struct td_fault f[2];
	struct td__fs *fs;

	(void)state;
	fake_ops[TD_OP_statfs] = misuse;
	fs = fake_mount("guarded");
	assert_int_equal(td__fs_statfs(fs, &info), -TD_EIO);
	assert_int_equal(td_get_faults(fs, 0, f, 2), 2);
	assert_int_equal(f[0].kind, TD_FAULT_SERVICE);
	td_unmount(fs);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_undo), cmocka_unit_test(test_counts),
					    cmocka_unit_test(test_report), cmocka_unit_test(test_absent), cmocka_unit_test(test_mistakes), cmocka_unit_test(test_misuse) };
	const char *given = getenv("JOURNAL_SEED");

	seed = given ? strtoull(given, 0, 0) : 1994;
	random_state = seed;
	print_message("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, 0, 0);
}
