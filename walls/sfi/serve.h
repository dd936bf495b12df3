/* SPDX-License-Identifier: BSD-2-Clause */
/* What the services for translated code, which are made from the interface's description, have in common. */
#ifndef TADAN_WALLS_SFI_SERVE_H
#define TADAN_WALLS_SFI_SERVE_H

#include <fs_services.h>
#include "sfi.h"

/* sfi.c: the module is not to run on. `pc` and `fp` are where it was. */
_Noreturn void td__sfi_end_call(struct td__gate *g, void *pc, void **fp);
_Noreturn void td__sfi_no_stack(struct td__gate *g, void *pc, void **fp);

#define TD__SFI_BEGIN(env) td__sfi_begin((env)->gate, __builtin_return_address(0), __builtin_frame_address(0))
#define TD__SFI_END(env) td__sfi_end((env)->gate, __builtin_return_address(0), __builtin_frame_address(0))

static inline struct td__call *td__sfi_begin(struct td__gate *g, void *pc, void **fp)
{
	td__gate_set(g, TD__GATE_SERVICE);
	if (__builtin_expect((uintptr_t)fp < g->stack_least, 0))
		td__sfi_no_stack(g, pc, fp);
	return g->call;
}

static inline void td__sfi_end(struct td__gate *g, void *pc, void **fp)
{
	if (__builtin_expect(__atomic_load_n(&g->call->doomed, __ATOMIC_RELAXED), 0))
		td__sfi_end_call(g, pc, fp);
	td__gate_set(g, TD__GATE_MODULE);
}

/* Do the bytes lie in a memory of 32-bit places? Whether something is there, td__port_copy() finds out. */
static inline int td__sfi_holds(uint32_t at, uint32_t len)
{
	return (uint64_t)at + len <= 1ull << 32;
}

static inline void *td__sfi_at(const struct td__sandbox_env *env, uint32_t at)
{
	return env->memory + at;
}

static inline int td__sfi_stray(struct td__call *c)
{
	return td__careless(c, TD_EFAULT, "memory that is not the module's");
}

/* A result that goes to the module's memory. */
static inline int td__sfi_tell(const struct td__sandbox_env *env, uint32_t at, uint64_t value, uint32_t size)
{
	struct td__call *c = ((struct td__gate *)env->gate)->call;

	if (__builtin_expect((uint32_t)(env->stack - size - at) <= TD__SFI_STACK - size, 1)) { /* the slot's stack of data is always there */
		memcpy(td__sfi_at(env, at), &value, size);
		return 0;
	}
	if (!td__sfi_holds(at, size) || td__port_copy(td__sfi_at(env, at), &value, size))
		return td__sfi_stray(c);
	return 0;
}

/* The place where the module sees a block that the kernel has at this address; 0: only through buf_read. Where it sees none, a count. */
static inline uint64_t td__sfi_view(const struct td__sandbox_env *env, uint64_t address)
{
	const struct td__call *c = ((struct td__gate *)env->gate)->call;
	const struct td__sfi *s = c->domain->private;
	uint64_t off = address - s->place.device.start;

	if (c->domain->views == TD_VIEW_NONE)
		return address;
	return off + s->place.bsize <= s->memory.mapped ? s->memory.device + off : 0;
}

#endif
