/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of fsbench share.
 *
 * A workload is a function that works below one directory of its own, times the part that counts
 * with a lap, checks what it wrote, and reports. It never cleans up: the parent process removes the
 * directory, whatever became of the workload. An error in a benchmark has no remedy, so everything
 * that fails calls fatal(), and no workload returns after one.
 */
#ifndef FSBENCH_H
#define FSBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { EXIT_SKIP = 77, POOL_SIZE = 1 << 20 };

struct bench {
	const char *workload;
	const char *dir; /* the directory under test */
	char work[4096]; /* a new directory in it, for this run alone */
	int workfd;
	unsigned count; /* operations; 0: the workload's own choice */
	uint64_t size;	/* bytes of the file; 0: the workload's own choice */
	uint64_t seed;
	bool verify;
	bool json;
};

/* A measured stretch of time, with the processor time of this process, its children and the
 * watched servers in it. */
struct lap {
	uint64_t ns, cpu;
	uint64_t ns0, cpu0;
};

struct result {
	const char *name;
	uint64_t n; /* operations, or files, that the lap covers */
	struct lap lap;
	uint64_t bytes;	    /* moved in all; 0: not a matter of bytes */
	uint64_t median_ns; /* of single operations; 0: not measured */
	const char *note;   /* how it was measured, where that can differ; or NULL */
};

/* fs_util.c */
void fatal(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void skip(const struct bench *b, const char *why) __attribute__((noreturn));
void report(const struct bench *b, const struct result *r);
uint64_t now_ns(void);
void watch_cpu_of(pid_t pid);
void lap_start(struct lap *lap);
void lap_stop(struct lap *lap);
uint64_t rnd(uint64_t *state);
uint64_t median(uint64_t *samples, size_t n);
const unsigned char *pool(uint64_t key, size_t size);
void *aligned_buffer(size_t size);
void write_all(int fd, const void *data, size_t size, size_t chunk);
void read_all(int fd, void *data, size_t size);
int open_in(int dirfd, const char *name, int flags, unsigned mode);
void close_fd(int fd);
bool drop_dentries(const struct bench *b);

/* fs_tree.c: a tree of many small files, the same for the same seed */
void tree_write(int dirfd, unsigned files, uint64_t seed);
void tree_check(int dirfd, unsigned files, uint64_t seed);

/* the workloads */
void bench_unpack(const struct bench *b);
void bench_create(const struct bench *b);
void bench_stat(const struct bench *b);
void bench_statwarm(const struct bench *b);
void bench_rename(const struct bench *b);
void bench_unlink(const struct bench *b);
void bench_meta(const struct bench *b);
void bench_copy64k(const struct bench *b);
void bench_randread4k(const struct bench *b);
void bench_randwrite4k(const struct bench *b);
void bench_seqread128k(const struct bench *b);
void bench_seqwrite128k(const struct bench *b);
void bench_git(const struct bench *b);
void bench_sqlite(const struct bench *b);
void bench_compile(const struct bench *b);

#endif
