/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks of a module, which the kernel owns. A call that holds locks is a node of the wait-for graph, a
 * call that waits adds edges to the holders; a cycle is a deadlock. One word a lock: bit n is set while
 * slot n holds it, the top bits say how, and whether somebody waits. Taking and giving back a free lock is
 * one compare-and-swap; only who must wait takes the mutex.
 */
#ifndef TADAN_LOCK_H
#define TADAN_LOCK_H

#include "port.h"
#include <tadan/types.h>

struct td__call;
struct td__fs;

struct td__locks {
	uint64_t word[TD_LOCK_MAX];
	struct td__mutex mutex; /* guards who waits for what */
	struct td__cond freed;
	uint32_t waiters; /* read without the mutex */
	uint64_t turns;   /* counts who waited, under the mutex */
	uint64_t resolved; /* deadlocks */
};

void td__locks_init(struct td__locks *l);
void td__locks_fini(struct td__locks *l);

/* mode: TD_SHARED or TD_EXCLUSIVE, with TD_TRY. 0, EAGAIN, EDEADLK (the call is aborted), EINVAL. Sleeps. */
int td__lock_take(struct td__call *c, uint32_t lock, uint32_t mode);
/*
 * Take the lock that the call is expected to ask for, if it is free, before the module runs: walls with messages then spare
 * a turn. To the module it is as if it had taken it and given it back. Returns what to tell the module.
 */
uint32_t td__lock_grant(struct td__call *c, uint32_t expected);
void td__lock_give(struct td__call *c, uint32_t lock);
/* Give everything back that the call holds. Returns how many locks the module had not given back itself. */
uint32_t td__locks_give_all(struct td__call *c);

/*
 * Look for cycles and end each by aborting the call with the shortest journal. Returns how many were found. With nobody
 * waiting the cost is one load.
 */
uint32_t td__locks_check(struct td__fs *fs);

#endif
