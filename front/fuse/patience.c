/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a worker waits for the next request, while one client makes one call after the other.
 *
 * Most of the price of a request is waking, once the worker and once the client: on one core that takes 3 us, and 25 to 50 us where the
 * other core is idle and has to be woken, too. There are three ways:
 *
 *	SLEEP	where Linux puts it
 *	LOOK	where Linux puts it; it looks for the next request for a while before it sleeps
 *	FOLLOW	on the core that the client is on (follow.c): then no other core has a part in a request
 *
 * Which one is fastest depends on the machine, on what the client does between its calls, and on what else there is to do. So it is
 * tried: the time of a window of requests the way it is done is held against that of a window each of the other ways,
 * and, since the work may have changed meanwhile, the way it was done is timed again before another one takes its place.
 * The fastest stays for some windows. A hold is longer the more often it was the same, and ends early when requests
 * take longer than they did for some windows: then the work has changed, or the client is somewhere else.
 *
 *	HOLD -> TRY another way -> TRY the third -> AGAIN, if one was faster -> HOLD the fastest ...
 *
 * What Linux reads ahead is copied here while the client works on what came before: two cores do that faster than one. So long rows of large
 * reads are not followed.
 *
 * Looking ends at once when requests do not come in time, and when the core was given away and came back late: then somebody else has
 * work for it. Where several workers read there is more than one client; then all sleep, where Linux puts them.
 */
#include "front.h"

#include <sched.h>
#include <time.h>

enum { HOLD, TRY, AGAIN };
enum { SLEEP, FOLLOW, LOOK, WAYS };

enum {
	SPIN_NS = 50 * 1000,
	LATE_NS = 200 * 1000,
	PAUSE_NS = 1000 * 1000,	    /* more between two requests says nothing about us, */
	PAUSES = 4,		    /* unless it is so again and again: then we may wait for a core; */
	MOST_NS = 10 * 1000 * 1000, /* and no more than that */
	STUCK_NS = 20 * 1000 * 1000,
	WINDOW = 64, /* requests */
	SETTLE = 4,  /* requests before it, until the threads are where they belong */
	OFTEN = 2,   /* requests until we look for where the client is, if they are slow */
	SELDOM = 64,
	CHASE = 3, /* times that it may be found elsewhere, one after the other */
	SHORT = 8, /* a hold: windows */
	LONG = 128,
	SLOW = 3, /* windows until that ends a hold */
	READ_AHEAD = 64 << 10, /* bytes: nobody waits for these yet */
	BULK = 32,	       /* the most that is counted of reads of so many */
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

static void begin_window(struct td__fuse_patience *p)
{
	p->count = p->pauses = p->since_check = 0;
	p->sum = p->checked = 0;
}

/* 0: that is not possible here. */
static int go(struct td_fuse *f, struct td__fuse_worker *me, int way)
{
	struct td__fuse_patience *p = &me->patience;

	p->way = way;
	p->score = SCORE_FIRST;
	p->last = 0;
	p->every = OFTEN;
	begin_window(p);
	if (way == FOLLOW)
		return td__fuse_follow(f, me) >= 0;
	td__fuse_roam(f, me);
	return 1;
}

static void hold(struct td_fuse *f, struct td__fuse_worker *me, int way)
{
	struct td__fuse_patience *p = &me->patience;

	if (!go(f, me, way))
		go(f, me, way = SLEEP);
	p->hold = way != p->held || !p->hold ? SHORT : p->hold < LONG ? 2 * p->hold : LONG;
	p->phase = HOLD;
	p->held = way;
	p->windows = p->slow = 0;
	p->recent = 0;
}

/* We have waited for a core: the longer until we follow again the more often that happens. */
static void be_shy(struct td__fuse_patience *p)
{
	p->shyness = !p->shyness ? SHORT : p->shyness < LONG ? 2 * p->shyness : LONG;
	p->shy = p->shyness;
}

/*
 * The client, the worker and the module's process each want a core. Where there are two, the process often keeps one busy, and then the
 * other two are well off on one: a window is too short to see that.
 */
static int may(const struct td_fuse *f, const struct td__fuse_patience *p, int way)
{
	switch (way) {
	case FOLLOW: return !p->shy && p->bulk < BULK / 2;
	case LOOK: return f->cores >= 2 + td_fs_has_process(f->fs);
	default: return 1;
	}
}

/*
 * What a window this way must be below to be the faster one. FOLLOW has a start: where it is as fast to sleep, Linux has put both on one core
 * by chance, and that does not last.
 */
static int64_t bar(int way, int against, int64_t sum)
{
	if (way == FOLLOW)
		return sum + sum / 4;
	return against == FOLLOW ? sum - sum / 5 : sum - sum / 10;
}

static void try_next(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct td__fuse_patience *p = &me->patience;

	while (p->next < WAYS) {
		int way = p->next++;

		if (way != p->held && may(f, p, way) && go(f, me, way)) {
			p->least = bar(way, p->fastest, p->usual);
			return;
		}
	}
	if (p->fastest != p->held && go(f, me, p->held)) {
		p->phase = AGAIN;
		p->least = bar(p->held, p->fastest, p->usual);
		return;
	}
	hold(f, me, p->fastest);
}

static void try_others(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct td__fuse_patience *p = &me->patience;

	p->phase = TRY;
	p->next = SLEEP;
	p->fastest = p->held;
	p->usual = p->recent;
	try_next(f, me);
}

static void end_try(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct td__fuse_patience *p = &me->patience;

	if (p->sum < p->least) {
		p->fastest = p->way;
		p->usual = p->sum;
	} else if (p->way == FOLLOW && p->pauses) {
		be_shy(p);
	}
	if (p->phase == TRY)
		try_next(f, me);
	else
		hold(f, me, p->fastest);
}

/* As where another program keeps the core busy on which we follow the client: that is no time for a whole window. */
static int is_stuck(const struct td__fuse_patience *p)
{
	return p->way == FOLLOW && p->count > SETTLE && p->sum > p->usual + STUCK_NS;
}

static void end_window(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct td__fuse_patience *p = &me->patience;
	int stuck = is_stuck(p);

	p->sum = p->sum * WINDOW / (p->count - SETTLE);
	p->recent = p->recent ? (p->recent + p->sum) / 2 : p->sum;
	p->slow = p->recent > p->usual + p->usual / 2 ? p->slow + 1 : 0;
	if (++p->windows >= p->hold || p->slow >= SLOW || (stuck && p->windows > 1)) {
		if (p->way == FOLLOW && !p->slow)
			p->shyness = 0;
		try_others(f, me);
		return;
	}
	if (p->sum < p->usual)
		p->usual = p->sum;
	if (p->shy)
		p->shy--;
	begin_window(p);
}

/*
 * The client may have been moved: that is seen by some slow requests, and not looked for often where they are slow for another reason, or where
 * it is moved again each time.
 */
static void look_after_client(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct td__fuse_patience *p = &me->patience;
	int64_t usually = p->usual * p->every / WINDOW;

	if (++p->since_check < p->every)
		return;
	if (p->sum - p->checked <= usually + usually / 2)
		p->chase = 0;
	else if (td__fuse_follow(f, me) > 0 && p->chase++ < CHASE)
		p->every = OFTEN;
	else if (p->every < SELDOM)
		p->every *= 2;
	p->since_check = 0;
	p->checked = p->sum;
}

/* What takes longer than the fastest way has lost before its window is over. */
static void measure(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct td__fuse_patience *p = &me->patience;
	int64_t t = now(), before = p->last, took = t - before;

	p->last = t;
	if (!before || (took >= PAUSE_NS && p->pauses++ < PAUSES))
		return;
	if (++p->count > SETTLE)
		p->sum += took < MOST_NS ? took : MOST_NS;
	if (p->phase != HOLD && (p->count >= SETTLE + WINDOW || p->sum > p->least))
		end_try(f, me);
	else if (p->phase == HOLD && (p->count >= SETTLE + WINDOW || is_stuck(p)))
		end_window(f, me);
	else if (p->phase == HOLD && p->way == FOLLOW)
		look_after_client(f, me);
}

static int is_large_read(const struct fuse_in_header *request)
{
	return request && request->opcode == FUSE_READ && ((const struct fuse_read_in *)(request + 1))->size >= READ_AHEAD;
}

static void weigh(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct td__fuse_patience *p = &me->patience;

	if (!is_large_read(me->request.mem))
		p->bulk -= p->bulk > 0;
	else if (p->bulk < BULK)
		p->bulk++;
	if (p->phase != HOLD)
		return;
	if (p->way == FOLLOW && p->bulk >= BULK / 2) {
		p->interrupted = 1;
		hold(f, me, SLEEP);
		p->hold = 1;
	} else if (p->interrupted && !p->bulk) {
		p->interrupted = 0;
		hold(f, me, FOLLOW);
	}
}

void td__fuse_begin_anew(struct td_fuse *f, struct td__fuse_worker *me)
{
	td__fuse_roam(f, me);
	me->patience = (struct td__fuse_patience){ .shy = me->patience.shy, .shyness = me->patience.shyness };
}

int td__fuse_spins(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct td__fuse_patience *p = &me->patience;

	if (f->cores < 2)
		return 0;
	if (atomic_load_explicit(&f->readers, memory_order_relaxed) > 1) {
		td__fuse_begin_anew(f, me);
		return 0;
	}
	if (p->way == FOLLOW && !atomic_load_explicit(&me->follows, memory_order_relaxed)) {
		be_shy(p); /* serve has set us free */
		hold(f, me, p->held == FOLLOW ? SLEEP : p->held);
	}
	weigh(f, me);
	measure(f, me);
	p->since = 0;
	return p->way == LOOK;
}

int td__fuse_spin_on(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct td__fuse_patience *p = &me->patience;
	int64_t before = now(), after;

	sched_yield();
	after = now();
	if (!p->since)
		p->since = before;
	if (after - before <= LATE_NS && after - p->since < SPIN_NS)
		return 1;
	p->score -= SCORE_LOST;
	if (p->score < 0 || after - before > LATE_NS)
		hold(f, me, p->phase == HOLD ? SLEEP : p->fastest);
	return 0;
}

void td__fuse_spin_won(struct td__fuse_worker *me)
{
	if (me->patience.score < SCORE_MOST)
		me->patience.score++;
}
