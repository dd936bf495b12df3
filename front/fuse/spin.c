/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a worker looks for the next request for a while before it sleeps.
 *
 * To wake a worker that sleeps is most of the price of a request where the client has a core for itself: an idle core takes
 * some 25 us. A worker that looks on is there at once. That is worth nothing where the client thinks for long between its
 * calls, where several clients keep all cores busy, or where others want the core. So it is tried now and then,
 * more seldom the more often it was in vain. A try goes on while requests mostly come in time, and ends at
 * once when the core was given away and came back late: a slice of somebody else's time is worth a hundred requests.
 */
#include "front.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
	SPIN_NS = 50 * 1000,
	FIRST_NS = 100 * 1000, /* until both sides are in step */
	LATE_NS = 200 * 1000,  /* somebody else had work for the core */
	TRY_OFTEN = 128,       /* requests from one try to the next */
	TRY_SELDOM = 8192,
	SCORE_FIRST = 8,
	SCORE_MOST = 16,
	SCORE_LOST = 4,
	PAID = 4096, /* requests that came in time: it is worth to try again soon */
};

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Is there a core for whoever looks, and one for the client? Where all share one, that says nothing. */
static int cores_idle(const struct td_fuse *f)
{
	char text[64];
	int fd, n, running;

	if (f->cores == 1)
		return 1;
	fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = (int)read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return sscanf(text, "%*s %*s %*s %d/", &running) == 1 && running < sysconf(_SC_NPROCESSORS_ONLN);
}

/* After so many times the pause before this try; or soon, if it was worth it. */
static void try_later(struct td__fuse_patience *p, unsigned times)
{
	p->spins = 0;
	p->every = p->won >= PAID ? TRY_OFTEN : p->every * times < TRY_SELDOM ? p->every * times : TRY_SELDOM;
	p->left = p->every;
}

int td__fuse_spins(struct td_fuse *f, struct td__fuse_patience *p)
{
	if (atomic_load_explicit(&f->readers, memory_order_relaxed) > 1)
		return 0;
	p->since = 0;
	if (p->spins || p->left--)
		return p->spins;
	if (!p->every)
		p->every = TRY_OFTEN;
	p->spins = cores_idle(f);
	p->score = SCORE_FIRST;
	p->won = 0;
	if (!p->spins)
		try_later(p, 1);
	return p->spins;
}

int td__fuse_spin_on(struct td__fuse_patience *p)
{
	int64_t before = now(), after;

	sched_yield();
	after = now();
	if (!p->since)
		p->since = before;
	if (after - before > LATE_NS) {
		try_later(p, 8);
		return 0;
	}
	if (after - p->since < (p->score <= SCORE_FIRST + 1 ? FIRST_NS : SPIN_NS))
		return 1;
	p->score -= SCORE_LOST;
	if (p->score < 0)
		try_later(p, 2);
	return 0;
}

void td__fuse_spin_won(struct td__fuse_patience *p)
{
	p->won++;
	if (p->score < SCORE_MOST)
		p->score++;
}
