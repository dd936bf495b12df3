/* SPDX-License-Identifier: BSD-2-Clause */
/* What is done until the crash: scenes of steps. Each step is one operation, or one that makes what was done last. */
#ifndef CRASH_SCENES_H
#define CRASH_SCENES_H

#include "../../core/mount.h"

struct stage {
	struct td__fs *fs;
	uint64_t seed;   /* of the random scenes */
	uint32_t step;   /* counted from 0 */
	td_handle held[4]; /* open files */
	int acknowledged; /* the step has made everything last that was done before it */
	int strict;       /* a step that fails ends the test */
	int over;         /* there are no more steps */
};

struct scene {
	const char *name;
	void (*act)(struct stage *st); /* do step st->step, or set over */
	int random;                    /* the seed matters */
};

extern const struct scene scenes[]; /* ended by a null name */

#endif
