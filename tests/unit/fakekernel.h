/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel for unit tests of modules: the services over a device in memory, one call at a time,
 * with an undo log. Calls are made in several slots in turn. It counts what a call does, notices what a call forgets, and can fail or end a
 * call at any service.
 */
#ifndef FAKEKERNEL_H
#define FAKEKERNEL_H

#include <tadan/fs.h>

enum fk_views {
	FK_LIVE, /* views show the block itself */
	FK_SNAPSHOT, /* views show the block as it was when it was opened; writes are applied when the call ends */
	FK_FAR, /* the same, and there are no views of every second block */
	FK_CALLED, /* no views; writes are applied at once */
	FK_UNMAPPED, /* no views; writes are applied when the call ends */
	FK_VIEWS
};

struct fk {
	uint8_t *dev;
	uint64_t blocks;
	enum fk_views views;
	int undo;	   /* undo what a failed call did, as with journal=all */
	uint64_t services; /* of the last call, all kinds */
	uint64_t written;  /* bytes */
	uint64_t breads, locks, discards;
	uint64_t fail_at;  /* the service that fails, from 1; 0: none */
	uint64_t abort_at; /* the service at which the call is ended */
	int busy;     /* locks that are taken with TD_TRY are busy, for that many calls of lock */
	int failed;   /* fail_at or abort_at has been reached */
	int careless; /* what the last call forgot or misused; see fk_why */
	int64_t now;  /* seconds */
	uint32_t slot;
};

extern struct fk fk;
extern const char *fk_why;

/* A device of `blocks` blocks, all zero. */
void fk_open(uint64_t blocks, enum fk_views views);
void fk_close(void);

/* Make a call. Returns the operation's error; TD_EINTR, negated, where it was ended. */
int fk_call(uint32_t op, void *frame);

/* Start the domain anew: all its private memory is forgotten. */
void fk_restart(void);

#endif
