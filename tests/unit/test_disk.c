/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Image files as disks, below which every call is cut short, or interrupted, or ends before all is there; with a limit and without. And disks
 * that do not answer in time.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../port/user/disk.h"

enum { BYTES = 1 << 20, LEN = 100000 };

static struct td__disk *disk;
static char path[64];
static uint8_t data[LEN], found[LEN];
static unsigned calls, interrupted;
static int mean; /* every call is interrupted first, and then does little */

/* ---- The system's calls */

enum call { NONE, READ, WRITE, FLUSH };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum call hangs; /* does not return */
static int at_once; /* what can be had without waiting is had so */

static void maybe_hang(enum call call)
{
	pthread_mutex_lock(&mutex);
	while (hangs == call)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void let_hang(enum call call)
{
	pthread_mutex_lock(&mutex);
	hangs = call;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

static int interrupt(void)
{
	if (!mean || ++calls % 2)
		return 0;
	interrupted++;
	errno = EINTR;
	return -1;
}

static size_t little(size_t len)
{
	return mean && len > 1 + calls * 37 % 5000 ? 1 + calls * 37 % 5000 : len;
}

ssize_t __real_pread64(int fd, void *to, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *to, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *to, size_t len, off_t off)
{
	maybe_hang(READ);
	return interrupt() ? -1 : __real_pread64(fd, to, little(len), off);
}

ssize_t __real_pwrite64(int fd, const void *from, size_t len, off_t off);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t off);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t off)
{
	maybe_hang(WRITE);
	return interrupt() ? -1 : __real_pwrite64(fd, from, little(len), off);
}

ssize_t __real_preadv64v2(int fd, const struct iovec *iov, int n, off_t off, int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t off, int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	assert_int_equal(flags, RWF_NOWAIT);
	errno = EAGAIN;
	return !at_once || interrupt() ? -1 : __real_pread64(fd, iov->iov_base, little(iov->iov_len), off);
}

ssize_t __real_pwritev64v2(int fd, const struct iovec *iov, int n, off_t off, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int n, off_t off, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	assert_int_equal(flags, RWF_NOWAIT);
	errno = EAGAIN;
	return !at_once || interrupt() ? -1 : __real_pwrite64(fd, iov->iov_base, little(iov->iov_len), off);
}

/* Wherever the tests are run, the file is on a disk. */
int __wrap_fstatfs64(int fd, struct statfs64 *fs);
int __wrap_fstatfs64(int fd, struct statfs64 *fs)
{
	(void)fd;
	memset(fs, 0, sizeof(*fs));
	return 0;
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	(void)fd;
	maybe_hang(FLUSH);
	return 0;
}

int __real_fallocate64(int fd, int mode, off_t off, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t off, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t off, off_t len)
{
	return interrupt() ? -1 : __real_fallocate64(fd, mode, off, len);
}

int __real_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len)
{
	return interrupt() ? -1 : __real_ftruncate64(fd, len);
}

/* In the port's place. */
static unsigned lines;
void td__port_log(uint32_t priority, const char *text)
{
	assert_true(priority < 8);
	assert_non_null(strstr(text, path));
	__atomic_add_fetch(&lines, 1, __ATOMIC_RELAXED);
}

uint64_t td__port_monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- */

static int begin(void **state)
{
	char why[256];
	uint64_t bytes;
	int blank;

	mean = 0;
	at_once = 1;
	__atomic_store_n(&lines, 0, __ATOMIC_RELAXED);
	if (td__port_disk_open(path, BYTES, 0, &disk, &bytes, &blank, why, sizeof(why)) || !blank)
		return -1;
	for (uint32_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * 31 + i / 251);
	if (*state)
		td__port_disk_limit(disk, *(const uint32_t *)*state);
	return 0;
}

static int end(void **state)
{
	(void)state;
	td__port_disk_close(disk);
	return unlink(path);
}

static void all_of_it(void **state)
{
	(void)state;
	mean = 1;
	calls = interrupted = 0;
	assert_int_equal(td__port_disk_write(disk, 777, data, LEN), 0);
	assert_int_equal(td__port_disk_read(disk, 777, found, LEN), 0);
	assert_memory_equal(data, found, LEN);
	assert_true(interrupted > 20);
}

static void room(void **state)
{
	(void)state;
	mean = 1;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(td__port_disk_write(disk, 0, data, LEN), 0);
		assert_int_equal(td__port_disk_reserve(disk, 0, BYTES), 0);
		assert_int_equal(td__port_disk_zero(disk, 4096, 8192), 0);
		assert_int_equal(td__port_disk_read(disk, 0, found, LEN), 0);
		memset(data + 4096, 0, 8192);
		assert_memory_equal(data, found, LEN);
		assert_int_equal(td__port_disk_resize(disk, BYTES), 0);
	}
}

static void beyond_the_end(void **state)
{
	(void)state;
	mean = 1;
	assert_int_equal(td__port_disk_read(disk, BYTES - 100, found, LEN), -EIO);
	assert_int_equal(td__port_disk_resize(disk, BYTES / 2), 0);
	assert_int_equal(td__port_disk_read(disk, BYTES / 2, found, 1), -EIO);
	assert_int_equal(td__port_disk_read(disk, BYTES / 2 - 1, found, 1), 0);
	assert_int_equal(td__port_disk_write(disk, BYTES, data, LEN), 0);
	assert_int_equal(td__port_disk_read(disk, BYTES, found, LEN), 0);
	assert_memory_equal(data, found, LEN);
}

static void not_at_once(void **state)
{
	at_once = 0;
	all_of_it(state);
	room(state);
	beyond_the_end(state);
}

/* ---- No answer */

static struct td__disk_state now(void)
{
	struct td__disk_state st;

	td__port_disk_state(disk, &st);
	return st;
}

static void answered(void)
{
	let_hang(NONE);
	for (int i = 0; i < 5000 && now().late; i++)
		usleep(1000);
	assert_int_equal(now().late, 0);
}

static double ms_since(uint64_t begin)
{
	return (double)(td__port_monotonic() - begin) / 1e6;
}

static void pieces(void **state)
{
	const struct td__disk_piece all[] = { { 100000, data, 5000 }, { 0, data + 1, 90000 }, { 200000, data, 1 }, { 300000, data + 2, LEN - 2 } };

	(void)state;
	mean = 1;
	for (at_once = 0; at_once < 2; at_once++) {
		assert_int_equal(td__port_disk_zero(disk, 0, BYTES), 0);
		assert_int_equal(td__port_disk_write_pieces(disk, all, 4), 0);
		for (int i = 0; i < 4; i++) {
			assert_int_equal(td__port_disk_read(disk, all[i].off, found, all[i].len), 0);
			assert_memory_equal(all[i].data, found, all[i].len);
		}
	}
}

/* More than fits into one request. */
static void many_pieces(void **state)
{
	enum { PIECES = 300, EACH = 10000 };
	static struct td__disk_piece all[PIECES];

	(void)state;
	at_once = 0;
	for (uint32_t i = 0; i < PIECES; i++)
		all[i] = (struct td__disk_piece){ (PIECES - i) * (uint64_t)EACH, data + i, EACH };
	assert_int_equal(td__port_disk_write_pieces(disk, all, PIECES), 0);
	for (uint32_t i = 0; i < PIECES; i++) {
		assert_int_equal(td__port_disk_read(disk, all[i].off, found, EACH), 0);
		assert_memory_equal(all[i].data, found, EACH);
	}
}

/* The late one changes what it was to change, before all that comes later; nobody's memory is touched. */
static void late_write(void **state)
{
	uint64_t begun = td__port_monotonic();

	(void)state;
	at_once = 0;
	let_hang(WRITE);
	assert_int_equal(td__port_disk_write(disk, 0, data, LEN), -ETIMEDOUT);
	assert_true(ms_since(begun) > 90);
	memset(found, 0x55, LEN);
	begun = td__port_monotonic();
	for (int i = 0; i < 20; i++) {
		assert_int_equal(td__port_disk_write(disk, 0, found, LEN), -ETIMEDOUT);
		assert_int_equal(td__port_disk_flush(disk), -ETIMEDOUT);
		assert_int_equal(td__port_disk_zero(disk, 0, 4096), -ETIMEDOUT);
		assert_int_equal(td__port_disk_resize(disk, 1), -ETIMEDOUT);
		at_once = 1; /* not even then */
	}
	assert_true(ms_since(begun) < 90);
	assert_int_equal(now().timeouts, 1);
	assert_int_equal(now().late, 1);
	assert_int_equal(td__port_disk_read(disk, 200000, found, LEN), 0);
	answered();
	assert_int_equal(td__port_disk_read(disk, 0, found, LEN), 0);
	assert_memory_equal(data, found, LEN);
	assert_int_equal(td__port_disk_write(disk, 0, data + 1, LEN - 1), 0);
	assert_int_equal(td__port_disk_read(disk, 0, found, LEN - 1), 0);
	assert_memory_equal(data + 1, found, LEN - 1);
	assert_int_equal(lines, 2);
}

static void late_read(void **state)
{
	uint64_t begun;

	(void)state;
	assert_int_equal(td__port_disk_write(disk, 0, data, LEN), 0);
	at_once = 0;
	let_hang(READ);
	memset(found, 0x55, LEN);
	assert_int_equal(td__port_disk_read(disk, 0, found, LEN), -ETIMEDOUT);
	assert_int_equal(td__port_disk_write(disk, 0, data + 1, LEN - 1), 0); /* who writes need not wait */
	assert_int_equal(td__port_disk_flush(disk), 0);
	while (now().late < 6)
		assert_int_equal(td__port_disk_read(disk, 0, found, LEN), -ETIMEDOUT);
	begun = td__port_monotonic();
	for (int i = 0; i < 20; i++)
		assert_int_equal(td__port_disk_read(disk, 0, found, LEN), -ETIMEDOUT); /* nor is there anything to wait for */
	assert_true(ms_since(begun) < 90);
	answered();
	for (uint32_t i = 0; i < LEN; i++)
		assert_int_equal(found[i], 0x55);
	assert_int_equal(td__port_disk_read(disk, 0, found, LEN - 1), 0);
	assert_memory_equal(data + 1, found, LEN - 1);
}

static void late_flush(void **state)
{
	(void)state;
	let_hang(FLUSH);
	assert_int_equal(td__port_disk_flush(disk), -ETIMEDOUT);
	assert_int_equal(td__port_disk_flush(disk), -ETIMEDOUT);
	answered();
	assert_int_equal(td__port_disk_flush(disk), 0);
}

/* Nobody waits for what is owed; it keeps the file from being opened until it is there. */
static void late_close(void **state)
{
	char why[256];
	uint64_t bytes;
	int blank, err;

	(void)state;
	at_once = 0;
	let_hang(WRITE);
	assert_int_equal(td__port_disk_write(disk, 0, data, LEN), -ETIMEDOUT);
	td__port_disk_close(disk);
	assert_int_equal(td__port_disk_open(path, BYTES, 0, &disk, &bytes, &blank, why, sizeof(why)), -EBUSY);
	let_hang(NONE);
	for (int i = 0; i < 5000 && (err = td__port_disk_open(path, BYTES, 0, &disk, &bytes, &blank, why, sizeof(why))) == -EBUSY; i++)
		usleep(1000);
	assert_int_equal(err, 0);
	assert_int_equal(td__port_disk_read(disk, 0, found, LEN), 0);
	assert_memory_equal(data, found, LEN);
}

/* More at a time than there are threads for. */
static void *use_it(void *arg)
{
	uint8_t mine[5000], back[5000];
	uint64_t off = (uint64_t)(uintptr_t)arg * sizeof(mine);

	for (int i = 0; i < 100; i++) {
		memset(mine, (int)(off / sizeof(mine)) + i, sizeof(mine));
		if (td__port_disk_write(disk, off, mine, sizeof(mine)) || td__port_disk_flush(disk) ||
		    td__port_disk_read(disk, off, back, sizeof(back)) || memcmp(mine, back, sizeof(mine)))
			return arg;
	}
	return NULL;
}

static void many(void **state)
{
	pthread_t threads[20];
	void *bad;

	(void)state;
	at_once = 0;
	for (uintptr_t i = 0; i < 20; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_it, (void *)(i + 1)), 0);
	for (int i = 0; i < 20; i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
}

int main(void)
{
	static uint32_t unlimited = 0, little_time = 100, much_time = 60000; /* ms */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(all_of_it, begin, end, &unlimited),
		cmocka_unit_test_prestate_setup_teardown(room, begin, end, &unlimited),
		cmocka_unit_test_prestate_setup_teardown(beyond_the_end, begin, end, &unlimited),
		cmocka_unit_test_prestate_setup_teardown(all_of_it, begin, end, &much_time),
		cmocka_unit_test_prestate_setup_teardown(room, begin, end, &much_time),
		cmocka_unit_test_prestate_setup_teardown(beyond_the_end, begin, end, &much_time),
		cmocka_unit_test_prestate_setup_teardown(not_at_once, begin, end, &much_time),
		cmocka_unit_test_prestate_setup_teardown(pieces, begin, end, &unlimited),
		cmocka_unit_test_prestate_setup_teardown(pieces, begin, end, &much_time),
		cmocka_unit_test_prestate_setup_teardown(many_pieces, begin, end, &much_time),
		cmocka_unit_test_prestate_setup_teardown(late_write, begin, end, &little_time),
		cmocka_unit_test_prestate_setup_teardown(late_read, begin, end, &little_time),
		cmocka_unit_test_prestate_setup_teardown(late_flush, begin, end, &little_time),
		cmocka_unit_test_prestate_setup_teardown(late_close, begin, end, &little_time),
		cmocka_unit_test_prestate_setup_teardown(many, begin, end, &much_time),
	};

	snprintf(path, sizeof(path), "test_disk-%d.img", (int)getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
