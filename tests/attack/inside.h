/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel of the smallest kind, for tests of walls alone: a device in memory, services that do
 * their bare work, one domain at a time, and calls of `seek` with an act to perform.
 */
#ifndef INSIDE_H
#define INSIDE_H

#include "../../core/gateway.h"
#include "../../walls/walls.h"
#include "modules/inside_acts.h"

enum { INSIDE_BLOCKS = 64, INSIDE_BSIZE = 4096 };

/* What the services have done or shall do. */
struct inside_kernel {
	struct td__device device;
	uint64_t services;
	uint32_t doom;	      /* the next service dooms the call with this */
	volatile char *crash; /* the next service has a fault of its own: it writes here */
	int last_error;	      /* of a copy from or to the module's memory */
	char secret[64];      /* memory of the kernel's that modules would like to have */
};
extern struct inside_kernel inside;

/* A domain of its own, started with the hello call. 0 or -errno. */
int inside_start(const struct td__module *m, const struct td_level *level, struct td__domain **d,
		 char *why, size_t size);
void inside_stop(struct td__domain *d);

/*
 * Make the module act in a slot. Returns enum td__outcome; the call is in *c until the slot's next.
 */
int inside_act(struct td__domain *d, uint32_t slot, enum act act, uint64_t off, struct td__call **c,
	       uint64_t *found);

/* The call of a slot, for a second thread. */
struct td__call *inside_call(struct td__domain *d, uint32_t slot);

void inside_device(void);

#endif
