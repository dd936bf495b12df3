/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a wall is to the core. Walls stand above the core and fill this table; the core never names one.
 *
 * A domain is a module started behind a wall. The wall loads the module, gives it a heap and one slot
 * for each call that may be in flight, and carries calls in and services back:
 *
 *   start ... enter, enter, ... (many threads, one in each slot) ... stop
 *
 * The kernel packs a call into the slot's frame, which both sides can reach, and calls enter(). The wall
 * runs td__enter(frame) of the module and returns when that has returned, or when the module has
 * faulted. Services that the module calls meanwhile arrive at td__svc_do_NAME(c, ...), either directly
 * (walls in this address space; pointers are the module's) or through td__svc_message() (walls with
 * messages; data is a private copy). They run on the thread that called enter().
 *
 * Rules for a wall:
 * - Frames, windows and everything else that the module can write is read at most once, or copied first.
 * - Before a service of a wall in this address space touches memory that the module named, the wall has
 *   checked that the module itself may reach it, unless the wall is `none`.
 * - When c->doomed is set (by a service, by the time limit), the module is not to run on: after a
 *   service returns to the wall, the wall ends the call instead of returning to the module.
 * - A wall never leaves the kernel's locks, stacks or signal state changed by a fault.
 */
#ifndef TADAN_WALL_H
#define TADAN_WALL_H

#include "level.h"
#include "fault.h"

struct td__call;
struct td__domain;
struct td__device;
struct td__heap;

/* Outcome of enter(). */
enum td__outcome {
	TD__RETURNED, /* the module returned; its result is in the frame's `error` as the wall copied it to c->result */
	TD__FAULTED,  /* c->fault says what happened: kind, address, pc, write, lay, detail, frames */
	TD__DIED,     /* the domain as a whole has ended, through another call's fault or while idle: no fault of this call */
};

struct td__wall {
	const char *name;
	uint32_t kind; /* enum td_wall_kind */

	/*
	 * Can this machine have it? 0, or -TD_EOPNOTSUPP with a reason and a remedy in why ("this processor has
	 * no protection keys; use guarded or isolated").
	 */
	int (*available)(char *why, size_t size);

	/*
	 * Start d->module behind the wall, by d->level. Sets d->private, d->nslots (1 to TD__SLOTS), d->views, d->remote and
	 * each d->slots[].frame, .window and .window_at: zeroed memory of TD_FRAME_SIZE and TD_WINDOW bytes. They
	 * may be memory that other calls of the module write to: the kernel fetches each result once.
	 * For TD_OP_HELLO enter() itself adds heap_at, heap_size and, with heap=pages, area_at. Runs no code of the module as yet. 0, or -errno and a reason.
	 */
	int (*start)(struct td__domain *d, char *why, size_t size);

	/* Make the call that is packed in c->frame. Blocks until it is over. Returns enum td__outcome. */
	int (*enter)(struct td__call *c);

	/*
	 * The call in this slot is over its time (c->doomed is set): make enter() return soon. Called from another thread, possibly
	 * while enter() is just returning, and again every tick until it has.
	 */
	void (*interrupt)(struct td__domain *d, struct td__call *c);

	/*
	 * End the domain. No call is in flight, and none comes. Everything that start() made is given back.
	 */
	void (*stop)(struct td__domain *d);

	/*
	 * The module is in a service: put where it called that into c->fault.pc and frames[], as far as it is known.
	 */
	void (*where)(struct td__call *c);

	/*
	 * Of a wall that takes long to start, so that the next domain is started in advance (standby.c): could this one, which has not been
	 * entered as yet, still be? 0 where starting costs little.
	 */
	int (*ready)(struct td__domain *d);

	/*
	 * Open or close pages of the area that a domain with heap=pages has for allocations: `at` and `size` bytes in TD_HEAP_AREA, whole pages. All
	 * are closed at the start. 0: the module's side of the wall does it by itself, as the services heap_take and heap_give say. 0 or -errno.
	 */
	int (*pages)(struct td__domain *d, uint64_t at, uint64_t size, int open);
};

/* ---- What ports supply to walls about a module file; the core passes it on untouched. */

struct td__module {
	struct td_module_info info; /* read from the file and checked */
	char path[256];             /* absolute */
	uint64_t build;             /* identifies the build */
	void *file;                 /* the port's: an open, validated module file */
	void *sandboxed;            /* the port's: where its sandboxed form is to be found */
};

enum { TD__SLOTS = 48 };

struct td__slot {
	struct td_frame *frame;
	void *window;
	int64_t window_at; /* from the frame to the window, as the module sees them, bytes */
	void *private;     /* the wall's */
};

struct td__domain {
	struct td__fs *fs;
	const struct td__wall *wall;
	const struct td__module *module;
	struct td__device *device; /* what the module may see through views: see device.h */
	struct td_level level;
	void *private;
	uint32_t views; /* enum td_views */
	uint32_t remote; /* 1: services come as messages, and frames from memory that others can write */
	uint32_t nslots;
	struct td__slot slots[TD__SLOTS];
	const uint64_t *heap_used; /* set by the wall: where the module counts the bytes of its heap; 0: frames say it */
	const struct td_straight *straight; /* set by the wall: how to call the module without a frame, if the level allows it; 0: it does not */
	uint32_t in_place; /* records are the kernel's own */
	uint64_t bound; /* hooks: bit n is set if the module has operation n */
	struct td__heap *heap; /* what is known of allocations; 0: nothing, see heap.c */
	uint64_t proven; /* set by the wall: bit n, if operation n always ends soon by itself and needs no time limit */
	uint64_t id;    /* counts the mount's domains, from 1 */
	int64_t process; /* pid of the module's process, 0: it has none */
};

/*
 * For walls in this address space: where a pc in the module lies in its file is the wall's business; it fills
 * c->fault.pc and frames[] with addresses of the file.
 */

#endif
