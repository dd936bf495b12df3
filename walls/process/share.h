/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory that the host and a module's process share: one memfd, mapped by both.
 *
 *   header | slot 0 | slot 1 | ... | bytes of the module file
 *   a slot: control page | frame | window | ring
 *
 * A slot is worked by two threads, the host's that called enter() and the process's thread of that
 * slot, and `turn` says who of them may: it is the only word that both write, with what is `said` beside it, both at once: the other
 * side polls that line, and would fetch it between two stores.
 *
 *   HOST --call, answer--> MODULE --return, ask, flush, fault--> HOST
 *
 * SLEEPS is added by whoever waits in the kernel, so that the other one knows that it must wake him. DEAD is written by the
 * host when the process is, to wake those who wait for it.
 *
 * The ring is a log: the module appends messages (struct td_msg and payload), the host takes them all whenever
 * the turn is its own, so each turn begins with an empty ring. The answer to an ask lies where the messages were.
 *
 * Rule for the host: all of this can change at any time, whatever `turn` says. Read once, into
 * private memory; compare, then use; never read back what was written.
 */
#ifndef TD_WALLS_PROCESS_SHARE_H
#define TD_WALLS_PROCESS_SHARE_H

#include <tadan/types.h>

enum td__turn { TD__TURN_HOST = 0, TD__TURN_MODULE = 1, TD__TURN_SLEEPS = 2, TD__TURN_DEAD = 4 };

/* Why the module gave the turn to the host. */
enum td__handed {
	TD__HANDED_RETURN = 1, /* the call is over */
	TD__HANDED_ASK,        /* the last message of the ring wants an answer */
	TD__HANDED_FLUSH,      /* the ring is full */
	TD__HANDED_FAULT,      /* see the evidence */
};

/* What lies at an address, as far as the process knows. */
enum td__lay {
	TD__LAY_NOTHING,
	TD__LAY_NULL,
	TD__LAY_TEXT,
	TD__LAY_CONSTANTS,
	TD__LAY_DATA,
	TD__LAY_HEAP,
	TD__LAY_STACK,
	TD__LAY_GUARD,
	TD__LAY_CALLS,
	TD__LAY_DEVICE,
	TD__LAY_RUNNER,
	TD__LAYS
};

enum { TD__EVIDENCE_FRAMES = 16 };

/* Written by the process's signal handler. */
struct td__evidence {
	int32_t signal, code;
	uint64_t address, error, trap; /* the last two are the processor's */
	uint64_t block;                /* with LAY_DEVICE */
	uint64_t place;                /* in the area of allocations that have pages of their own, plus 1; 0: not there */
	uint32_t lay;
	uint32_t call;       /* with SIGSYS: the number of the system call */
	uint32_t privileged; /* the instruction is one for kernels */
	uint32_t nframes;
	uint32_t unknown, pad; /* the address is not known */
	uint64_t frames[TD__EVIDENCE_FRAMES]; /* addresses of the module file, innermost first */
	uint64_t pc;
};

enum { TD__ASKERS = 4 };

/* Each part has lines of its own, two of them, since processors fetch lines in pairs. */
struct td__control {
	uint32_t turn;
	uint32_t said;    /* by the host: the number of the call, or the answer to an ask; by the module: td__said() */
	uint64_t value;   /* with an answer, a service's scalar result */
	uint32_t spin;    /* by the host: rounds that the module shall spin for its next turn before it sleeps */
	uint32_t stop;    /* number of the call that is to be stopped */
	uint8_t pad1[104];

	uint32_t seen;    /* the call that the module has begun last */
	uint32_t taken;   /* counts the turns that the module has had */
	int32_t thread;   /* its number, as the process sees it */
	uint8_t pad2[4];
	uint64_t askers[TD__ASKERS]; /* addresses in the module file where it asks, innermost first; 0: unknown */
	uint8_t pad3[80];

	struct td__evidence evidence;
};
typedef uint64_t td__both __attribute__((may_alias)); /* turn and said */
enum { TD__SAID_USED = 4 }; /* bits below are the reason */
_Static_assert(__builtin_offsetof(struct td__control, turn) % 8 == 0 && __builtin_offsetof(struct td__control, said) == 4, "both at once");
_Static_assert(__builtin_offsetof(struct td__control, seen) == 128, "lines of its own");
_Static_assert(__builtin_offsetof(struct td__control, evidence) == 256, "lines of its own");

enum {
	TD__PAGE = 4096,
	TD__RING = 132 * 1024, /* holds the largest payload of a service, a block of 64 KiB, twice */
	TD__AT_FRAME = TD__PAGE,
	TD__AT_WINDOW = TD__AT_FRAME + TD_FRAME_SIZE,
	TD__AT_RING = TD__AT_WINDOW + TD_WINDOW,
	TD__SLOT_SIZE = TD__AT_RING + TD__RING,
	TD__PAYLOAD_MAX = 64 * 1024, /* larger ones are sent in parts */
};
_Static_assert(sizeof(struct td__control) <= TD__PAGE, "control page");
_Static_assert(TD__SLOT_SIZE % TD__PAGE == 0, "whole pages");

enum td__runner_state { TD__RUNNER_STARTS, TD__RUNNER_READY, TD__RUNNER_FAILED };

/* Written by the host before the process starts, `yield` when a call is over its time; `state`, `error`, `why` and `left_out` by the process. */
struct td__share {
	uint32_t version; /* TD__SHARE_VERSION: host and runner are of one build */
	uint32_t state;   /* enum td__runner_state */
	uint32_t nslots;
	uint32_t bsize;
	uint64_t blocks;
	uint64_t data_size; /* of the device's pages; 0: not shared */
	uint64_t state_size; /* bytes of residency; 0: all blocks are there */
	uint64_t changes_size; /* of the counts of changes, where the pages are not shared; else 0 */
	uint64_t heap_size;
	uint64_t module_at, module_size; /* the module file */
	uint32_t area;     /* allocations have pages of their own: TD_HEAP_AREA bytes more */
	uint32_t writable; /* the device's pages are */
	uint32_t spaces;   /* the process was started in namespaces of its own: CLONE_NEW* */
	uint32_t left_out; /* TD__LEFT_*: protection that the system did not permit */
	uint32_t yield;    /* set later: the module's word is to be raised */
	uint32_t pad;
	int32_t error;
	char why[512];
};
_Static_assert(sizeof(struct td__share) <= TD__PAGE, "header page");

enum { TD__SHARE_VERSION = 7 };
enum { TD__LEFT_ROOT = 1, TD__LEFT_USER = 2 };

/* The process's descriptors, until it has mapped them. */
enum { TD__FD_SHARE = 3, TD__FD_HOST, TD__FD_DATA, TD__FD_STATE, TD__FD_CHANGES, TD__FDS };

static inline struct td__control *td__share_control(void *share, uint32_t slot)
{
	return (void *)((char *)share + TD__PAGE + (size_t)slot * TD__SLOT_SIZE);
}

static inline uint64_t td__share_size(uint32_t nslots)
{
	return TD__PAGE + (uint64_t)nslots * TD__SLOT_SIZE;
}

/* ---- Waiting for a turn, the same on both sides */

/*
 * Rounds of a pause, some 20 ns each, before one sleeps: by the host for a turn that comes back, and for one that has to be taken on an idle core first; by
 * the module for its next turn. Whether it is worth any, the host sees, and says so to the module: see patience.c.
 */
enum { TD__SPIN = 1000, TD__SPIN_WAKE = 4 * TD__SPIN, TD__SPIN_NEXT = 3 * TD__SPIN };

/* A turn and what was said with it. */
struct td__told {
	uint32_t turn, said;
};

static inline struct td__told td__turn_look(const struct td__control *c)
{
	union {
		uint64_t both;
		struct td__told told;
	} now = { __atomic_load_n((const td__both *)&c->turn, __ATOMIC_ACQUIRE) };

	return now.told;
}

/* Spin while the turn is `other`, for so many rounds, which may change meanwhile. Gives what it is then. */
static inline struct td__told td__turn_spin(const struct td__control *c, uint32_t other, const uint32_t *rounds)
{
	struct td__told now = td__turn_look(c);

	for (uint32_t i = 0; now.turn == other && i < __atomic_load_n(rounds, __ATOMIC_RELAXED); i++) {
#if defined(__x86_64__)
		__builtin_ia32_pause(); /* who looks without one keeps the line from who is to write it */
#endif
		now = td__turn_look(c);
	}
	return now;
}

/* Say that one will sleep while the turn is `other`. 0: it is not any more. */
static inline int td__turn_doze(struct td__control *c, uint32_t other)
{
	uint32_t was = other;

	return __atomic_compare_exchange_n(&c->turn, &was, other | TD__TURN_SLEEPS, 0, __ATOMIC_SEQ_CST,
					   __ATOMIC_ACQUIRE) ||
	       was == (other | TD__TURN_SLEEPS);
}

/* Hand over. 1: whoever waits must be woken. */
static inline int td__turn_give(struct td__control *c, uint32_t to, uint32_t said)
{
	uint64_t was = __atomic_exchange_n((td__both *)&c->turn, to | (uint64_t)said << 32, __ATOMIC_SEQ_CST);

	return was & TD__TURN_SLEEPS ? 1 : 0;
}

/* What a module says: why, and how many bytes there are in the ring. */
static inline uint32_t td__said(enum td__handed why, uint32_t used)
{
	return (uint32_t)why | used << TD__SAID_USED;
}

#endif
