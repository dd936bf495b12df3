/* SPDX-License-Identifier: BSD-2-Clause */
/* Content: reading, writing, positions, sizes, holes. */
#include "util.h"

#include <linux/falloc.h>

enum { KIB = 1024, MIB = 1024 * 1024 };

static int new_file(const char *path)
{
	return (int)ok(fs->open(path, O_CREAT | O_EXCL | O_RDWR, 0666));
}

/* Writes of every awkward size at every awkward place come back. */
TEST(data, sizes, 0)
{
	static const size_t sizes[] = { 1,    2,    511,   512,	  513,	 4095,	 4096,	 4097,
					8191, 8192, 65535, 65536, 65537, 131072, 131073, 1048576 };
	static const int64_t offs[] = { 0, 1, 4095, 4096, 4097, 100000 };
	uint8_t *data = get_memory(MIB), *got = get_memory(2 * MIB);

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (unsigned j = 0; j < sizeof(offs) / sizeof(offs[0]); j++) {
			int fd = new_file("f");
			size_t end = (size_t)offs[j] + sizes[i];

			pattern(data, sizes[i], (uint64_t)offs[j], i);
			write_all(fd, data, sizes[i], offs[j]);
			equal(end, look_fd(fd).st_size);
			equal(end, read_all(fd, got, 2 * MIB, 0));
			expect_zeroes(HERE, got, (size_t)offs[j]);
			expect_pattern(HERE, got + offs[j], sizes[i], (uint64_t)offs[j], i);
			ok(fs->close(fd));
			ok(fs->unlink("f"));
		}
	}
	free(data);
	free(got);
}

TEST(data, positions, 0)
{
	char got[16];
	int fd = new_file("f");

	equal(10, fs->write(fd, "0123456789", 10));
	equal(10, fs->lseek(fd, 0, SEEK_CUR));
	equal(0, fs->read(fd, got, 5));
	equal(3, fs->lseek(fd, 3, SEEK_SET));
	equal(4, fs->read(fd, got, 4));
	check(!memcmp(got, "3456", 4));
	equal(7, fs->lseek(fd, 0, SEEK_CUR));
	equal(3, fs->read(fd, got, 16));
	equal(2, fs->pread(fd, got, 2, 0));
	equal(10, fs->lseek(fd, 0, SEEK_CUR));
	equal(8, fs->lseek(fd, -2, SEEK_END));
	equal(6, fs->lseek(fd, -2, SEEK_CUR));
	fails(EINVAL, fs->lseek(fd, -7, SEEK_CUR));
	fails(EINVAL, fs->lseek(fd, -1, SEEK_SET));
	fails(EINVAL, fs->lseek(fd, 0, 99));
	equal(6, fs->lseek(fd, 0, SEEK_CUR));
	equal(20, fs->lseek(fd, 20, SEEK_SET));
	equal(0, fs->read(fd, got, 1));
	equal(10, look_fd(fd).st_size);
	equal(1, fs->write(fd, "x", 1));
	equal(21, look_fd(fd).st_size);
	fails(EINVAL, fs->pread(fd, got, 1, -1));
	fails(EINVAL, fs->pwrite(fd, got, 1, -1));
	equal(0, fs->pread(fd, got, 1, 1000));
	equal(0, fs->pread(fd, got, 0, 0));
	ok(fs->close(fd));
}

TEST(data, append, 0)
{
	char got[16];
	int fd, other;

	put("f", "one");
	fd = (int)ok(fs->open("f", O_RDWR | O_APPEND, 0));
	other = (int)ok(fs->open("f", O_WRONLY, 0));
	equal(3, fs->write(fd, "two", 3));
	equal(6, fs->lseek(fd, 0, SEEK_CUR));
	equal(5, fs->pwrite(other, "three", 5, 6));
	equal(0, fs->lseek(fd, 0, SEEK_SET));
	equal(2, fs->read(fd, got, 2));
	equal(4, fs->write(fd, "four", 4));
	equal(15, fs->lseek(fd, 0, SEEK_CUR));
	expect_text("f", "onetwothreefour");
	equal(1, fs->pwrite(fd, "!", 1, 0)); /* Linux appends, whatever the offset */
	expect_text("f", "onetwothreefour!");
	ok(fs->close(fd));
	ok(fs->close(other));
}

/* What is cut off is gone: it does not come back when the file grows again. */
TEST(data, truncate, 0)
{
	enum { SIZE = 300000 };
	static const int64_t cuts[] = { 0, 1, 100, 4095, 4096, 4097, 8192, 65536, 131071, 299999 };
	uint8_t *data = get_memory(SIZE), *got = get_memory(SIZE + 1);
	int fd = new_file("f");

	pattern(data, SIZE, 0, 1);
	for (unsigned i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		write_all(fd, data, SIZE, 0);
		ok(fs->ftruncate(fd, cuts[i]));
		equal(cuts[i], look_fd(fd).st_size);
		equal(cuts[i], read_all(fd, got, SIZE, 0));
		ok(fs->truncate("f", SIZE));
		equal(SIZE, look_fd(fd).st_size);
		equal(SIZE, read_all(fd, got, SIZE + 1, 0));
		expect_pattern(HERE, got, (size_t)cuts[i], 0, 1);
		expect_zeroes(HERE, got + cuts[i], (size_t)(SIZE - cuts[i]));
	}
	ok(fs->close(fd));
	free(data);
	free(got);
}

/* The same, where the file grows by a write behind its end. */
TEST(data, truncate_and_write, 0)
{
	uint8_t *data = get_memory(20000), *got = get_memory(20000);
	int fd = new_file("f");

	pattern(data, 20000, 0, 1);
	for (int64_t cut = 0; cut < 9000; cut += 1111) {
		write_all(fd, data, 20000, 0);
		ok(fs->ftruncate(fd, cut));
		write_all(fd, data + 15000, 10, 15000);
		equal(15010, read_all(fd, got, 20000, 0));
		expect_pattern(HERE, got, (size_t)cut, 0, 1);
		expect_zeroes(HERE, got + cut, (size_t)(15000 - cut));
		expect_pattern(HERE, got + 15000, 10, 15000, 1);
	}
	ok(fs->close(fd));
	free(data);
	free(got);
}

TEST(data, truncate_errors, 0)
{
	dir("d");
	put("f", "text");
	ok(fs->mknod("p", S_IFIFO | 0666, 0));
	fails(EISDIR, fs->truncate("d", 0));
	fails(EINVAL, fs->truncate("f", -1));
	fails(EINVAL, fs->truncate("p", 0));
	expect_text("f", "text");
}

TEST(data, largest, 0)
{
	int fd = new_file("f"), err;
	int64_t n;

	err = fs->ftruncate(fd, INT64_MAX);
	check_case(!err || err == -EFBIG, "ftruncate to the largest size: %s", error_name(-err));
	equal(err ? 0 : INT64_MAX, look_fd(fd).st_size);
	ok(fs->ftruncate(fd, 0));
	n = fs->pwrite(fd, "xy", 2, INT64_MAX - 1);
	check_case(n == -EFBIG || n == -EINVAL || n == 1, "a write at the end of all: %s",
		   n < 0 ? error_name((int)-n) : "success");
	ok(fs->close(fd));
}

TEST(data, far_offsets, 0)
{
	static const int64_t offs[] = { ((int64_t)1 << 31) - 3,	    ((int64_t)1 << 32) - 3,
					((int64_t)1 << 32) + 12345, ((int64_t)1 << 36) - 1,
					((int64_t)1 << 40) - 7,	    (int64_t)1 << 40 };
	uint8_t data[100], got[300];

	for (unsigned i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
		int fd = new_file("f");

		pattern(data, sizeof(data), (uint64_t)offs[i], i);
		write_all(fd, data, sizeof(data), offs[i]);
		equal(offs[i] + 100, look_fd(fd).st_size);
		check(look_fd(fd).st_blocks < 4 * MIB / 512);
		equal(200, read_all(fd, got, sizeof(got), offs[i] - 100));
		expect_zeroes(HERE, got, 100);
		expect_pattern(HERE, got + 100, 100, (uint64_t)offs[i], i);
		equal(sizeof(got), read_all(fd, got, sizeof(got), offs[i] / 2));
		expect_zeroes(HERE, got, sizeof(got));
		equal(offs[i] + 100, fs->lseek(fd, 0, SEEK_END));
		ok(fs->ftruncate(fd, offs[i] + 50));
		equal(50, read_all(fd, got, sizeof(got), offs[i]));
		ok(fs->close(fd));
		ok(fs->unlink("f"));
	}
}

/* Many islands in a sea of holes. */
TEST(data, sparse, 0)
{
	enum { ISLANDS = 300, LEN = 3000 };
	uint8_t data[LEN], got[LEN];
	int fd = new_file("f");
	uint64_t seed = test_seed(1);

	for (int pass = 0; pass < 2; pass++) {
		uint64_t s = seed;

		for (int i = 0; i < ISLANDS; i++) {
			uint64_t off = chance(&s) % ((uint64_t)1 << 40) / 8192 * 8192;

			pattern(data, LEN, off, 9);
			if (!pass)
				write_all(fd, data, LEN, (int64_t)off);
			else
				equal(LEN, read_all(fd, got, LEN, (int64_t)off));
			check(!pass || !memcmp(data, got, LEN));
		}
	}
	check(look_fd(fd).st_blocks <= ISLANDS * 64);
	ok(fs->close(fd));
}

static bool can(int result)
{
	if (result == -EOPNOTSUPP)
		skip_test("this file system has no such fallocate()");
	ok(result);
	return true;
}

/* A file system that reports no holes says that the file is data up to its end, which is a hole. */
static void expect_all_data(int fd, int64_t size)
{
	equal(size, fs->lseek(fd, 0, SEEK_HOLE));
	equal(0, fs->lseek(fd, 0, SEEK_DATA));
	equal(size / 2, fs->lseek(fd, size / 2, SEEK_DATA));
	fails(ENXIO, fs->lseek(fd, size, SEEK_DATA));
	fails(ENXIO, fs->lseek(fd, size, SEEK_HOLE));
}

TEST(data, seek_data_and_hole, 0)
{
	uint8_t *data = get_memory(MIB);
	int fd = new_file("f");
	int64_t at;

	fails(ENXIO, fs->lseek(fd, 0, SEEK_DATA));
	pattern(data, MIB, 0, 1);
	write_all(fd, data, MIB, 4 * MIB);
	ok(fs->ftruncate(fd, 16 * MIB));
	if (ok(fs->lseek(fd, 0, SEEK_HOLE)) == 16 * MIB) {
		expect_all_data(fd, 16 * MIB);
		skip_test("this file system does not report holes");
	}
	equal(0, fs->lseek(fd, 0, SEEK_HOLE));
	at = ok(fs->lseek(fd, 0, SEEK_DATA));
	check(at > 0 && at <= 4 * MIB);
	equal(4 * MIB + 5, fs->lseek(fd, 4 * MIB + 5, SEEK_DATA));
	at = ok(fs->lseek(fd, 4 * MIB, SEEK_HOLE));
	check(at >= 5 * MIB && at < 16 * MIB);
	fails(ENXIO, fs->lseek(fd, 8 * MIB, SEEK_DATA));
	equal(8 * MIB, fs->lseek(fd, 8 * MIB, SEEK_HOLE));
	fails(ENXIO, fs->lseek(fd, 16 * MIB, SEEK_DATA));
	fails(ENXIO, fs->lseek(fd, 16 * MIB, SEEK_HOLE));
	fails(ENXIO, fs->lseek(fd, -1, SEEK_DATA));
	write_all(fd, data, MIB, 15 * MIB);
	equal(16 * MIB, fs->lseek(fd, 15 * MIB + 1, SEEK_HOLE)); /* the end is a hole */
	equal(16 * MIB, fs->lseek(fd, 0, SEEK_CUR));
	ok(fs->close(fd));
	free(data);
}

/* What has just been written is never taken for a hole, be it on the device already or not. */
TEST(data, seek_sees_fresh_data, 0)
{
	uint8_t *data = get_memory(MIB);
	int fd = new_file("f"), other = (int)ok(fs->open("f", O_RDONLY, 0));

	pattern(data, MIB, 0, 1);
	for (int i = 1; i < 8; i += 2) {
		write_all(fd, data, MIB, (int64_t)i * MIB);
		equal((int64_t)i * MIB, fs->lseek(other, (int64_t)i * MIB, SEEK_DATA));
		equal((int64_t)(i + 1) * MIB, fs->lseek(other, (int64_t)i * MIB, SEEK_HOLE));
	}
	ok(fs->close(fd));
	ok(fs->close(other));
	free(data);
}

TEST(data, fallocate, 0)
{
	uint8_t *got = get_memory(MIB);
	int fd = new_file("f");

	can(fs->fallocate(fd, 0, 0, MIB));
	equal(MIB, look_fd(fd).st_size);
	check(look_fd(fd).st_blocks >= MIB / 512);
	equal(MIB, read_all(fd, got, MIB, 0));
	expect_zeroes(HERE, got, MIB);
	equal(4, fs->pwrite(fd, "text", 4, 1000));
	can(fs->fallocate(fd, 0, 0, MIB)); /* what is there stays */
	equal(4, fs->pread(fd, got, 4, 1000));
	check(!memcmp(got, "text", 4));
	can(fs->fallocate(fd, FALLOC_FL_KEEP_SIZE, MIB, MIB));
	equal(MIB, look_fd(fd).st_size);
	can(fs->fallocate(fd, 0, MIB + 100, 100));
	equal(MIB + 200, look_fd(fd).st_size);
	fails(EINVAL, fs->fallocate(fd, 0, -1, 10));
	fails(EINVAL, fs->fallocate(fd, 0, 0, 0));
	fails(EINVAL, fs->fallocate(fd, 0, 0, -5));
	fails(EFBIG, fs->fallocate(fd, 0, INT64_MAX - 5, 100));
	fails(EOPNOTSUPP, fs->fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
	ok(fs->ftruncate(fd, 0));
	ok(fs->close(fd));
	check(look("f").st_blocks <= 16);
	free(got);
}

/* Bytes from `from` to `to` are zeroes, all others as they were. */
static void expect_zeroed(int fd, size_t size, size_t from, size_t to)
{
	uint8_t *got = get_memory(size);

	equal(size, read_all(fd, got, size, 0));
	expect_pattern(HERE, got, from, 0, 1);
	expect_zeroes(HERE, got + from, to - from);
	expect_pattern(HERE, got + to, size - to, to, 1);
	free(got);
}

static void zero_ranges(int mode)
{
	enum { SIZE = 200000 };
	static const size_t ranges[][2] = { { 0, 1 },	     { 1, 4095 },    { 4096, 8192 },
					    { 100, 100000 }, { 4095, 8193 }, { 190000, 200000 },
					    { 0, 200000 } };
	uint8_t *data = get_memory(SIZE);
	int fd = new_file("f");

	pattern(data, SIZE, 0, 1);
	for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		size_t from = ranges[i][0], to = ranges[i][1];

		write_all(fd, data, SIZE, 0);
		can(fs->fallocate(fd, mode, (int64_t)from, (int64_t)(to - from)));
		equal(SIZE, look_fd(fd).st_size);
		expect_zeroed(fd, SIZE, from, to);
	}
	ok(fs->close(fd));
	free(data);
}

TEST(data, punch_hole, 0)
{
	zero_ranges(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

TEST(data, zero_range, 0)
{
	zero_ranges(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
}

TEST(data, zero_range_extends, 0)
{
	int fd = new_file("f");

	can(fs->fallocate(fd, FALLOC_FL_ZERO_RANGE, 1000, 5000));
	equal(6000, look_fd(fd).st_size);
	can(fs->fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 5000, 5000));
	equal(6000, look_fd(fd).st_size);
	ok(fs->close(fd));
}

/* Where the system caches writes, blocks are counted when a file is closed. */
static int64_t settled_blocks(const char *path)
{
	ok(fs->close((int)ok(fs->open(path, O_RDWR, 0))));
	return look(path).st_blocks;
}

TEST(data, punch_gives_space_back, 0)
{
	uint8_t *data = get_memory(4 * MIB);
	int fd = new_file("f");
	int64_t full;

	pattern(data, 4 * MIB, 0, 1);
	write_all(fd, data, 4 * MIB, 0);
	full = settled_blocks("f");
	check(full >= 4 * MIB / 512);
	can(fs->fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB, 2 * MIB));
	check(settled_blocks("f") <= full - 2 * MIB / 512 + 64);
	equal(4 * MIB, look_fd(fd).st_size);
	expect_zeroed(fd, 4 * MIB, MIB, 3 * MIB);
	can(fs->fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * MIB, MIB));
	equal(4 * MIB, look_fd(fd).st_size);
	write_all(fd, data + MIB, 2 * MIB, MIB);
	expect_zeroed(fd, 4 * MIB, 0, 0);
	ok(fs->close(fd));
	free(data);
}

/* Writing backwards, block by block, then reading forwards. */
TEST(data, backwards, 0)
{
	enum { N = 512, STEP = 4096 };
	uint8_t block[STEP], *got = get_memory(N * STEP);
	int fd = new_file("f");

	for (int i = N - 1; i >= 0; i--) {
		pattern(block, STEP, (uint64_t)i * STEP, 3);
		write_all(fd, block, STEP, (int64_t)i * STEP);
	}
	equal(N * STEP, read_all(fd, got, N * STEP, 0));
	expect_pattern(HERE, got, N * STEP, 0, 3);
	ok(fs->close(fd));
	free(got);
}

/* Two files that grow in turns share the device block by block. */
TEST(data, interleaved, 0)
{
	enum { N = 256, STEP = 5000 };
	uint8_t block[STEP], *got = get_memory(N * STEP);
	int a = new_file("a"), b = new_file("b");

	for (uint64_t i = 0; i < N; i++) {
		pattern(block, STEP, i * STEP, 1);
		write_all(a, block, STEP, (int64_t)i * STEP);
		pattern(block, STEP, i * STEP, 2);
		write_all(b, block, STEP, (int64_t)i * STEP);
	}
	equal(N * STEP, read_all(a, got, N * STEP, 0));
	expect_pattern(HERE, got, N * STEP, 0, 1);
	ok(fs->close(a));
	ok(fs->unlink("a"));
	equal(N * STEP, read_all(b, got, N * STEP, 0));
	expect_pattern(HERE, got, N * STEP, 0, 2);
	ok(fs->close(b));
	free(got);
}

/* Two descriptors of one file see each other's writes at once, and have positions of their own. */
TEST(data, two_descriptors, 0)
{
	char got[8];
	int a = new_file("f"), b = (int)ok(fs->open("f", O_RDWR, 0));

	equal(4, fs->write(a, "text", 4));
	equal(4, fs->read(b, got, 8));
	check(!memcmp(got, "text", 4));
	equal(2, fs->pwrite(b, "XY", 2, 1));
	equal(4, fs->pread(a, got, 8, 0));
	check(!memcmp(got, "tXYt", 4));
	ok(fs->ftruncate(b, 1));
	equal(1, look_fd(a).st_size);
	equal(1, fs->pread(a, got, 8, 0));
	ok(fs->close(a));
	ok(fs->close(b));
}

/* A file that grows by small writes, is emptied, grows again and then leaps: it shows what was written, and nothing else. */
TEST(data, appended, 0)
{
	enum { STEP = 8192, STEPS = 7, FAR = 100 * STEP };
	uint8_t block[STEP], got[STEP];
	int fd = new_file("f");

	for (int turn = 1; turn <= 3; turn++) {
		for (uint64_t at = 0; at < STEPS * STEP; at += STEP) {
			pattern(block, STEP, at, (unsigned)turn);
			write_all(fd, block, STEP, (int64_t)at);
		}
		check_case(settled_blocks("f") <= STEPS * STEP / 512 + 8, "turn %d: %lld blocks for %d bytes", turn,
			   (long long)settled_blocks("f"), STEPS * STEP);
		write_all(fd, block, 1, FAR);
		for (uint64_t at = STEPS * STEP; at < FAR; at += STEP) {
			equal(STEP, read_all(fd, got, STEP, (int64_t)at));
			for (int i = 0; i < STEP; i++)
				check(!got[i]);
		}
		check(settled_blocks("f") <= STEPS * STEP / 512 + 16);
		ok(fs->ftruncate(fd, turn == 2 ? STEP : 0));
		ok(fs->ftruncate(fd, 0));
		equal(0, settled_blocks("f"));
	}
	ok(fs->close(fd));
}
