/* SPDX-License-Identifier: BSD-2-Clause */
/* What the calls of a model do with locks: short scripts, drawn by a number. */
#ifndef TESTS_MODEL_SCRIPT_H
#define TESTS_MODEL_SCRIPT_H

#include <stdint.h>

enum { LOCKS = 4, STEPS = 16, ACTORS = 4 };

/*
 * LOCK reads the value that the lock guards. ADD writes what was read, plus 1. CHECK wants the value to be what this call has read
 * or written. UNLOCK is the module's: it has checked before.
 */
enum verb { END, LOCK_SHARED, LOCK_EXCLUSIVE, TRY_EXCLUSIVE, UNLOCK, ADD, CHECK };

struct step {
	uint8_t verb, lock;
};

struct scene {
	uint32_t actors;
	uint32_t resolve;  /* enum td_resolve */
	uint32_t ordered;  /* all take their locks in one order: there can be no deadlock */
	uint32_t doomed;   /* number of a call that runs out of its time once it waits, plus 1 */
	uint32_t expected; /* bit n: actor n is granted its first lock ahead */
	struct step steps[ACTORS][STEPS];
};

/* The scene of a number. The first ones are few calls with few locks; all runs of these are to be gone through. */
void scene_make(uint64_t number, struct scene *s);
void scene_print(const struct scene *s);

#endif
