/* SPDX-License-Identifier: BSD-2-Clause */
/* What the module use_acts can be told to do, in `whence` of seek; `off` is a number for it. */
#ifndef USE_ACTS_H
#define USE_ACTS_H

enum use_act {
	USE_NOTHING,
	USE_LEAVE_BUFS,    /* open this many */
	USE_LEAVE_LOCK,
	USE_RELEASE_TWICE, /* a buf */
	USE_STALE,         /* write to a buf that is closed */
	USE_UNLOCK,        /* a lock that is not held */
	USE_BEYOND,        /* open a block beyond the device */
	USE_FOREIGN,       /* keep a reference to this handle */
	USE_KEEP,          /* keep this many references to the vnode; found: how many were had */
	USE_GIVE_BACK,     /* give this many references back */
	USE_SHARED_RECORD, /* change the record of a vnode that is shared */
	USE_FREE_TWICE,
	USE_ALLOCATE,      /* this many KiB, kept; found: how many were had */
	USE_FREE,          /* what was allocated last */
	USE_WRITE_MUCH,    /* this many blocks */
	USE_SLOW,          /* this many steps of about a millisecond, a block written in each */
	USE_ROUND,         /* open the same block for ever */
	USE_WANDER,        /* open one block after the other for ever */
	USE_SPIN,          /* compute for this many milliseconds */
	USE_HOLD,          /* take the lock, be slow for so many steps, give it back */
	USE_SLEEP,         /* wait for so many milliseconds; found: the error */
	USE_HOLD_NONE,     /* write to this byte of a block without a lock, then compute for 150 ms */
};

#endif
