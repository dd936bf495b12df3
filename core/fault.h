/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults: what was detected in a module, with its evidence. The kernel keeps the last TD_FAULTS_KEPT
 * of a mount; nothing here points into memory that may vanish, so a report outlives the domain.
 */
#ifndef TADAN_FAULT_H
#define TADAN_FAULT_H

#include <tadan/types.h>

enum td_fault_kind {
	TD_FAULT_NONE,
	TD_FAULT_ACCESS,   /* a load, store or jump where it may not */
	TD_FAULT_WALL,     /* stopped by the wall itself: the memory is there, but not this module's */
	TD_FAULT_ILLEGAL,  /* an instruction that does not exist or is not allowed; a trap; an arithmetic error */
	TD_FAULT_STACK,    /* stack overflow */
	TD_FAULT_TIME,     /* over the time limit */
	TD_FAULT_RECORD,   /* a record came back with a value that it cannot have */
	TD_FAULT_RESULT,   /* a result that the operation cannot have */
	TD_FAULT_SERVICE,  /* a service used wrongly: bad argument, stale handle */
	TD_FAULT_LOCK,     /* a lock misused or not given back */
	TD_FAULT_MESSAGE,  /* a message that cannot be one */
	TD_FAULT_GONE,     /* the module's process ended */
	TD_FAULT_LIMIT,    /* over a limit that cannot be refused */
	TD_FAULT_START,    /* the module could not be started again */
	TD_FAULT_MISTAKE,  /* no fault: a mistake that was refused or made good, see td_get_mistakes() */
	TD_FAULT_KINDS
};

enum td_fault_access {
	TD_FAULT_LOAD,
	TD_FAULT_STORE,
	TD_FAULT_JUMP,
	TD_FAULT_EITHER,  /* a load or a store */
	TD_FAULT_UNKNOWN, /* and the address is not known either */
};

/* Mistakes of a module that the kernel refused or made good. */
enum td_mistake {
	TD_MISTAKE_ARGUMENT,  /* a service with a bad argument */
	TD_MISTAKE_HANDLE,    /* stale, foreign, or given back twice */
	TD_MISTAKE_OPERATION, /* not allowed on this object now */
	TD_MISTAKE_LIMIT,     /* more than the domain may hold */
	TD_MISTAKE_BUF,       /* a buf or mbuf left open at the end of a call */
	TD_MISTAKE_LOCK,      /* a lock not given back at the end of a call */
	TD_MISTAKE_SHARED,    /* a record changed that the module had for reading */
	TD_MISTAKES,
	/* Counted elsewhere: */
	TD_MISTAKE_LEFT = TD_MISTAKES, /* references or memory left at an unmount: of the domain, not of a call */
	TD_MISTAKE_DEADLOCK,
};

/* What is known of an allocation of the domain's heap, at heap=pages. */
enum td_fault_memory_state { TD_MEMORY_NONE, TD_MEMORY_USED, TD_MEMORY_FREED };
enum { TD_MEMORY_FRAMES = 4 };

struct td_fault_memory {
	uint32_t state, pad;
	int64_t off;    /* from where it begins to what the fault is about, bytes; below 0 or not below `size`: beside it */
	uint64_t size;  /* bytes */
	uint64_t calls; /* that the module has begun since it was freed, or, if it is in use, allocated */
	uint64_t allocated[TD_MEMORY_FRAMES], freed[TD_MEMORY_FRAMES]; /* where, as in td_fault.frames; 0: no more */
};

enum { TD_FAULTS_KEPT = 64, TD_MISTAKES_KEPT = 32, TD_FAULT_FRAMES = 16, TD_FAULT_ENTRIES = 8 };

/* One of the last journal entries, in words that a person can read. */
struct td_fault_entry {
	uint32_t what; /* enum td__entry_kind */
	uint32_t len;
	uint64_t blkno;
	uint32_t off;
	uint32_t pad;
};

struct td_fault {
	uint64_t number; /* counts the mount's faults, from 1 */
	int64_t sec;
	uint32_t nsec;
	uint32_t kind;
	uint32_t op;
	uint32_t attempt; /* 1: the call was made for the first time; 2: it failed again */
	uint64_t vnode, fid; /* the first vnode of the call, 0: none */
	char level[24];
	char module[32];
	uint64_t address;  /* what was accessed; with ACCESS, WALL, STACK */
	uint64_t pc;       /* address of the instruction in the module file, in the form for this wall; 0: unknown */
	uint32_t wall;     /* enum td_wall_kind */
	uint32_t write;    /* enum td_fault_access */
	uint32_t nframes, pad;
	uint64_t frames[TD_FAULT_FRAMES]; /* addresses in the module file, innermost first */
	char lay[64];      /* what lies at the address: "kernel memory", "module text", "nothing", "buf of block 7" */
	uint64_t heap;     /* if it is about memory that has pages of its own: the place in their area, plus 1 */
	struct td_fault_memory memory; /* with `heap` */
	char detail[96];   /* for the kinds without an address: which field, which service, which signal */
	uint32_t entries;  /* how many of these */
	uint32_t undone;   /* journal entries that were undone */
	uint64_t undone_bytes;
	struct td_fault_entry last[TD_FAULT_ENTRIES]; /* newest first */
	char action[48];   /* "restarted, call made again", "detached", ... */
	uint64_t recovery_ns; /* from detection until calls were let in again */

	/* Of mistakes, and of faults that were one. */
	char object[16];  /* what it was about, such as "block"; empty: nothing */
	uint64_t which;   /* number of it, as the module gave it; of a record's field or a result, its value */
	uint64_t was;     /* with `had`: the field's value before the call */
	uint32_t had, pad1;
	uint32_t mistake; /* with MISTAKE: enum td_mistake */
	uint32_t pad2;
	uint64_t times;   /* with MISTAKE: how often, at this place; all else is of the first time */
};

extern const char *const td_fault_names[TD_FAULT_KINDS];

#endif
