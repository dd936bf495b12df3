/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsbench: moving bytes.
 *
 * copy64k       the case of the fail-safety paper: copy a file of 64 KiB by calls of 8 KiB, opening
 *               and closing both files each time. One operation is one copy.
 * rand*4k       4 KiB at random offsets of one file, past the page cache (O_DIRECT).
 * seq*128k      a file from end to end by calls of 128 KiB, through the page cache; reading starts
 *               with none of the file cached, writing ends with the close that flushes it.
 *
 * Every 4 KiB block carries its number and the turn in which it was written, at both of its ends.
 */
#include "fsbench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KIB = 1024, BLOCK = 4096, COPY_SIZE = 64 * KIB, COPY_CALL = 8 * KIB, SEQ_CALL = 128 * KIB };

static unsigned char *call_buffer(size_t size, uint64_t seed)
{
	unsigned char *buf = aligned_buffer(size);

	memcpy(buf, pool(seed, size), size);
	return buf;
}

static void stamp(unsigned char *block, uint64_t number, uint64_t turn)
{
	uint64_t mark[2] = { number, turn };

	memcpy(block, mark, sizeof(mark));
	memcpy(block + BLOCK - sizeof(mark), mark, sizeof(mark));
}

static void check_stamp(const unsigned char *block, uint64_t number, uint64_t turn)
{
	uint64_t mark[2] = { number, turn };

	errno = 0;
	if (memcmp(block, mark, sizeof(mark)) ||
	    memcmp(block + BLOCK - sizeof(mark), mark, sizeof(mark)))
		fatal("block %llu does not hold what was written", (unsigned long long)number);
}

static void copy_once(const struct bench *b, char *buf)
{
	int from = open_in(b->workfd, "from", O_RDONLY, 0);
	int to = open_in(b->workfd, "to", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ssize_t n, total = 0;

	while ((n = read(from, buf, COPY_CALL)) > 0) {
		if (write(to, buf, n) != n)
			fatal("copy: write");
		total += n;
	}
	if (n < 0)
		fatal("copy: read");
	errno = 0;
	if (total != COPY_SIZE)
		fatal("copy: %zd bytes instead of %d", total, COPY_SIZE);
	close_fd(to);
	close_fd(from);
}

static void check_copy(const struct bench *b)
{
	char *data = aligned_buffer(COPY_SIZE);
	int fd = open_in(b->workfd, "to", O_RDONLY, 0);

	read_all(fd, data, COPY_SIZE);
	errno = 0;
	if (memcmp(data, pool(b->seed, COPY_SIZE), COPY_SIZE) || read(fd, data, 1) != 0)
		fatal("copy: the copy differs from the original");
	close_fd(fd);
	free(data);
}

void bench_copy64k(const struct bench *b)
{
	struct result r = { .name = "copy64k", .n = b->count ? b->count : 2000 };
	uint64_t *samples = aligned_buffer(r.n * sizeof(*samples));
	char *buf = aligned_buffer(COPY_CALL);
	int fd = open_in(b->workfd, "from", O_WRONLY | O_CREAT | O_EXCL, 0644);

	write_all(fd, pool(b->seed, COPY_SIZE), COPY_SIZE, COPY_SIZE);
	close_fd(fd);
	for (unsigned i = 0; i < r.n / 10 + 1; i++)
		copy_once(b, buf);
	lap_start(&r.lap);
	for (unsigned i = 0; i < r.n; i++) {
		uint64_t start = now_ns();

		copy_once(b, buf);
		samples[i] = now_ns() - start;
	}
	lap_stop(&r.lap);
	if (b->verify)
		check_copy(b);
	r.bytes = r.n * COPY_SIZE;
	r.median_ns = median(samples, r.n);
	report(b, &r);
}

/* Writes the whole file, block stamps included, and returns when it is flushed by the close. */
static void fill(const struct bench *b, const char *name, uint64_t size, unsigned char *buf)
{
	int fd = open_in(b->workfd, name, O_WRONLY | O_CREAT, 0644);

	for (uint64_t at = 0; at < size; at += SEQ_CALL) {
		for (uint64_t in = 0; in < SEQ_CALL; in += BLOCK)
			stamp(buf + in, (at + in) / BLOCK, 0);
		write_all(fd, buf, SEQ_CALL, SEQ_CALL);
	}
	close_fd(fd);
}

/* Reads the whole file; turns[block], or 0 without turns, is what each block must carry. */
static void check_blocks(const struct bench *b, const char *name, uint64_t size, unsigned char *buf,
			 const uint64_t *turns)
{
	int fd = open_in(b->workfd, name, O_RDONLY, 0);

	for (uint64_t at = 0; at < size; at += SEQ_CALL) {
		read_all(fd, buf, SEQ_CALL);
		for (uint64_t in = 0; in < SEQ_CALL; in += BLOCK) {
			uint64_t block = (at + in) / BLOCK;

			check_stamp(buf + in, block, turns ? turns[block] : 0);
		}
	}
	close_fd(fd);
}

static uint64_t file_size(const struct bench *b, uint64_t own)
{
	uint64_t size = b->size ? b->size : own;

	return size < SEQ_CALL ? SEQ_CALL : size / SEQ_CALL * SEQ_CALL;
}

struct random_io {
	int fd;
	bool write;
	uint64_t blocks, state, turn;
	uint64_t *turns; /* the turn in which each block was last written */
	unsigned char *buf;
};

static void random_step(struct random_io *io)
{
	uint64_t block = rnd(&io->state) % io->blocks;
	off_t at = (off_t)(block * BLOCK);

	if (io->write) {
		io->turns[block] = ++io->turn;
		stamp(io->buf, block, io->turn);
		if (pwrite(io->fd, io->buf, BLOCK, at) != BLOCK)
			fatal("write at %lld", (long long)at);
	} else {
		if (pread(io->fd, io->buf, BLOCK, at) != BLOCK)
			fatal("read at %lld", (long long)at);
		check_stamp(io->buf, block, 0);
	}
}

static void random_4k(const struct bench *b, const char *name, bool write)
{
	struct result r = { .name = name, .n = b->count ? b->count : 10000 };
	uint64_t size = file_size(b, 32u << 20);
	unsigned char *big = call_buffer(SEQ_CALL, b->seed);
	uint64_t *samples = aligned_buffer(r.n * sizeof(*samples));
	struct random_io io = { .write = write, .blocks = size / BLOCK, .state = b->seed };

	fill(b, "random", size, big);
	io.turns = aligned_buffer(io.blocks * sizeof(*io.turns));
	io.buf = call_buffer(BLOCK, b->seed);
	io.fd = openat(b->workfd, "random", (write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	if (io.fd < 0 && errno == EINVAL)
		skip(b, "the file system refuses O_DIRECT");
	if (io.fd < 0)
		fatal("open random");
	for (unsigned i = 0; i < r.n / 20 + 1; i++)
		random_step(&io);
	lap_start(&r.lap);
	for (unsigned i = 0; i < r.n; i++) {
		uint64_t start = now_ns();

		random_step(&io);
		samples[i] = now_ns() - start;
	}
	lap_stop(&r.lap);
	close_fd(io.fd);
	if (b->verify)
		check_blocks(b, "random", size, big, io.turns);
	r.bytes = r.n * BLOCK;
	r.median_ns = median(samples, r.n);
	report(b, &r);
}

void bench_randread4k(const struct bench *b)
{
	random_4k(b, "randread4k", false);
}

void bench_randwrite4k(const struct bench *b)
{
	random_4k(b, "randwrite4k", true);
}

void bench_seqwrite128k(const struct bench *b)
{
	uint64_t size = file_size(b, 64u << 20);
	struct result r = { .name = "seqwrite128k", .n = size / SEQ_CALL, .bytes = size };
	unsigned char *buf = call_buffer(SEQ_CALL, b->seed);

	fill(b, "warm", size / 8 / SEQ_CALL * SEQ_CALL, buf);
	lap_start(&r.lap);
	fill(b, "stream", size, buf);
	lap_stop(&r.lap);
	if (b->verify)
		check_blocks(b, "stream", size, buf, NULL);
	report(b, &r);
}

/* Clean pages only can be dropped: hence the fsync. */
static void drop_pages(const struct bench *b, const char *name)
{
	int fd = open_in(b->workfd, name, O_RDWR, 0);

	if (fsync(fd) < 0)
		fatal("fsync %s", name);
	errno = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (errno)
		fatal("fadvise %s", name);
	close_fd(fd);
}

static void read_through(const struct bench *b, const char *name, uint64_t size, unsigned char *buf)
{
	int fd = open_in(b->workfd, name, O_RDONLY, 0);

	for (uint64_t at = 0; at < size; at += SEQ_CALL) {
		read_all(fd, buf, SEQ_CALL);
		check_stamp(buf, at / BLOCK, 0);
	}
	close_fd(fd);
}

void bench_seqread128k(const struct bench *b)
{
	uint64_t size = file_size(b, 64u << 20);
	struct result r = { .name = "seqread128k", .n = size / SEQ_CALL, .bytes = size };
	unsigned char *buf = call_buffer(SEQ_CALL, b->seed);

	fill(b, "stream", size, buf);
	drop_pages(b, "stream");
	read_through(b, "stream", size, buf);
	drop_pages(b, "stream");
	lap_start(&r.lap);
	read_through(b, "stream", size, buf);
	lap_stop(&r.lap);
	if (b->verify)
		check_blocks(b, "stream", size, buf, NULL);
	report(b, &r);
}
