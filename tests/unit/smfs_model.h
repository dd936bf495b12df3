/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model of a file system beside a real SMFS: random operations go to both and must give the
 * same. After each step the checker walks the device; after each error the device must be what it
 * was before, journal or not.
 */
#ifndef SMFS_MODEL_H
#define SMFS_MODEL_H

#include <stdint.h>

#include "fakekernel.h"

struct run {
	uint64_t blocks, maxfiles;
	enum fk_views views;
	int undo;   /* journal=all */
	int faults; /* let services fail at every place, in one step of so many; 0: never */
	uint64_t seed;
	uint32_t steps;
};

/* Returns what went wrong, or 0. */
const char *smfs_model(const struct run *r);

#endif
