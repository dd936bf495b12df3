/* SPDX-License-Identifier: BSD-2-Clause */
/* Image files as disks, below which every call is cut short, or interrupted, or ends before all is there. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../port/user/disk.h"

enum { BYTES = 1 << 20, LEN = 100000 };

static struct td__disk *disk;
static char path[64];
static uint8_t data[LEN], found[LEN];
static unsigned calls, interrupted;
static int mean; /* every call is interrupted first, and then does little */

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
	return interrupt() ? -1 : __real_pread64(fd, to, little(len), off);
}

ssize_t __real_pwrite64(int fd, const void *from, size_t len, off_t off);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t off);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t off)
{
	return interrupt() ? -1 : __real_pwrite64(fd, from, little(len), off);
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

static int begin(void **state)
{
	char why[256];
	uint64_t bytes;
	int blank;

	(void)state;
	mean = 0;
	snprintf(path, sizeof(path), "test_disk-%d.img", (int)getpid());
	if (td__port_disk_open(path, BYTES, 0, &disk, &bytes, &blank, why, sizeof(why)) || !blank)
		return -1;
	for (uint32_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * 31 + i / 251);
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_of_it, begin, end),
		cmocka_unit_test_setup_teardown(room, begin, end),
		cmocka_unit_test_setup_teardown(beyond_the_end, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
