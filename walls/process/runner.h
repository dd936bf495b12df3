/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runner: the program of a module's process. Everything in it belongs to the module's side of the
 * wall: the module can change all of its memory, and nothing that it does may be trusted by the host.
 *
 * A thread serves one slot. The module runs on the thread's own stack, in a lane of its own, so the address of a
 * stack tells the slot. The runner's threads share one thread-local area: after start nothing here calls libc
 * but for functions that only touch memory.
 *
 *   a lane: (nothing) | alternate stack | guard | stack
 */
#ifndef TD_WALLS_PROCESS_RUNNER_H
#define TD_WALLS_PROCESS_RUNNER_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "../../sdk/runtime/runtime.h"
#include "../elf/elf.h"
#include "share.h"

enum {
	TD__RUNNER_SLOTS = 64,
	TD__LANE = 512 * 1024,
	TD__LANE_SIGNALS = 64 * 1024, /* the alternate stack, from here ... */
	TD__LANE_GUARD = 96 * 1024,   /* ... to here; then nothing ... */
	TD__LANE_STACK = 160 * 1024,  /* ... and the stack up to the end of the lane */
};

/* What a thread of the runner keeps about its slot. */
struct td__lane {
	struct td__control *control;
	struct td_frame *frame;
	uint8_t *ring;
	uint32_t used;    /* bytes of messages in the ring */
	struct td__context context;
};

struct td__runner {
	struct td__share set; /* a copy of the header */
	struct td__share *share;
	struct td__lane *lanes;
	uint8_t *stacks; /* lane 0; aligned to TD__LANE */
	uint8_t *heap;
	uint8_t *area;        /* TD_HEAP_AREA bytes, aligned to twice as much; 0: there is none */
	uint8_t *data;        /* the device's pages, 0: not shared */
	const uint8_t *state; /* residency, 0: all is there */
	const uint64_t *changes; /* of all blocks, then of each; 0: the pages are shared */
	struct td__elf *elf;
	uint8_t *base;
	uintptr_t yielder; /* the function that a yield calls: left out where callers are reported */
	size_t yielder_size;
	int32_t (*enter)(struct td_frame *);
	uint32_t attached; /* threads that have nothing left to ask of the system */
};
extern struct td__runner td__runner;

/* The slot whose lane an address lies in; nslots or more: none. */
static inline uint32_t td__lane_of(const void *at)
{
	uintptr_t off = (uintptr_t)at - (uintptr_t)td__runner.stacks;

	return off / TD__LANE < td__runner.set.nslots ? (uint32_t)(off / TD__LANE) : UINT32_MAX;
}

static inline struct td__lane *td__lane(void)
{
	return &td__runner.lanes[td__lane_of(__builtin_frame_address(0))];
}

static inline long td__syscall(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}

static inline void td__sleep_on(uint32_t *word, uint32_t value)
{
	td__syscall(SYS_futex, (long)word, FUTEX_WAIT, (long)value, 0);
}

static inline void td__wake(uint32_t *word)
{
	td__syscall(SYS_futex, (long)word, FUTEX_WAKE, 1, 0);
}

/* Give the turn to the host. */
void td__hand_over(struct td__control *c, uint32_t used, enum td__handed why);
/* Wait until it comes back. What the host says with it. */
uint32_t td__await_turn(struct td__control *c);

/* services.c: fill `out` (room for n) with what modules may import; returns how many. */
size_t td__runner_imports(struct td__import *out, size_t n);

/* traps.c */
int td__traps_install(void);
int td__traps_attach(uint32_t slot);
/* Where the module called from, by the frames from `fp` on: addresses of its file, innermost first, up to a 0 if there are fewer. */
void td__traps_callers(uintptr_t fp, uint64_t out[TD__ASKERS]);

/* sandbox.c: in this order. 0, or -errno and `what` failed. */
int td__sandbox_leave(const struct td__share *set, uint32_t *left_out, const char **what);
int td__sandbox_limit(const char **what);
int td__sandbox_seal(const void *area, const char **what);

#endif
