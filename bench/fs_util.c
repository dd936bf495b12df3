/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsbench: clocks, deterministic data, and system calls that must not fail.
 *
 * All data comes from one pool of pseudo-random bytes: the content of a file is the slice of the
 * pool that its key selects. So making content costs nothing inside a measured lap, and checking it
 * is one memcmp.
 */
#include "fsbench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

void fatal(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	fprintf(stderr, "fsbench: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s%s\n", err ? ": " : "", err ? strerror(err) : "");
	fflush(NULL);
	_exit(1);
}

void skip(const struct bench *b, const char *why)
{
	if (b->json)
		printf("{\"name\":\"%s\",\"skip\":\"%s\"}\n", b->workload, why);
	else
		printf("%-14s skipped: %s\n", b->workload, why);
	fflush(NULL);
	_exit(EXIT_SKIP);
}

static void report_json(const struct result *r)
{
	printf("{\"name\":\"%s\",\"ns\":%.1f,\"n\":%llu,\"total_ns\":%llu,\"cpu_ns\":%llu", r->name,
	       (double)r->lap.ns / r->n, (unsigned long long)r->n, (unsigned long long)r->lap.ns,
	       (unsigned long long)r->lap.cpu);
	if (r->bytes)
		printf(",\"bytes\":%llu", (unsigned long long)r->bytes);
	if (r->median_ns)
		printf(",\"median_ns\":%llu", (unsigned long long)r->median_ns);
	if (r->note)
		printf(",\"note\":\"%s\"", r->note);
	printf("}\n");
}

static void report_text(const struct result *r)
{
	double s = r->lap.ns / 1e9;

	printf("%-14s %8llu ops %9.3f ms %10.2f us/op %11.0f op/s", r->name,
	       (unsigned long long)r->n, s * 1e3, s * 1e6 / r->n, r->n / s);
	if (r->bytes)
		printf(" %8.1f MiB/s", r->bytes / s / (1 << 20));
	if (r->median_ns)
		printf("  median %.2f us", r->median_ns / 1e3);
	if (r->note)
		printf("  (%s)", r->note);
	printf("\n");
}

void report(const struct bench *b, const struct result *r)
{
	if (b->json)
		report_json(r);
	else
		report_text(r);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static uint64_t cpu_of(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000u +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000u;
}

static clockid_t watched[16];
static unsigned watching;

void watch_cpu_of(pid_t pid)
{
	if (watching == sizeof(watched) / sizeof(watched[0]) ||
	    (errno = clock_getcpuclockid(pid, &watched[watching])))
		fatal("watch the processor time of process %d", (int)pid);
	watching++;
}

/* A server that ended meanwhile no longer has a clock; its share is lost, the lap is not. */
static uint64_t cpu_ns(void)
{
	uint64_t sum = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
	struct timespec t;

	for (unsigned i = 0; i < watching; i++)
		if (clock_gettime(watched[i], &t) == 0)
			sum += (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
	return sum;
}

void lap_start(struct lap *lap)
{
	lap->cpu0 = cpu_ns();
	lap->ns0 = now_ns();
}

void lap_stop(struct lap *lap)
{
	lap->ns = now_ns() - lap->ns0;
	lap->cpu = cpu_ns() - lap->cpu0;
}

/* splitmix64: any state is a good one, so a seed of 0 is no special case. */
uint64_t rnd(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t median(uint64_t *samples, size_t n)
{
	qsort(samples, n, sizeof(*samples), by_value);
	return samples[n / 2];
}

const unsigned char *pool(uint64_t key, size_t size)
{
	static uint64_t *bytes;
	uint64_t state = 1;

	if (!bytes) {
		bytes = aligned_buffer(POOL_SIZE);
		for (size_t i = 0; i < POOL_SIZE / sizeof(*bytes); i++)
			bytes[i] = rnd(&state);
	}
	return (const unsigned char *)bytes + rnd(&key) % (POOL_SIZE - size);
}

void *aligned_buffer(size_t size)
{
	void *p = NULL;

	errno = posix_memalign(&p, 4096, size);
	if (errno)
		fatal("no memory for a buffer of %zu bytes", size);
	return memset(p, 0, size);
}

void write_all(int fd, const void *data, size_t size, size_t chunk)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size < chunk ? size : chunk);

		if (n <= 0)
			fatal("write");
		p += n;
		size -= n;
	}
}

void read_all(int fd, void *data, size_t size)
{
	char *p = data;

	while (size) {
		ssize_t n = read(fd, p, size);

		if (n < 0)
			fatal("read");
		if (n == 0) {
			errno = 0;
			fatal("read: the file ends %zu bytes too early", size);
		}
		p += n;
		size -= n;
	}
}

int open_in(int dirfd, const char *name, int flags, unsigned mode)
{
	int fd = openat(dirfd, name, flags | O_CLOEXEC, mode);

	if (fd < 0)
		fatal("open %s", name);
	return fd;
}

/* close() is where a writeback cache reports what it could not write. */
void close_fd(int fd)
{
	if (close(fd) < 0)
		fatal("close");
}

/*
 * Makes the Linux kernel forget the names and attributes that it caches for this one mount, so that
 * the next look at a name reaches the file system. To reconfigure a superblock without changing
 * anything does just that and leaves the caches of every other mount alone, but it needs the right
 * to mount. Only FUSE mounts gain by it: tmpfs keeps its names in that very cache.
 */
bool drop_dentries(const struct bench *b)
{
	struct statfs fs;
	int fd, res;

	if (fstatfs(b->workfd, &fs) < 0)
		fatal("statfs");
	if (fs.f_type != FUSE_SUPER_MAGIC)
		return false;
	fd = fspick(AT_FDCWD, b->dir, FSPICK_CLOEXEC);
	if (fd < 0)
		return false;
	res = fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
	close(fd);
	if (res < 0)
		return false;
	/* The forgets that follow are nobody's answer to wait for; give the server time for them. */
	usleep(50000);
	return statfs(b->dir, &fs) == 0;
}
