/* SPDX-License-Identifier: BSD-2-Clause */
/* One thread at a time: see sched.h. */
#include "sched.h"

#include <string.h>

enum { STACK = 64 << 10 };
enum state { READY, ASLEEP, WATCHING, ENDED };

void td__sched_switch(void **from, void *to);

struct thread {
	struct td__sched_thread is;
	enum state state;
	const void *on; /* what it sleeps on */
	uint32_t early;
	int forced;
	void *sp;
};

static struct {
	struct td__schedule *schedule;
	struct thread threads[TD__SCHED_THREADS];
	uint32_t n, self, preemptions;
	const char *wrong;
	void *main_sp;
	uint64_t random;
} now;
static uint8_t stacks[TD__SCHED_THREADS][STACK] __attribute__((aligned(16)));

/* ---- Who goes on */

static uint32_t draw(uint32_t n)
{
	now.random ^= now.random << 13;
	now.random ^= now.random >> 7;
	now.random ^= now.random << 17;
	return (uint32_t)((now.random * 0x2545f4914f6cdd1dull >> 33) % n);
}

/* With random schedules it is seldom that a thread has to make room: else no run would get far. */
static uint32_t choose(uint32_t n, int preempts)
{
	struct td__schedule *s = now.schedule;
	uint32_t choice = 0;

	if (n < 2)
		return 0;
	if (s->n == TD__SCHED_CHOICES)
		td__sched_fail("the run does not end");
	if (s->n < s->given)
		choice = s->choice[s->n] < n ? s->choice[s->n] : 0;
	else if (s->random && (!preempts || !draw(6)))
		choice = draw(n);
	s->choice[s->n] = (uint8_t)choice;
	s->of[s->n++] = (uint8_t)n;
	return choice;
}

static int can_watch(struct thread *t)
{
	return t->state == WATCHING && t->early && t->is.worth(t->is.arg);
}

/* The threads that may go on, the one that runs first. */
static uint32_t candidates(uint8_t *list, int *preempts)
{
	uint32_t n = 0;

	*preempts = now.threads[now.self].state == READY;
	if (*preempts)
		list[n++] = (uint8_t)now.self;
	if (*preempts && now.preemptions >= now.schedule->preemptions)
		return n;
	for (uint32_t i = 0; i < now.n; i++)
		if (i != now.self && (now.threads[i].state == READY || can_watch(&now.threads[i])))
			list[n++] = (uint8_t)i;
	return n;
}

/* Nobody is ready: a watcher, if there is anybody to watch. -1: the run is over. */
static int watcher(void)
{
	int found = -1, alive = 0;

	for (uint32_t i = 0; i < now.n; i++) {
		alive |= now.threads[i].state == ASLEEP;
		if (now.threads[i].state == WATCHING)
			found = (int)i;
	}
	if (!alive)
		return -1;
	if (found < 0)
		now.wrong = "nobody can go on";
	else
		now.threads[found].forced = 1;
	return found;
}

static int pick(void)
{
	uint8_t list[TD__SCHED_THREADS];
	int preempts, next;
	uint32_t n = candidates(list, &preempts);

	if (!n || (n == 1 && now.threads[list[0]].state == WATCHING)) {
		next = watcher();
	} else {
		next = list[choose(n, preempts)];
		now.preemptions += preempts && next != (int)now.self;
		now.threads[next].forced = 0;
	}
	return next;
}

static void go_on(void)
{
	uint32_t self = now.self;
	int next = pick();

	if (next == (int)self)
		return;
	now.self = next < 0 ? self : (uint32_t)next;
	td__sched_switch(&now.threads[self].sp, next < 0 ? now.main_sp : now.threads[next].sp);
}

/* ---- For the threads */

void td__sched_point(void)
{
	if (now.schedule)
		go_on();
}

_Noreturn void td__sched_fail(const char *what)
{
	void *lost;

	now.wrong = what;
	td__sched_switch(&lost, now.main_sp);
	__builtin_unreachable();
}

int td__sched_watch(void)
{
	struct thread *t = &now.threads[now.self];

	t->state = WATCHING;
	go_on();
	t->state = READY;
	if (!t->forced)
		t->early--;
	return t->forced;
}

uint32_t td__sched_self(void)
{
	return now.self;
}

void td__sched_sleep(const void *what)
{
	struct thread *t = &now.threads[now.self];

	t->on = what;
	t->state = ASLEEP;
	go_on();
}

void td__sched_wake(const void *what)
{
	for (uint32_t i = 0; i < now.n; i++)
		if (now.threads[i].state == ASLEEP && now.threads[i].on == what)
			now.threads[i].state = READY;
}

/* ---- Runs */

static _Noreturn void begin(void)
{
	struct thread *t = &now.threads[now.self];

	t->is.run(t->is.arg);
	t->state = ENDED;
	go_on();
	__builtin_unreachable();
}

/* A stack as td__sched_switch() leaves it, with begin() to return to. */
static void prepare(uint32_t i, const struct td__sched_thread *is)
{
	struct thread *t = &now.threads[i];
	void **top = (void **)(stacks[i] + STACK);

	*t = (struct thread){ .is = *is, .state = READY, .early = is->early };
	top -= 3; /* where a call would have left its return address: the stack's alignment at begin() */
	*--top = (void *)begin;
	top -= 6;
	memset(top, 0, 6 * sizeof(*top));
	t->sp = top;
}

const char *td__sched_run(struct td__schedule *s, const struct td__sched_thread *threads, uint32_t n)
{
	now.schedule = s;
	now.n = n;
	now.preemptions = 0;
	now.wrong = NULL;
	now.random = s->random;
	s->n = 0;
	for (uint32_t i = 0; i < n; i++)
		prepare(i, &threads[i]);
	now.self = 0;
	td__sched_switch(&now.main_sp, now.threads[0].sp);
	now.schedule = NULL;
	return now.wrong;
}

int td__schedule_next(struct td__schedule *s)
{
	uint32_t n = s->n;

	while (n && s->choice[n - 1] + 1 >= s->of[n - 1])
		n--;
	if (!n)
		return 0;
	s->choice[n - 1]++;
	s->given = n;
	return 1;
}
