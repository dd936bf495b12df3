/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sandboxed form of a module, as one unit: the translated code, which is translated.c of the folder that the
 * form is made in, and what it expects of its runtime. In one unit, so that the small functions here are inlined.
 *
 * Nothing here is called by anybody but the wall and the translated code. Traps and faults leave by the wall's gate: no
 * function below may hold anything when it calls back.
 */
#include <stdarg.h>

#include "object.h"
#include "atomic.h"
#include "bytes.h"
#include "wasm-rt.h"

#define Z_env_instance_t td__sandbox_env
#include "fs_sandbox_imports.h"
#include "translated.c"

/* The binary that it was made of, for whoever loads the form. */
__asm__(".pushsection .tadan_wasm, \"\", @progbits\n"
	".incbin \"module.wasm\"\n"
	".popsection");

#define EXPORT __attribute__((visibility("default"), used))

/* Bytes of a module's tables at most. */
enum { ROOM = 1 << 20, TYPES = 1 << 12, TYPE_BYTES = 1 << 16 };

/* The env of which the instance is being made; one at a time. */
static struct td__sandbox_env *starting;

_Noreturn void wasm_rt_trap(wasm_rt_trap_t trap)
{
	td__sandbox_trap(trap);
}

/* ---- Types of functions: equal ones have equal numbers, from 1 */

static struct {
	uint32_t at, params, results;
} types[TYPES];
static uint8_t type_bytes[TYPE_BYTES];
static uint32_t ntypes, type_used;

static uint32_t find_type(uint32_t params, uint32_t results)
{
	for (uint32_t i = 0; i < ntypes; i++)
		if (types[i].params == params && types[i].results == results &&
		    !__builtin_memcmp(type_bytes + types[i].at, type_bytes + type_used, params + results))
			return i + 1;
	return 0;
}

uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...)
{
	uint32_t n = params + results, number;
	va_list args;

	if (n > TYPE_BYTES - type_used || ntypes == TYPES)
		wasm_rt_trap(WASM_RT_TRAP_EXHAUSTION);
	va_start(args, results);
	for (uint32_t i = 0; i < n; i++)
		type_bytes[type_used + i] = (uint8_t)va_arg(args, wasm_rt_type_t);
	va_end(args);
	number = find_type(params, results);
	if (number)
		return number;
	types[ntypes].at = type_used;
	types[ntypes].params = params;
	types[ntypes].results = results;
	type_used += n;
	return ++ntypes;
}

/* ---- Memory and tables. All that a domain may have is there from the start, as its heap: nothing grows. */

void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max_pages)
{
	(void)max_pages;
	if (pages > 0xffff)
		wasm_rt_trap(WASM_RT_TRAP_OOB);
	starting->data_end = pages * TD__SANDBOX_PAGE;
	memory->data = starting->memory;
	memory->pages = memory->max_pages = 0xffff;
	memory->size = 0xffffu * TD__SANDBOX_PAGE;
}

uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t pages)
{
	return pages ? ~0u : memory->pages;
}

void wasm_rt_free_memory(wasm_rt_memory_t *memory)
{
	(void)memory;
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t elements, uint32_t max)
{
	uint64_t size = (uint64_t)elements * sizeof(*table->data);

	(void)max;
	if (size > starting->room_size - starting->room_used)
		wasm_rt_trap(WASM_RT_TRAP_EXHAUSTION);
	table->data = (wasm_rt_funcref_t *)(starting->room + starting->room_used);
	table->size = table->max_size = elements;
	starting->room_used += (uint32_t)(size + 15) & ~15u;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table)
{
	(void)table;
}

/* ---- Bytes. What copies and fills: calls of the compiler, too, come here. */

void *memmove(void *to, const void *from, size_t n)
{
	return td__move(to, from, n);
}

void *memcpy(void *to, const void *from, size_t n)
{
	return td__move(to, from, n);
}

void *memset(void *to, int byte, size_t n)
{
	return td__fill(to, byte, n);
}

/* What the processor may not have an instruction for; wasm has. */
int __popcountdi2(uint64_t n);
int __popcountdi2(uint64_t n)
{
	static const uint8_t ones[16] = { 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4 };
	int sum = 0;

	for (; n; n >>= 4)
		sum += ones[n & 15];
	return sum;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (; n && *x == *y; n--, x++, y++)
		__asm__ volatile("");
	return n ? (*x < *y ? -1 : 1) : 0;
}

/* ---- Rounding, of which not every processor has an instruction. From 2^52 on all numbers are whole. */

static const double whole = 4503599627370496.0;

double trunc(double x)
{
	return fabs(x) < whole ? copysign((double)(int64_t)x, x) : x;
}

double floor(double x)
{
	double t = trunc(x);

	return t > x ? t - 1 : t;
}

double ceil(double x)
{
	return -floor(-x);
}

double nearbyint(double x)
{
	volatile double up = fabs(x) + whole; /* rounds, and the compiler must not undo it */

	return fabs(x) < whole ? copysign(up - whole, x) : x;
}

float truncf(float x)
{
	return (float)trunc(x);
}

float floorf(float x)
{
	return (float)floor(x);
}

float ceilf(float x)
{
	return (float)ceil(x);
}

float nearbyintf(float x)
{
	return (float)nearbyint(x);
}

/* ---- Imports that need no kernel */

u32 Z_envZ_td__svc_context(struct td__sandbox_env *env)
{
	return env->context;
}

/* Who holds it may be somewhere in the middle of a fault: that domain is at its end, and we are, too. */
static uint64_t spin_lock(uint32_t *p)
{
	for (uint32_t tries = 1u << 26; tries; tries--) {
		if (!__atomic_load_n(p, __ATOMIC_RELAXED) && !__atomic_exchange_n(p, 1, __ATOMIC_ACQUIRE))
			return 0;
		__builtin_ia32_pause();
	}
	td__sandbox_trap(TD__TRAP_LOCK);
}

static inline __attribute__((always_inline)) uint64_t atomic_4(struct td__sandbox_env *env, uint32_t op, uint32_t *p, uint32_t a, uint32_t b)
{
	switch (op) {
	case TD__ATOMIC_LOAD: return __atomic_load_n(p, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_STORE: __atomic_store_n(p, a, __ATOMIC_SEQ_CST); return 0;
	case TD__ATOMIC_EXCHANGE: return __atomic_exchange_n(p, a, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_ADD: return __atomic_fetch_add(p, a, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_AND: return __atomic_fetch_and(p, a, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_OR: return __atomic_fetch_or(p, a, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_XOR: return __atomic_fetch_xor(p, a, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_COMPARE: __atomic_compare_exchange_n(p, &a, b, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); return a;
	case TD__ATOMIC_FENCE: __atomic_thread_fence(__ATOMIC_SEQ_CST); return 0;
	case TD__ATOMIC_LOCK: return spin_lock(p);
	default: td__sandbox_trap(TD__TRAP_UNREACHABLE);
	}
}

static inline __attribute__((always_inline)) uint64_t atomic_8(struct td__sandbox_env *env, uint32_t op, uint64_t *p, uint64_t a, uint64_t b)
{
	switch (op) {
	case TD__ATOMIC_LOAD: return __atomic_load_n(p, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_STORE: __atomic_store_n(p, a, __ATOMIC_SEQ_CST); return 0;
	case TD__ATOMIC_EXCHANGE: return __atomic_exchange_n(p, a, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_ADD: return __atomic_fetch_add(p, a, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_AND: return __atomic_fetch_and(p, a, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_OR: return __atomic_fetch_or(p, a, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_XOR: return __atomic_fetch_xor(p, a, __ATOMIC_SEQ_CST);
	case TD__ATOMIC_COMPARE: __atomic_compare_exchange_n(p, &a, b, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); return a;
	default: td__sandbox_trap(TD__TRAP_UNREACHABLE);
	}
}

/* Always with a constant for `op`, so that one instruction is left of it. */
__attribute__((always_inline)) inline u64 Z_envZ_td__svc_atomic(struct td__sandbox_env *env, u32 op, u32 at, u64 a, u64 b)
{
	if (at & (op & TD__ATOMIC_WIDE ? 7 : 3))
		td__sandbox_trap(TD__TRAP_OOB);
	if (op & TD__ATOMIC_WIDE)
		return atomic_8(env, op - TD__ATOMIC_WIDE, (uint64_t *)(env->memory + at), a, b);
	return atomic_4(env, op, (uint32_t *)(env->memory + at), (uint32_t)a, (uint32_t)b);
}

/* ---- For the wall */

EXPORT const struct td__sandbox_about td__sandbox_about = {
	TD__SANDBOX_MAGIC, TD__SANDBOX_VERSION, sizeof(Z_module_instance_t), ROOM
};

EXPORT int32_t td__sandbox_start(struct td__sandbox_env *env)
{
	starting = env;
	if (!s_module_initialized)
		Z_module_init_module();
	Z_module_instantiate(env->instance, env);
	return 0;
}

EXPORT int32_t td__sandbox_enter(struct td__sandbox_env *env)
{
	*Z_moduleZ___stack_pointer(env->instance) = env->stack;
	return (int32_t)Z_moduleZ_td__enter(env->instance, env->frame, env->op);
}
