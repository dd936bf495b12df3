/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who spins while he waits for a turn, and who sleeps.
 *
 * A crossing is as cheap as it can be if both sides spin, each on a core that has nothing else to do; else spinning takes time from others, maybe
 * from the other side. Nobody can know, so a slot tries, and has a budget for what is spun in vain. Turns that come while somebody spins fill it,
 * and time does, slowly: so where it never pays, little is spent. It is tried only
 *   - after some crossings that each came so soon after the last that a module that spins would still do so
 *   - with two cores for it: there are as many pairs as this host's process has cores for, and a slot that spins holds one.
 * The module's thread then gets a core other than its caller's (place.c).
 *
 *   asleep --has a budget, is called often, gets a pair--> spins --budget spent, no call for a while, a core busy, or the pair lost--> asleep
 *
 * Where the module has not taken its turn although it should spin, or be up by now, something else has its core: then it is fetched to the
 * caller's, which sleeps. Who finds no pair crosses asleep; or waits for one, where that is dearer than to take turns of some hundred
 * crossings. A pair whose owner has not crossed for a while is anybody's: so an owner may just go away. Everything here is about speed: what
 * a module does to the words that it shares can make its own calls slow and no others.
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

enum {
	PAIRS_MOST = 64,
	ROUND_NS = 20, /* of spinning, about */
	BUDGET_MOST = 3 * TD__SPIN_WAKE,
	BUDGET_WON = 100, /* rounds that a turn is worth which came while one spun: two calls of the system, and being woken */
	BUDGET_SHARE = 20, /* a part of all time may be spent in vain: one of so many */
	OFTEN_NS = TD__SPIN_NEXT * ROUND_NS,
	ROW = 6,    /* crossings, each soon after the last: to wake a core takes as long as some crossings asleep ... */
	ROW_MOST = 96, /* ... and twice as many each time that few followed */
	FEW = 16,
	MOVE = 500, /* rounds: that the module goes to another core because its caller came to its own */
	DEAR_NS = 6000, /* a crossing asleep: then one waits for a pair */
	SLICE = 512,    /* crossings, if others wait */
	STILL_NS = 100000, /* without a crossing: the pair is anybody's */
	WAITS = 5,          /* for a pair: as long as that, and twice as long each time */
};

/* Two cores, for both sides of a slot. Owner and count are written by the owner, the former also by who takes it from him. */
static struct pair {
	uint32_t owner; /* number of a slot, 0: nobody */
	uint32_t crossings;
} __attribute__((aligned(128))) pairs[PAIRS_MOST];

static struct {
	uint32_t waiting; /* slots that wait for a pair */
	uint32_t freed;   /* counts pairs that were given back */
} queue __attribute__((aligned(128)));

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- Pairs */

static uint32_t npairs(const struct td__process *p)
{
	return p->cores / 2 < PAIRS_MOST ? p->cores / 2 : PAIRS_MOST;
}

static int is_mine(const struct td__patience *w)
{
	return __atomic_load_n(&pairs[w->pair].owner, __ATOMIC_RELAXED) == w->number;
}

static int take_pair(struct td__patience *w, uint32_t pair, uint32_t from)
{
	if (!__atomic_compare_exchange_n(&pairs[pair].owner, &from, w->number, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return 0;
	__atomic_store_n(&pairs[pair].crossings, 0, __ATOMIC_RELAXED);
	w->pair = pair;
	return 1;
}

static void give_pair(struct td__patience *w)
{
	uint32_t mine = w->number;

	if (!__atomic_compare_exchange_n(&pairs[w->pair].owner, &mine, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED) ||
	    !__atomic_load_n(&queue.waiting, __ATOMIC_SEQ_CST))
		return;
	__atomic_add_fetch(&queue.freed, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &queue.freed, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

/* Has the owner of the pair that the slot watches not crossed for a while? */
static int is_still(struct td__patience *w, uint32_t pair, uint32_t *owner)
{
	uint32_t crossings = __atomic_load_n(&pairs[pair].crossings, __ATOMIC_RELAXED);
	uint64_t now = now_ns();

	*owner = __atomic_load_n(&pairs[pair].owner, __ATOMIC_RELAXED);
	if (*owner == w->watched && crossings == w->crossings)
		return now - w->since > STILL_NS;
	w->watched = *owner;
	w->crossings = crossings;
	w->since = now;
	return 0;
}

static int find_pair(const struct td__process *p, struct td__patience *w)
{
	uint32_t n = npairs(p), watch = w->number % n, owner;

	for (uint32_t i = 0; i < n; i++)
		if (!__atomic_load_n(&pairs[i].owner, __ATOMIC_RELAXED) && take_pair(w, i, 0))
			return 1;
	return is_still(w, watch, &owner) && take_pair(w, watch, owner);
}

static int wait_for_pair(const struct td__process *p, struct td__patience *w, int gave)
{
	struct timespec most = { .tv_nsec = STILL_NS };
	int found = 0;

	__atomic_add_fetch(&queue.waiting, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < WAITS && !found; i++, most.tv_nsec *= 2) {
		uint32_t was = __atomic_load_n(&queue.freed, __ATOMIC_SEQ_CST);

		if (!gave) /* else one has just given it to somebody */
			found = find_pair(p, w);
		if (!found)
			syscall(SYS_futex, &queue.freed, FUTEX_WAIT_PRIVATE, was, &most, 0, 0);
		gave = 0;
	}
	__atomic_sub_fetch(&queue.waiting, 1, __ATOMIC_SEQ_CST);
	return found;
}

/* ---- Trying */

static void earn(struct td__patience *w, uint64_t rounds)
{
	w->budget = rounds < (uint64_t)(BUDGET_MOST - w->budget) ? w->budget + (int32_t)rounds : BUDGET_MOST;
}

/* Time that has passed is worth some rounds. Gives what it is now. */
static uint64_t earn_time(struct td__patience *w)
{
	uint64_t now = now_ns();

	earn(w, (now - w->asked) / (ROUND_NS * BUDGET_SHARE));
	w->asked = now;
	return now;
}

static void tell(struct td__seat *s, uint32_t rounds)
{
	__atomic_store_n(&s->control->spin, rounds, __ATOMIC_RELAXED);
}

/* The slot has a pair. 0: no core for the module after all. */
static uint32_t begin(const struct td__process *p, struct td__seat *s)
{
	if (td__place(p, s, TD__PLACE_AWAY)) {
		give_pair(&s->patience);
		s->patience.budget = 0;
		return 0;
	}
	s->patience.spins = 1;
	s->patience.began = s->given;
	tell(s, TD__SPIN_NEXT);
	return TD__SPIN_WAKE;
}

/* The module stops at once, too: its core may be the next one's. */
static void stop(struct td__seat *s)
{
	struct td__patience *w = &s->patience;

	tell(s, 0);
	give_pair(w);
	w->spins = w->may = 0;
	w->came = earn_time(w);
}

/* It did not pay to wake a core, or no longer does. */
static void end_row(struct td__seat *s)
{
	struct td__patience *w = &s->patience;

	if (s->given - w->began >= FEW)
		w->enough = ROW;
	else if (w->enough < ROW_MOST)
		w->enough *= 2;
	w->row = 0;
	stop(s);
}

/* A slot that does not spin, or shall no longer since others wait (gave), is about to cross. */
static __attribute__((noinline)) uint32_t try(const struct td__process *p, struct td__seat *s, int gave)
{
	static uint32_t numbers;
	struct td__patience *w = &s->patience;
	uint64_t now = earn_time(w);
	int found;

	if (now - w->came > OFTEN_NS) {
		w->row = 0;
		return 0;
	}
	if (!w->enough)
		w->enough = ROW;
	if (++w->row < w->enough || w->budget < TD__SPIN_WAKE)
		return 0;
	while (!w->number)
		w->number = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);
	found = !gave && find_pair(p, w);
	if (!found && w->slept > DEAR_NS)
		found = wait_for_pair(p, w, gave);
	w->asked = now_ns();
	return found ? begin(p, s) : 0;
}

void td__patience_goes_on(struct td__seat *s)
{
	struct td__patience *w = &s->patience;
	uint32_t n = __atomic_load_n(&pairs[w->pair].crossings, __ATOMIC_RELAXED) + 1;

	__atomic_store_n(&pairs[w->pair].crossings, n, __ATOMIC_RELAXED);
	w->may = is_mine(w) && w->budget >= 0 && (n < SLICE || !__atomic_load_n(&queue.waiting, __ATOMIC_RELAXED)) &&
		 td__is_placed(s, TD__PLACE_AWAY);
}

uint32_t td__patience_decides(const struct td__process *p, struct td__seat *s)
{
	struct td__patience *w = &s->patience;
	int gave = w->spins;

	if (p->cores < 2)
		return 0;
	if (w->spins && is_mine(w) && w->budget >= 0 && !td__is_placed(s, TD__PLACE_AWAY)) { /* the caller has moved */
		w->budget -= MOVE;
		if (!td__place(p, s, TD__PLACE_AWAY))
			return TD__SPIN_WAKE;
	}
	if (w->spins)
		stop(s);
	return try(p, s, gave);
}

uint32_t td__patience_wakes(const struct td__process *p, struct td__seat *s, uint32_t rounds)
{
	struct td__patience *w = &s->patience;

	if (rounds == TD__SPIN) { /* no longer, then: it would be woken on another core */
		w->budget -= TD__SPIN_NEXT;
		end_row(s);
		rounds = 0;
	}
	if (!rounds && p->cores > 1 && !td__is_placed(s, TD__PLACE_HERE))
		td__place(p, s, TD__PLACE_HERE);
	return rounds;
}

void td__patience_vain(const struct td__process *p, struct td__seat *s, uint32_t rounds)
{
	struct td__patience *w = &s->patience;

	w->budget -= (int32_t)rounds;
	if (!rounds || __atomic_load_n(&s->control->taken, __ATOMIC_RELAXED) == s->given)
		return;
	end_row(s);
	td__place(p, s, TD__PLACE_HERE);
}

void td__patience_came(const struct td__process *p, struct td__seat *s, uint32_t rounds)
{
	struct td__patience *w = &s->patience;

	if (rounds) {
		earn(w, BUDGET_WON);
	} else if (p->cores > 1) {
		w->came = now_ns();
		w->slept = w->came - w->asked;
	}
}
