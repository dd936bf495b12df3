/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks of a module, which the kernel owns. A call that holds locks is a node of the wait-for graph, a
 * call that waits adds edges to the holders; a cycle is a deadlock. One word a lock: bit n is set while
 * slot n holds it, the top bits say how, and whether somebody waits. Taking and giving back a free lock is
 * one compare-and-swap; only who must wait takes the mutex.
 *
 * A cycle can only be made of calls of one mount: a thread is in one call at a time, and what a caller holds beyond that
 * (vnode locks) was taken before the call and is never waited for from within one.
 *
 * A cycle is ended in one of two ways, as the level says:
 *
 *   abort    one call's lock service fails with EDEADLK; the call is undone and made again. It is the one with the shortest
 *	      journal; but who has given way already goes before who has not, and of these the first one before all others: so
 *	      there is always one that is not disturbed, and nobody gives way for ever
 *   revoke   a lock of the cycle is taken from its holder, who waits, too, and so is not running:
 *	        - for good, if the module has given it back and it is only held until the commit
 *	        - for a time, if it is held exclusively and wanted shared: lent to those who wait for it shared. The holder does not
 *	          run until it has it back, before anybody else can have it exclusively
 *
 * Either is done only if the call has changed nothing since it took the lock: others would see what may be undone. In the first case
 * the module's own critical section is over; in the second one nobody could change what it has read. So it can go on as if
 * nothing had happened. Where no lock of the cycle can be taken so, a call is aborted.
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
	uint64_t waiting;  /* bit n: slot n waits; changed under the mutex, read without */
	uint64_t turns;    /* counts who waited, under the mutex */
	uint64_t gave_way; /* counts those who did, atomic */
	uint64_t resolved; /* deadlocks */
	uint64_t revoked;  /* of these, by taking a lock away */
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
/* Give everything back that the call holds. */
void td__locks_give_all(struct td__call *c);
static inline int td__locks_any(const struct td__call *c)
{
	uint64_t any = 0;

	for (uint32_t i = 0; i < TD_LOCK_MAX / 64; i++)
		any |= c->held[i];
	return any != 0;
}

/* Does the call hold a lock that the module has not given back? */
static inline int td__locks_are_left(const struct td__call *c)
{
	uint64_t left = 0;

	for (uint32_t i = 0; i < TD_LOCK_MAX / 64; i++)
		left |= c->held[i] & ~c->given[i];
	return left != 0;
}

/* The first such lock, plus 1; 0: none. */
uint32_t td__locks_left(const struct td__call *c);

/* The call is about to change something: none of its locks can be taken from it from now on. */
#define td__locks_changed(c) memset((c)->clean, 0, sizeof((c)->clean))

/*
 * Look for cycles and end each as `resolve` (enum td_resolve) says. Returns how many were found. The cost grows with those
 * who wait alone: with fewer than two it is one load.
 */
uint32_t td__locks_check(struct td__fs *fs, uint32_t resolve);

#endif
