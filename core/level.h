/* SPDX-License-Identifier: BSD-2-Clause */
/* Levels: named settings of the protection knobs, and the words for them. */
#ifndef TADAN_LEVEL_H
#define TADAN_LEVEL_H

#include <tadan/types.h>

enum td_wall_kind { TD_WALL_NONE, TD_WALL_PKEY, TD_WALL_SFI, TD_WALL_PROCESS, TD_WALL_KINDS };
enum td_shared { TD_SHARED_RW, TD_SHARED_RO, TD_SHARED_UNMAPPED };
enum td_check { TD_CHECK_OFF, TD_CHECK_SHALLOW, TD_CHECK_DEEP };
enum td_resolve { TD_RESOLVE_ABORT, TD_RESOLVE_REVOKE };
enum td_heap { TD_HEAP_PLAIN, TD_HEAP_PAGES };
enum td_journal { TD_JOURNAL_OFF, TD_JOURNAL_LOCKS, TD_JOURNAL_ALL };

struct td_level {
	char name[24];         /* "walled"; with knobs turned: "walled*" */
	uint32_t wall;         /* enum td_wall_kind */
	uint32_t trap;         /* 1: with wall none, catch faults and recover */
	uint32_t shared;       /* enum td_shared */
	uint32_t check;        /* enum td_check */
	uint32_t journal;      /* enum td_journal */
	uint32_t deadlock_ms;  /* interval of the check; 0: off */
	uint32_t resolve;      /* enum td_resolve: how a deadlock is ended */
	uint32_t time_ms;      /* for how long a call may make no progress, see watch.c; 0: off */
	uint32_t most_ms;      /* limit of one call whatever it does; 0: off, if and only if time_ms is */
	uint32_t handles;      /* vnode references that the domain may keep; 0: no limit */
	uint64_t memory;       /* bytes of the domain's heap */
	uint32_t heap;         /* enum td_heap: has each allocation pages of its own? */
	uint64_t undo;         /* bytes of journal that one call may write */
	uint32_t calls;        /* in flight, 1 to TD__SLOTS */
	uint32_t cpu;          /* share of the time of one processor, in percent; 0: no limit */
	uint32_t mistakes;     /* of one call that are forgiven; one more is a fault, unless check is off */
	uint32_t restarts;     /* faults that are survived within restart_s; 0: never restart; 64 and more: no limit */
	uint32_t restart_s;
};

/*
 * Read "isolated" or "isolated,journal=locks,deadlock=1s,restart=5/60s". On an error returns -TD_EINVAL
 * and says in why (size bytes, always ended) which word is wrong and which words there are.
 */
int td_level_parse(const char *text, struct td_level *level, char *why, size_t size);

/* The knobs as text that td_level_parse() reads again: "wall=pkey,shared=ro,...". Returns the length. */
size_t td_level_format(const struct td_level *level, char *text, size_t size);

/*
 * A level that protects nothing costs nothing: the kernel calls the module's operations as any function, with its own records and the
 * caller's own bytes. There is no way back from such a call but its return. 1: this level is one.
 */
int td__level_is_straight(const struct td_level *level);

/* The levels there are, ended by a null name: name, what it is for, its knobs. */
struct td_level_about {
	const char *name, *purpose, *knobs;
};
extern const struct td_level_about td_levels[];

extern const char *const td_wall_names[TD_WALL_KINDS];

#endif
