/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the sandboxed form of a module and the wall that loads it agree on.
 *
 * The form is a shared object: C that wasm2c made of the module's wasm32 code, and unit.c around it. It exports
 *
 *   td__sandbox_about        struct td__sandbox_about
 *   td__sandbox_start(env)   make the instance of one slot; before the first call of any slot
 *   td__sandbox_enter(env)   run td__enter(env->frame)
 *
 * and imports td__sandbox_trap(trap) and Z_envZ_td__svc_NAME(env, ...) for each service: functions of the wall, which get
 * the arguments as the sandbox has them: places in its memory are 32-bit numbers.
 *
 * An env and its instance are the wall's memory, out of the sandbox's reach. An env belongs to one slot.
 */
#ifndef TADAN_WALLS_SFI_OBJECT_H
#define TADAN_WALLS_SFI_OBJECT_H

#include <tadan/types.h>

enum {
	TD__SANDBOX_MAGIC = 0x78625364,
	TD__SANDBOX_VERSION = 1,
	TD__SANDBOX_PAGE = 1 << 16,
	TD__SANDBOX_BASE = TD__SANDBOX_PAGE, /* below lies nothing, so that a null pointer is seen */
};

struct td__sandbox_about {
	uint32_t magic, version;
	uint32_t instance_size; /* bytes that the instance of a slot needs */
	uint32_t room;          /* bytes that its tables need at most */
};

struct td__sandbox_env {
	uint8_t *memory;    /* place 0 of the sandbox */
	uint32_t context;   /* of the slot: a place in the sandbox's memory, as all that follow */
	uint32_t frame;
	uint32_t op;        /* of the call: by value, since what lies in memory could change */
	uint32_t stack;     /* the end of the slot's stack, from where it grows down */
	uint32_t data_end;  /* set by td__sandbox_start(): what the module's own data needs, from place 0 */
	uint32_t room_used;
	uint32_t room_size;
	uint8_t *room;      /* for tables */
	void *instance;
	void *gate;         /* the wall's */
};

/* Why the translated code cannot go on: as wasm-rt.h has them. */
enum td__sandbox_trap {
	TD__TRAP_NONE,
	TD__TRAP_OOB,
	TD__TRAP_INT_OVERFLOW,
	TD__TRAP_DIV_BY_ZERO,
	TD__TRAP_INVALID_CONVERSION,
	TD__TRAP_UNREACHABLE,
	TD__TRAP_CALL_INDIRECT,
	TD__TRAP_UNCAUGHT_EXCEPTION,
	TD__TRAP_EXHAUSTION,
	TD__TRAP_LOCK, /* ours */
	TD__TRAPS,
};

#endif
