/* SPDX-License-Identifier: BSD-2-Clause */
/* Mapped files: with a real mount only. */
#include "util.h"

#include <sys/mman.h>

enum { SIZE = 1 << 20 };

static uint8_t *map(int fd, size_t size, int prot, int flags)
{
	void *p = mmap(NULL, size, prot, flags, fd, 0);

	if (p == MAP_FAILED)
		fail_at(HERE, "mmap: %s", error_name(errno));
	return p;
}

TEST(mmap, reads_what_was_written, MOUNTED)
{
	uint8_t *data = get_memory(SIZE), *p;
	int fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0666));

	pattern(data, SIZE, 0, 1);
	write_all(fd, data, SIZE, 0);
	p = map(fd, SIZE, PROT_READ, MAP_SHARED);
	check(!memcmp(p, data, SIZE));
	pattern(data, SIZE, 0, 2);
	write_all(fd, data, SIZE, 0);
	check(!memcmp(p, data, SIZE));
	munmap(p, SIZE);
	ok(fs->close(fd));
	free(data);
}

TEST(mmap, writes_are_read, MOUNTED)
{
	uint8_t *got = get_memory(SIZE), *p;
	int fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0666)), other;

	ok(fs->ftruncate(fd, SIZE));
	p = map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	pattern(p, SIZE, 0, 1);
	equal(SIZE, read_all(fd, got, SIZE, 0));
	check(!memcmp(p, got, SIZE));
	ok(msync(p, SIZE, MS_SYNC));
	munmap(p, SIZE);
	ok(fs->close(fd));
	other = (int)ok(fs->open("f", O_RDONLY, 0));
	memset(got, 0, SIZE);
	equal(SIZE, read_all(other, got, SIZE, 0));
	expect_pattern(HERE, got, SIZE, 0, 1);
	ok(fs->close(other));
	free(got);
}

TEST(mmap, holes_and_tails, MOUNTED)
{
	uint8_t *p;
	int fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0666));

	equal(4, fs->pwrite(fd, "tail", 4, 100000));
	p = map(fd, 100004, PROT_READ | PROT_WRITE, MAP_SHARED);
	expect_zeroes(HERE, p, 100000);
	check(!memcmp(p + 100000, "tail", 4));
	expect_zeroes(HERE, p + 100004, 98304 + 4096 - 100004);
	p[50000] = 'x';
	munmap(p, 100004);
	p = get_memory(1);
	equal(1, fs->pread(fd, p, 1, 50000));
	equal('x', *p);
	equal(100004, look_fd(fd).st_size);
	free(p);
	ok(fs->close(fd));
}

TEST(mmap, private_stays_private, MOUNTED)
{
	uint8_t *p;
	int fd;

	put("f", "text");
	fd = (int)ok(fs->open("f", O_RDONLY, 0));
	p = map(fd, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memcpy(p, "TEXT", 4);
	munmap(p, 4);
	expect_text("f", "text");
	ok(fs->close(fd));
}

TEST(mmap, outlives_name_and_descriptor, MOUNTED)
{
	uint8_t *p;
	int fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0666));

	ok(fs->ftruncate(fd, SIZE));
	p = map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	ok(fs->close(fd));
	ok(fs->unlink("f"));
	pattern(p, SIZE, 0, 7);
	expect_pattern(HERE, p, SIZE, 0, 7);
	munmap(p, SIZE);
}

TEST(mmap, marks_times, MOUNTED)
{
	uint8_t *p;
	int fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0666));

	ok(fs->ftruncate(fd, 4096));
	equal(M | C, moves("f", {
			     p = map(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
			     p[0] = 1;
			     ok(msync(p, 4096, MS_SYNC));
			     munmap(p, 4096);
		     }) & (M | C));
	ok(fs->close(fd));
}
