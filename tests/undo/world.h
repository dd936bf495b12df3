/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A world: SMFS with a planted fault, mounted in this process on a small device, with a tree in which every
 * operation finds something to do; and its state, all kernel objects in a form that can be compared.
 *
 * Everything is the same each time that a world is made, the clock included, so states of two worlds can be compared.
 */
#ifndef UNDO_WORLD_H
#define UNDO_WORLD_H

#include <stddef.h>

#include "../../core/fs.h"
#include "plant.h"

/* Vnodes that the test holds a reference to. */
enum held {
	ROOT,
	A,      /* file of 10000 bytes, with two extended attributes */
	B,      /* file with a second name D/b2 */
	C,      /* file with bytes at 0 and at 1 MiB, and a hole of 40 blocks between others */
	D, SUB, /* directory, and an empty one in it */
	E,      /* empty directory */
	BIG,    /* directory of 70 names */
	L, LL,  /* symbolic links, with a short target and a long one */
	X,      /* file in D */
	NEW,    /* empty file */
	OPEN,   /* file with data and attributes, but no name any more */
	GONE,   /* directory that has been removed */
	EXTRA,  /* what a scene wants to have */
	HELD
};

struct world {
	struct td__fs *fs;
	struct td__device *dev;
	struct td_level level;
	td_handle h[HELD];
	uint64_t fid[HELD];
	uint64_t orphans[8];
	uint32_t norphans;
	char why[256];
};

extern const char *world_module; /* path of the module file */
extern struct td_cred world_root;
extern int64_t world_now; /* what the clock says */

/* Is there no form of the module for this wall? One that is there, but wrong, is an error later. */
int world_lacks_form(uint32_t wall, char *why, size_t size);

/* 0, or an error, with w->why. on_disk: on an image file, of which nothing is cached at first, and nothing held. */
int world_open(struct world *w, const struct td_level *level, int on_disk);
void world_close(struct world *w);
/* The first mount of a blank device, with a fault planted in it. Returns its error; *left: blocks that are not blank after it. */
int world_first_mount(const struct td_level *level, uint32_t at, uint32_t kind, uint64_t *left);
/* Move to no protection at all, where much is done quickly. */
int world_trust(struct world *w);

struct td_name text(const char *s);

/* Plan a fault; at 0: none. */
void plan_fault(struct world *w, uint32_t op, uint32_t at, uint32_t kind, int once);

/* ---- State */

struct state_vnode {
	uint32_t index, state, kept, dirty;
	uint64_t refs;
	struct td_vnode rec;
};

struct state {
	uint64_t nblocks;
	uint64_t *sums; /* one for each block of the file system */
	uint32_t nvnodes;
	struct state_vnode *vnodes;
	uint32_t kept;
};

void state_take(struct world *w, struct state *s);
void state_take_blocks(struct world *w, struct state *s); /* only what is on the device */
void state_free(struct state *s);
/* 1 if they differ, and where; blocks_only: what is on the device. */
int state_differs(const struct state *is, const struct state *should, int blocks_only, char *where, size_t size);
/* Nothing may be left of a call: slots, locks, journals; and what the kernel remembers must be true. 0: all is well. */
const char *state_wrong(struct world *w);
/* Is it a sound file system? Gives up protection and writes back first. 0: it is. */
const char *world_check(struct world *w);

#endif
