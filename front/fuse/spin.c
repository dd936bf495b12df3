/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a worker looks for the next request for a while before it sleeps.
 *
 * To wake a worker that sleeps is most of the price of a request where the client has a core for itself: an idle core takes
 * some 25 us. A worker that looks on is there at once. That is worth nothing, or less, where the client thinks for long between its
 * calls, or where several clients, the module's process or others need the cores. So it is tried: the time of a
 * window of requests without looking is held against that of the next one with it, and what is faster stays for a while:
 *
 *	PLAIN window -> LOOK window -> HOLD one of them -> PLAIN ...
 *
 * A hold is longer the more often it was the same. Looking ends at once when requests do not come in time, and when the core was
 * given away and came back late: then somebody else has work for it.
 */
#include "front.h"

#include <sched.h>
#include <time.h>

enum { HOLD, PLAIN, LOOK };

enum {
	SPIN_NS = 50 * 1000,
	LATE_NS = 200 * 1000,
	PAUSE_NS = 1000 * 1000, /* more between two requests says nothing about us */
	WINDOW = 64,		/* requests */
	SHORT = 512,		/* a hold: requests */
	LONG = 8192,
	SCORE_FIRST = 8,
	SCORE_MOST = 16,
	SCORE_LOST = 4,
};

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void begin(struct td__fuse_patience *p, int phase)
{
	p->phase = phase;
	p->looks = phase == LOOK;
	p->score = SCORE_FIRST;
	p->left = WINDOW;
	p->last = p->sum = 0;
}

static void hold(struct td__fuse_patience *p, int looks)
{
	p->hold = looks != p->held || !p->hold ? SHORT : p->hold < LONG ? 2 * p->hold : LONG;
	p->phase = HOLD;
	p->looks = p->held = looks;
	p->left = p->hold;
}

static void measure(struct td__fuse_patience *p)
{
	int64_t t = now(), took = t - p->last;

	if (p->last)
		p->sum += took < PAUSE_NS ? took : PAUSE_NS;
	p->last = t;
}

/*
 * The client, the worker and the module's process each want a core. Where there are two, the process often keeps one busy, and then the
 * other two are well off on one: a window is too short to see that.
 */
static int cores_suffice(const struct td_fuse *f)
{
	return f->cores >= 2 + td_fs_has_process(f->fs);
}

static void next_phase(const struct td_fuse *f, struct td__fuse_patience *p)
{
	switch (p->phase) {
	case HOLD:
		if (cores_suffice(f))
			begin(p, PLAIN);
		else
			hold(p, 0);
		break;
	case PLAIN:
		p->plain = p->sum;
		begin(p, LOOK);
		break;
	case LOOK: hold(p, p->sum < p->plain - p->plain / 10); break;
	}
}

int td__fuse_spins(struct td_fuse *f, struct td__fuse_patience *p)
{
	if (atomic_load_explicit(&f->readers, memory_order_relaxed) > 1) {
		p->last = 0;
		return 0;
	}
	if (p->phase != HOLD)
		measure(p);
	if (!p->left--)
		next_phase(f, p);
	p->since = 0;
	return p->looks;
}

int td__fuse_spin_on(struct td__fuse_patience *p)
{
	int64_t before = now(), after;

	sched_yield();
	after = now();
	if (!p->since)
		p->since = before;
	if (after - before <= LATE_NS && after - p->since < SPIN_NS)
		return 1;
	p->score -= SCORE_LOST;
	if (p->score < 0 || after - before > LATE_NS)
		hold(p, 0);
	return 0;
}

void td__fuse_spin_won(struct td__fuse_patience *p)
{
	if (p->score < SCORE_MOST)
		p->score++;
}
