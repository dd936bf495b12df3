/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commits of an image: which operations are whole, and when the log gets them.
 *
 * Each operation of vfs.h is between td__operation_begin() and _end(). A commit closes the gate, waits until no operation is
 * inside, has the module store the records that have changed, takes a snapshot, and opens the gate; all writing comes after that. So
 * what the disk has is the state between two operations, always. If an operation takes long, the gate opens again for the others
 * and the commit tries again later.
 *
 * Several that want a commit at the same time share one. Lock order: device->writing, the gate, then as in fs.h; who is inside
 * does not ask for a commit.
 */
#ifndef TADAN_COMMIT_H
#define TADAN_COMMIT_H

#include "log.h"

struct td__fs;

enum { TD__LANES = 64, TD__LANE_WORDS = 16 };

struct td__gate {
	uint32_t inside[TD__LANES][TD__LANE_WORDS]; /* operations, counted by thread; a cache line each */
	uint32_t closed;
	struct td__mutex mutex;  /* guards what follows */
	struct td__cond cond;    /* it opened, somebody left while it was closed, or a commit is over */
	uint32_t committing;     /* somebody does, or evicts blocks */
	uint32_t writers;        /* who write data in place and do not commit */
	uint64_t next_eviction;  /* not before, td__port_monotonic(), unless it is urgent */
	uint64_t next_wait;      /* for room: not before, since it was in vain */
	uint64_t begun, done;    /* commits: number of the last snapshot, and of the last that is over */
	uint64_t good;           /* the last one that is on the disk */
	int err;                 /* of the last one */
};

/* `changes`: it may leave something to be written. Then it may fail, as long as nothing can be written: -TD_EIO or -TD_ENOSPC. */
int td__operation_begin(struct td__fs *fs, int changes);
void td__operation_end(struct td__fs *fs);
/* Close the gate, and wait until nobody is inside, so many milliseconds; 1: so it is. Else it is open again. By who is `committing`. */
int td__gate_close(struct td__gate *g, uint32_t ms);
void td__gate_open(struct td__gate *g);
/* On the disk: everything that was done before the call. 0, -TD_EIO, -TD_ENOSPC, -TD_ENOMEM. Without an image nothing is done. */
int td__commit(struct td__fs *fs);
/* The same; and an error if data of these blocks could not be written in place. It is kept, and the next one tries again. */
int td__commit_data(struct td__fs *fs, const struct td__run *runs, uint64_t n);
/* unwritten.c: what could not be written is noted with the files that it belongs to. By who is not inside. */
void td__unwritten_tell(struct td__fs *fs);
/* A file is written as a whole, or, with handle 0, all of them are. */
void td__unwritten_over(struct td__fs *fs, uint64_t handle);
/* Begin and end with the mount. The last commit leaves an image that needs no recovery, or an error. */
int td__commits_init(struct td__fs *fs);
int td__commits_last(struct td__fs *fs);
void td__commits_fini(struct td__fs *fs);
/* The mount is there: have the module free what a crash left without a name. */
void td__orphans_free(struct td__fs *fs);
/* All of them: still in use, not freed as yet, or of an image that is only read. The list is the caller's. 0 or -TD_ENOMEM. */
int td__orphans(struct td__fs *fs, uint64_t **list, uint64_t *n, uint64_t *room);
int td__fids_add(uint64_t **list, uint64_t *n, uint64_t *room, uint64_t fid);

#endif
