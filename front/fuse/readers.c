/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who waits for the next request, and who rests.
 *
 * Linux wakes the worker that has waited longest. With one client that makes one call after the other, a
 * second reader costs a change of threads per call, a fifth of all the time; so one worker reads and works, and the
 * others rest. With several clients at once, a reader for each core is best. Which of the two it is shows
 * in the requests: over a window of them, how often the client was another than the one before.
 *
 * Nobody reads while all readers work. That is fine as long as their work is short. So the last one calls another
 * before work that is long by nature, and serve looks every few milliseconds whether requests are still taken;
 * if not, a module may be sleeping, and another worker is called. When nothing happens, serve sleeps too.
 *
 * The counters of the window are hints: workers may lose each other's updates.
 */
#include "front.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

enum {
	WINDOW = 64,	  /* requests */
	MANY = 16,	  /* changes of the client in a window: several clients at once */
	FEW = 4,	  /* so few: one client after the other */
	TICK_MS = 5,	  /* how often serve looks */
	LONG = 256 << 10, /* bytes to move that take long */
	AWAIT_US = 100,	  /* a turn of waiting for others */
	AWAIT_QUIET = 20, /* turns */
	AWAIT_TURNS = 100,
};

void td__fuse_readers_init(struct td_fuse *f)
{
	int n = f->cores = sched_getaffinity(0, sizeof(f->allowed), &f->allowed) ? 1 : CPU_COUNT(&f->allowed);

	f->busy_readers = n < f->nworkers ? n : f->nworkers;
	atomic_init(&f->readers, 1);
	sem_init(&f->rest, 0, 0);
}

/* Rest while enough others read. */
void td__fuse_start_reading(struct td_fuse *f)
{
	int old;

	while (atomic_fetch_add(&f->reading, 1) >= atomic_load(&f->readers)) {
		td__fuse_begin_anew(f, td__fuse_me);
		atomic_fetch_add(&f->resting, 1);
		/* A reader that left before `resting` counted us has called nobody: look again. */
		if (atomic_fetch_sub(&f->reading, 1) > atomic_load(&f->readers)) {
			pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
			while (sem_wait(&f->rest) && errno == EINTR)
				;
			pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
		}
		atomic_fetch_sub(&f->resting, 1);
	}
}

static void call(struct td_fuse *f)
{
	if (atomic_load(&f->resting) > 0)
		sem_post(&f->rest);
}

void td__fuse_let_read(struct td_fuse *f, int readers)
{
	for (int n = atomic_exchange(&f->readers, readers); n < readers; n++)
		call(f);
}

/* Requests that nobody waits for say nothing about clients. */
static int has_client(const struct fuse_in_header *request)
{
	return request->pid && request->opcode != FUSE_FORGET &&
	       request->opcode != FUSE_BATCH_FORGET && request->opcode != FUSE_INTERRUPT;
}

static void count_client(struct td_fuse *f, uint32_t client)
{
	unsigned changes;

	if (atomic_exchange_explicit(&f->client, client, memory_order_relaxed) != client)
		atomic_fetch_add_explicit(&f->changes, 1, memory_order_relaxed);
	if (atomic_fetch_add_explicit(&f->seen, 1, memory_order_relaxed) < WINDOW)
		return;
	atomic_store_explicit(&f->seen, 0, memory_order_relaxed);
	changes = atomic_exchange_explicit(&f->changes, 0, memory_order_relaxed);
	if (changes >= MANY)
		td__fuse_let_read(f, f->busy_readers);
	else if (changes <= FEW)
		td__fuse_let_read(f, 1);
}

void td__fuse_observe(struct td_fuse *f, const struct fuse_in_header *request)
{
	if (has_client(request))
		count_client(f, request->pid);
}

static int is_long(const struct fuse_in_header *request)
{
	switch (request->opcode) {
	case FUSE_WRITE: return request->len > LONG;
	case FUSE_READ: return ((const struct fuse_read_in *)(request + 1))->size > LONG;
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_FALLOCATE: return 1;
	default: return 0;
	}
}

/* request: 0 if there was none. */
void td__fuse_stop_reading(struct td_fuse *f, const struct fuse_in_header *request)
{
	int last = atomic_fetch_sub(&f->reading, 1) == 1;

	if (!request)
		return;
	atomic_store_explicit(&td__fuse_me->busy, 1, memory_order_relaxed);
	atomic_fetch_add(&f->taken, 1);
	if (atomic_load(&f->dozing) && atomic_exchange(&f->dozing, 0))
		sem_post(&f->wake);
	td__fuse_observe(f, request);
	if (last && is_long(request))
		call(f);
}

/*
 * Nothing waits in /dev/fuse, those who read it wait, and nobody forgets: seen for some milliseconds, since one of them may just have got
 * something and wait for a core.
 */
void td__fuse_await_others(struct td_fuse *f)
{
	struct pollfd p = { .fd = fuse_session_fd(f->session), .events = POLLIN };
	int quiet = 0;

	call(f);
	for (int turns = 0; quiet < AWAIT_QUIET && turns < AWAIT_TURNS; turns++) {
		usleep(AWAIT_US);
		if (poll(&p, 1, 0) || atomic_load(&f->reading) < atomic_load(&f->readers) || atomic_load(&f->forgetting))
			quiet = 0;
		else
			quiet++;
	}
}

static int sleep_a_tick(struct td_fuse *f)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += TICK_MS * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	return sem_timedwait(&f->wake, &until) && errno != EINTR && errno != ETIMEDOUT ? -errno : 0;
}

/*
 * `dozing` is set before `taken` is read again, and a worker counts before it reads `dozing`: so either
 * we see its request or it sees that it must wake us.
 */
static int sleep_long(struct td_fuse *f)
{
	int error = 0;

	atomic_store(&f->dozing, 1);
	if (atomic_load(&f->taken) == f->looked && sem_wait(&f->wake) && errno != EINTR)
		error = -errno;
	atomic_store(&f->dozing, 0);
	return error;
}

int td__fuse_watch(struct td_fuse *f)
{
	unsigned taken = atomic_load(&f->taken);
	int quiet = taken == f->looked, waits = atomic_load(&f->reading) > 0;

	f->looked = taken;
	if (quiet && waits)
		return sleep_long(f);
	if (quiet) {
		td__fuse_free_followers(f);
		call(f);
	}
	return sleep_a_tick(f);
}
