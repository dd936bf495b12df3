/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port to a Linux process: locks are pthreads', pages are memfds, so that other processes can map them.
 */
#include "../../core/port.h"
#include "current.h"
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct td__mutex), "mutex");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(struct td__cond), "cond");
_Static_assert(sizeof(pthread_rwlock_t) <= sizeof(struct td__rwlock), "rwlock");

/* ---- Memory */

/* From here on Linux's own zero pages, which cost nothing until touched. */
enum { WHOLE_PAGES = 128 << 10 };

void *td__port_alloc(size_t size)
{
	void *p = NULL;

	if (size >= WHOLE_PAGES) {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		return p == MAP_FAILED ? NULL : p;
	}
	if (size < 128)
		return calloc(1, size);
	if (posix_memalign(&p, 128, size))
		return NULL;
	return memset(p, 0, size);
}

void td__port_free(void *memory, size_t size)
{
	if (size >= WHOLE_PAGES)
		munmap(memory, size);
	else
		free(memory);
}

static uint64_t number_in(const char *path)
{
	unsigned long long n = 0;
	FILE *f = fopen(path, "re");

	if (f && fscanf(f, "%llu", &n) != 1) /* "max" */
		n = 0;
	if (f)
		fclose(f);
	return n ? n : UINT64_MAX;
}

/* What the machine has, or, in a container, what that has. */
uint64_t td__port_memory(void)
{
	static const char *const limits[] = { "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes" };
	uint64_t least = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		uint64_t n = number_in(limits[i]);

		least = n < least ? n : least;
	}
	return least;
}

/* ---- Locks. A failing lock is a wrong state of the kernel. */

static void must(int err)
{
	TD__ASSERT(!err);
}

void td__mutex_init(struct td__mutex *m)
{
	must(pthread_mutex_init((pthread_mutex_t *)m, NULL));
}

void td__mutex_lock(struct td__mutex *m)
{
	must(pthread_mutex_lock((pthread_mutex_t *)m));
}

void td__mutex_unlock(struct td__mutex *m)
{
	must(pthread_mutex_unlock((pthread_mutex_t *)m));
}

void td__mutex_fini(struct td__mutex *m)
{
	pthread_mutex_destroy((pthread_mutex_t *)m);
}

void td__cond_init(struct td__cond *c)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr));
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(pthread_cond_init((pthread_cond_t *)c, &attr));
	pthread_condattr_destroy(&attr);
}

void td__cond_wait(struct td__cond *c, struct td__mutex *m, uint32_t ms)
{
	struct timespec t;

	if (!ms) {
		must(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	int err = pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, &t);
	must(err == ETIMEDOUT ? 0 : err);
}

void td__cond_broadcast(struct td__cond *c)
{
	must(pthread_cond_broadcast((pthread_cond_t *)c));
}

void td__cond_fini(struct td__cond *c)
{
	pthread_cond_destroy((pthread_cond_t *)c);
}

/* Writers first: a stream of readers must not keep a change of level or a truncate waiting. */
void td__rwlock_init(struct td__rwlock *l)
{
	pthread_rwlockattr_t attr;

	must(pthread_rwlockattr_init(&attr));
	must(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
	must(pthread_rwlock_init((pthread_rwlock_t *)l, &attr));
	pthread_rwlockattr_destroy(&attr);
}

void td__rwlock_shared(struct td__rwlock *l)
{
	must(pthread_rwlock_rdlock((pthread_rwlock_t *)l));
}

void td__rwlock_exclusive(struct td__rwlock *l)
{
	must(pthread_rwlock_wrlock((pthread_rwlock_t *)l));
}

void td__rwlock_unlock(struct td__rwlock *l)
{
	must(pthread_rwlock_unlock((pthread_rwlock_t *)l));
}

void td__rwlock_fini(struct td__rwlock *l)
{
	pthread_rwlock_destroy((pthread_rwlock_t *)l);
}

/* ---- Threads and time */

/* For what each call asks: this is never part of a library that is loaded later. */
#define FAST __attribute__((tls_model("initial-exec")))

static int barriers; /* Linux has them */

uint32_t td__port_thread(void)
{
	static atomic_uint threads;
	static _Thread_local uint32_t number FAST;

	if (!number)
		number = atomic_fetch_add(&threads, 1) + 1;
	return number;
}

static void register_barriers(void)
{
	barriers = !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
}

int td__port_barrier_all(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_barriers);
	return barriers && !syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) ? 0 : -EOPNOTSUPP;
}

__thread struct td__call *td__port_current;

struct td__call *td__port_call(void)
{
	return td__port_current;
}

void td__port_set_call(struct td__call *c)
{
	td__port_current = c;
}

static _Thread_local const void *caller FAST;

const void *td__port_caller(void)
{
	return caller;
}

void td__port_set_caller(const void *cred)
{
	caller = cred;
}

uint64_t td__port_monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void td__port_now(int64_t *sec, uint32_t *nsec)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	*sec = t.tv_sec;
	*nsec = (uint32_t)t.tv_nsec;
}

/* ---- Pages */

int td__port_pages(uint64_t size, struct td__pages *pages)
{
	int fd = memfd_create("tadan", MFD_CLOEXEC);
	void *base;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size)) {
		int err = -errno;

		close(fd);
		return err;
	}
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED) {
		int err = -errno;

		close(fd);
		return err;
	}
	*pages = (struct td__pages){ base, size, fd };
	return 0;
}

void td__port_pages_free(struct td__pages *pages)
{
	munmap(pages->base, pages->size);
	close((int)pages->share);
	*pages = (struct td__pages){ NULL, 0, -1 };
}

void td__port_pages_drop(struct td__pages *pages, uint64_t off, uint64_t len)
{
	if (fallocate((int)pages->share, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len))
		memset((char *)pages->base + off, 0, len);
}

/* A fault for each new page costs more than the copy; from about here on a system call is cheaper. */
enum { MANY_BYTES = 96 << 10 };

void td__port_pages_write(struct td__pages *pages, uint64_t off, const void *data, uint64_t len)
{
	ssize_t n = len < MANY_BYTES ? 0 : pwrite((int)pages->share, data, len, (off_t)off);
	uint64_t done = n > 0 ? (uint64_t)n : 0;

	memcpy((char *)pages->base + off + done, (const char *)data + done, len - done);
}

/* ---- Words */

void td__port_log(uint32_t priority, const char *text)
{
	syslog((int)priority, "%s", text);
}

_Noreturn void td__port_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "tadan: wrong state of the kernel: %s:%d: %s\n", file, line, what);
	syslog(LOG_CRIT, "wrong state of the kernel: %s:%d: %s", file, line, what);
	abort();
}
