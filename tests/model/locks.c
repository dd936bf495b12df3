/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core/lock.c, as it is, under every interleaving within bounds: calls that take locks in any order, change what these guard, are
 * aborted, undone and made again; and somebody who looks for deadlocks, at any moment and when nobody else can go on.
 *
 *   locks [SCENES [RANDOM]]    go through SCENES scenes with all schedules, then draw RANDOM more of both
 *   locks --replay ID          one run again, with what its calls do
 *
 * In every run: all calls end; no change is lost, and none that is undone is seen; what a call has read under a lock stays so until
 * it has given it back; where there is an order of locks nobody is disturbed; at the end nothing is held.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../core/fs.h"
#include "../../port/test/sched.h"
#include "script.h"

enum { ATTEMPTS = 40, EARLY_CHECKS = 2, RUNS_OF_A_SCENE = 20000, SCENES = 128, RANDOM = 1000000 };

static struct td__fs fs;
static struct td__domain domain;
static struct scene scene;

/* What the locks guard, and who has changed it without having committed, plus 1. */
static struct guarded {
	uint32_t value, committed, changer;
} guarded[LOCKS];

static struct actor {
	struct td__call *c;
	const struct step *steps;
	uint32_t inside, changed; /* bit n: what lock n guards */
	uint32_t seen[LOCKS], old[LOCKS];
	uint32_t attempts;
} actors[ACTORS];

static struct {
	uint64_t runs, aborted, revoked, careless;
} sum;

int td__careless_of(struct td__call *c, int error, const char *what, const char *object, uint64_t which)
{
	(void)c, (void)object, (void)which;
	sum.careless++;
	td__sched_fail(what);
	return -error;
}

void td__origin_put(struct td__call *c, const char *object, uint64_t which)
{
	(void)c, (void)object, (void)which;
	td__sched_fail("no call is traced here");
}

void td__mistake_deadlock(struct td__call *c, uint32_t lock)
{
	(void)c, (void)lock;
}

/* ---- A call */

static void begin(struct actor *a, uint32_t slot)
{
	struct td__call *c = a->c;

	__atomic_store_n(&c->aborted, 0, __ATOMIC_RELAXED);
	a->attempts++;
	c->journal.used = c->first_lock = c->granted = 0;
	a->inside = a->changed = 0;
	if (scene.expected >> slot & 1)
		td__lock_grant(c, (a->steps[0].lock + 1u) | (uint32_t)(a->steps[0].verb == LOCK_SHARED ? TD_SHARED : TD_EXCLUSIVE) << 16);
}

static int take(struct actor *a, const struct step *s)
{
	struct guarded *g = &guarded[s->lock];
	int err = td__lock_take(a->c, s->lock, s->verb == LOCK_SHARED ? TD_SHARED : s->verb == LOCK_EXCLUSIVE ? TD_EXCLUSIVE : TD_EXCLUSIVE | TD_TRY);

	if (err)
		return err;
	if (g->changer)
		td__sched_fail("a lock was given although what it guards may be undone");
	a->inside |= 1u << s->lock;
	a->seen[s->lock] = g->value;
	return 0;
}

static void check(const struct actor *a, uint32_t lock)
{
	if (guarded[lock].value != a->seen[lock])
		td__sched_fail("somebody else has changed what this call's lock guards");
}

static void add(struct actor *a, uint32_t lock)
{
	struct guarded *g = &guarded[lock];

	check(a, lock);
	td__locks_changed(a->c);
	a->c->journal.used += 8;
	if (!(a->changed >> lock & 1))
		a->old[lock] = g->value;
	a->changed |= 1u << lock;
	g->changer = td__sched_self() + 1;
	g->value = ++a->seen[lock];
}

static int step(struct actor *a, const struct step *s)
{
	int inside = a->inside >> s->lock & 1;

	switch (s->verb) {
	case LOCK_SHARED:
	case LOCK_EXCLUSIVE: return take(a, s);
	case TRY_EXCLUSIVE: return take(a, s) == -TD_EDEADLK ? -TD_EDEADLK : 0;
	case ADD:
		if (inside)
			add(a, s->lock);
		return 0;
	case CHECK:
		if (inside)
			check(a, s->lock);
		return 0;
	case UNLOCK:
		if (inside)
			td__lock_give(a->c, s->lock);
		a->inside &= ~(1u << s->lock);
		return 0;
	default: return 0;
	}
}

/* As the gateway: first the changes, then the locks. */
static void end(struct actor *a, int undo)
{
	for (uint32_t i = 0; i < LOCKS; i++) {
		if (!(a->changed >> i & 1))
			continue;
		if (guarded[i].changer != td__sched_self() + 1 || guarded[i].value != a->seen[i])
			td__sched_fail("somebody else has changed what was not committed");
		if (undo)
			guarded[i].value = a->old[i];
		else
			guarded[i].committed += a->seen[i] - a->old[i];
		guarded[i].changer = 0;
	}
	td__locks_give_all(a->c);
}

static void run_call(void *arg)
{
	struct actor *a = arg;
	int err;

	do {
		if (a->attempts == ATTEMPTS)
			td__sched_fail("a call is aborted again and again");
		begin(a, td__sched_self());
		err = 0;
		for (const struct step *s = a->steps; !err && s->verb; s++)
			err = step(a, s);
		for (uint32_t i = 0; i < LOCKS && err && !a->c->doomed; i++)
			if (a->inside >> i & 1 && !(a->c->held[0] >> i & 1))
				td__sched_fail("a call that is aborted runs without a lock that it had");
		if (!err && (a->c->aborted || a->c->doomed))
			err = -TD_EDEADLK;
		end(a, err);
		if (err && !a->c->gave_way)
			a->c->gave_way = __atomic_add_fetch(&fs.locks.gave_way, 1, __ATOMIC_RELAXED);
	} while (err && !a->c->doomed);
}

/* ---- Who looks for deadlocks */

static int worth(void *arg)
{
	(void)arg;
	return (fs.locks.waiting & (fs.locks.waiting - 1)) != 0;
}

/* The ticker's other duty. In the port a wait ends by itself after a while; here it has to be ended. */
static int doom(void)
{
	struct td__call *c = &fs.calls[scene.doomed - 1];

	if (!scene.doomed || !c->waits || c->doomed)
		return 0;
	__atomic_store_n(&c->doomed, TD_FAULT_TIME, __ATOMIC_RELEASE);
	td__mutex_lock(&fs.locks.mutex);
	td__cond_broadcast(&fs.locks.freed);
	td__mutex_unlock(&fs.locks.mutex);
	return 1;
}

static void look(void *arg)
{
	(void)arg;
	for (;;) {
		int nobody_else = td__sched_watch();

		if (doom())
			continue;
		uint32_t found = td__locks_check(&fs, scene.resolve);

		if (nobody_else && !found)
			td__sched_fail("nobody can go on, and it is no deadlock");
		if (found && scene.ordered)
			td__sched_fail("a deadlock is found where there cannot be one");
	}
}

/* ---- Runs */

static void reset(void)
{
	memset(&fs.locks, 0, sizeof(fs.locks));
	td__locks_init(&fs.locks);
	memset(guarded, 0, sizeof(guarded));
	for (uint32_t i = 0; i < scene.actors; i++) {
		struct td__call *c = &fs.calls[i];

		memset(c, 0, sizeof(*c));
		c->fs = &fs;
		c->slot = i;
		c->domain = &domain;
		actors[i] = (struct actor){ .c = c, .steps = scene.steps[i] };
	}
}

static const char *wrong_at_the_end(void)
{
	if (fs.locks.waiting)
		return "somebody waits";
	for (uint32_t i = 0; i < LOCKS; i++) {
		if (fs.locks.word[i])
			return "a lock is held, or marked";
		if (guarded[i].value != guarded[i].committed)
			return "a change was lost";
	}
	return NULL;
}

static const char *run(struct td__schedule *s)
{
	struct td__sched_thread threads[ACTORS + 1];
	const char *wrong;

	reset();
	for (uint32_t i = 0; i < scene.actors; i++)
		threads[i] = (struct td__sched_thread){ .run = run_call, .arg = &actors[i] };
	threads[scene.actors] = (struct td__sched_thread){ .run = look, .worth = worth, .early = EARLY_CHECKS };
	wrong = td__sched_run(s, threads, scene.actors + 1);
	sum.runs++;
	sum.revoked += fs.locks.revoked;
	sum.aborted += fs.locks.resolved - fs.locks.revoked;
	return wrong ? wrong : wrong_at_the_end();
}

/* SCENE:PREEMPTIONS:RANDOM:CHOICES, the choices in base 36 without the zeroes at the end. */
static void report(uint64_t number, const struct td__schedule *s, const char *wrong)
{
	uint32_t n = s->n;

	while (n && !s->choice[n - 1])
		n--;
	printf("FAILED: %s\n  replay: %llu:%u:%llu:", wrong, (unsigned long long)number, s->preemptions,
	       (unsigned long long)s->random);
	for (uint32_t i = 0; i < n && !s->random; i++)
		putchar("0123456789abcdefghijklmnopqrstuvwxyz"[s->choice[i]]);
	printf("\n");
	scene_print(&scene);
}

static int replay(const char *id)
{
	static struct td__schedule s;
	const char *wrong;
	char *at;
	uint64_t number = strtoull(id, &at, 10);

	s.preemptions = (uint32_t)strtoul(at + (*at == ':'), &at, 10);
	s.random = strtoull(at + (*at == ':'), &at, 10);
	for (at += *at == ':'; *at && s.given < TD__SCHED_CHOICES; at++)
		s.choice[s.given++] = (uint8_t)(*at >= 'a' ? *at - 'a' + 10 : *at - '0');
	scene_make(number, &scene);
	wrong = run(&s);
	if (wrong) {
		report(number, &s, wrong);
		return 1;
	}
	printf("well, after %u choices\n", s.n);
	scene_print(&scene);
	return 0;
}

/* All schedules of a scene, with more and more preemptions until there are too many. 1: well. */
static int go_through(uint64_t number)
{
	static struct td__schedule s;
	uint32_t left = RUNS_OF_A_SCENE;

	scene_make(number, &scene);
	for (uint32_t most = 0; most < 4 && left; most++) {
		memset(&s, 0, sizeof(s));
		s.preemptions = most;
		do {
			const char *wrong = run(&s);

			if (wrong) {
				report(number, &s, wrong);
				return 0;
			}
		} while (--left && td__schedule_next(&s));
	}
	return 1;
}

static int draw(uint64_t number)
{
	static struct td__schedule s;
	const char *wrong;

	scene_make(number / 4, &scene);
	s.preemptions = 6;
	s.random = number * 0x9e3779b97f4a7c15ull + 1;
	s.given = 0;
	wrong = run(&s);
	if (wrong)
		report(number / 4, &s, wrong);
	return !wrong;
}

int main(int argc, char **argv)
{
	uint64_t scenes = argc > 1 ? strtoull(argv[1], NULL, 10) : SCENES, random = argc > 2 ? strtoull(argv[2], NULL, 10) : RANDOM;
	uint32_t passed = 0, failed = 0;

	fs.calls = aligned_alloc(128, TD__SLOTS * sizeof(*fs.calls));
	fs.domain = &domain;
	domain.level.journal = TD_JOURNAL_ALL;
	if (argc > 2 && !strcmp(argv[1], "--replay"))
		return replay(argv[2]);
	for (uint64_t i = 0; i < scenes && failed < 3; i++)
		go_through(i) ? passed++ : failed++;
	for (uint64_t i = 0; i < random && failed < 3; i++)
		failed += !draw((1000 + scenes) * 4 + i);
	passed += !failed;
	printf("%llu runs, %llu calls aborted, %llu locks revoked\n", (unsigned long long)sum.runs,
	       (unsigned long long)sum.aborted, (unsigned long long)sum.revoked);
	if (!sum.aborted || !sum.revoked) {
		printf("FAILED: nothing happened\n");
		failed++;
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
