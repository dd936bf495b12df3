/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deterministic port: threads of which one runs at a time, and changes only at points that are known. A schedule is the
 * list of who went on at each point where somebody else could have, so a run can be repeated, and all runs gone through.
 *
 * Points are the functions of core/port.h that lock or wait, and each atomic operation of code that was compiled with
 * -fsanitize=thread (atomics.c stands in for the sanitizer's runtime): so the core is tested as it is, without a change.
 * Atomic operations take effect in the order of the run: what processors reorder is for the thread sanitizer to find.
 *
 * Time does not pass. A wait with a limit ends by a broadcast alone, so a wake-up that is lost is a hang and not a delay.
 */
#ifndef TADAN_PORT_TEST_SCHED_H
#define TADAN_PORT_TEST_SCHED_H

#include <stddef.h>
#include <stdint.h>

enum { TD__SCHED_THREADS = 8, TD__SCHED_CHOICES = 4096 };

struct td__sched_thread {
	void (*run)(void *arg);
	void *arg;
	/*
	 * 0, or: the thread is a watcher, which td__sched_watch() lets go on when nobody else can. It may go on earlier at points where this
	 * returns 1, `early` times in a run.
	 */
	int (*worth)(void *arg);
	uint32_t early;
};

struct td__schedule {
	uint32_t preemptions; /* how often in a run a thread that could go on has to make room */
	uint64_t random;      /* not 0: who goes on behind the given choices is drawn; else it is the one that ran */
	uint32_t given;       /* choices to begin with */
	uint32_t n;           /* choices that were made */
	uint8_t choice[TD__SCHED_CHOICES], of[TD__SCHED_CHOICES];
};

/* Run the threads, n of them, until all have ended; watchers end with the others. 0, or what went wrong. */
const char *td__sched_run(struct td__schedule *s, const struct td__sched_thread *threads, uint32_t n);
/* Have the next run be another one: 0 when all with so many preemptions have been. */
int td__schedule_next(struct td__schedule *s);

/* ---- For the threads */

/* Somebody else may go on here. */
void td__sched_point(void);
/* End the run: something is wrong. */
_Noreturn void td__sched_fail(const char *what);
/* Watchers: wait for something to look at. 0: early; 1: nobody else can go on. Does not return when all others have ended. */
int td__sched_watch(void);
/* Which thread this is, from 0. */
uint32_t td__sched_self(void);

/* ---- For port.c: sleep until somebody wakes those who sleep on `what`. */
void td__sched_sleep(const void *what);
void td__sched_wake(const void *what);

#endif
