/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wall of memory protection keys.
 *
 * Every page has one of 16 keys; a register of each thread (PKRU) says what may be done with
 * each. The kernel's threads have all keys open. While a thread runs in a module, they are closed
 * but these:
 *
 *   the domain's key     its data, constants, heap, stacks, frames and windows: open
 *   the device's key     by the knob `shared`: open, read-only, closed
 *   key 0                all memory of the kernel: readable with `shared` rw and ro, else closed
 *   the key of signals   only where Linux needs it (before 6.12): alternate stacks, open
 *
 * Crossing is to write that register and change the stack, both ways, in stubs (gate.S) that
 * every domain has a copy of, because the value that closes the keys is part of the instructions.
 * Behind each write of the register stands a comparison with the value that was meant: whoever
 * jumps to the instruction with another one ends in a fault.
 *
 * What this does not stop: code that looks for an instruction in the C library that opens keys, or
 * makes system calls by way of it; or that closes its keys with the stubs of another domain, and so
 * gets that domain's rights for its own. The wall is against errors, not against a determined
 * attacker.
 *
 * Signals. A handler of the program's that is not on an alternate stack would run on the module's,
 * without rights to it. A program blocks the signals that it handles in threads that make calls.
 */
#ifndef TD_WALLS_PKEY_H
#define TD_WALLS_PKEY_H

/*
 * A slot's memory: a power of two, so that the module's side finds its context from its stack
 * pointer.
 */
#define TD__PKEY_SLOT (1 << 19)

/* Room for stubs: code, then 16 bytes for each service. */
#define TD__PKEY_STUBS	   4096
#define TD__PKEY_STUB_SIZE 16

#ifndef __ASSEMBLER__

#include "../elf/elf.h"
#include "../trap/trap.h"

enum {
	TD__PKEY_CONTEXT = 4096,
	TD__PKEY_GUARD = 4096,
	/* Places in a slot; the rest is stack. */
	TD__PKEY_FRAME_AT = TD__PKEY_CONTEXT,
	TD__PKEY_WINDOW_AT = TD__PKEY_FRAME_AT + TD_FRAME_SIZE,
	TD__PKEY_GUARD_AT = TD__PKEY_WINDOW_AT + TD_WINDOW,
	TD__PKEY_STACK_AT = TD__PKEY_GUARD_AT + TD__PKEY_GUARD,
};
_Static_assert(sizeof(struct td__context) <= TD__PKEY_CONTEXT, "context");

/* ---- keys.c */

/* Does the processor have keys, and does the system below use them? */
int td__pkey_present(void);

/* Open all keys to this thread. Not for use while it is in a module. */
void td__pkey_open(void);

/* A key for a domain. -TD_ENOSPC and a reason when there is none left. */
int td__pkey_take(char *why, size_t size);
void td__pkey_give(int key);

/*
 * The key of a device's pages, made when its first domain starts, given back when its last one
 * stops.
 */
int td__pkey_take_device(const struct td__device *device, char *why, size_t size);
void td__pkey_give_device(const struct td__device *device);

/* What PKRU is while the module runs. */
uint32_t td__pkey_rights(int key, int device_key, uint32_t shared);

/* ---- region.c: a domain's memory */

struct td__region {
	const void *file_id; /* of the module file, for using a sealed region again */
	uint8_t *image;	     /* stubs, then the module */
	size_t image_size;
	uint8_t *stubs, *base;
	uint8_t *heap;
	size_t heap_size;
	uint8_t *area; /* TD_HEAP_AREA; 0: none */
	uint8_t *slots;	 /* TD__SLOTS * TD__PKEY_SLOT, so aligned */
	void *slots_map; /* what was reserved for them */
	int key;
	int sealed;
	char id[132];
	uint32_t rights; /* that the stubs close to */
	struct td__region *next;
};

/*
 * The module in memory under the key, with stubs that close to `rights`. 0, or -errno and a reason.
 */
int td__region_create(const struct td__elf *e, int key, uint32_t rights, uint64_t heap, int area,
		      struct td__region **out, char *why, size_t size);
void td__region_destroy(struct td__region *r);

/* ---- gate.S */

int td__pkey_enter(struct td__gate *g, int32_t (*enter)(struct td_frame *), struct td_frame *f,
		   void *stack, const void *stub);
void td__pkey_recover(void); /* a label, reached with keys closed */
struct td__context *td__pkey_context(void);

/* The template of the stubs, where values are to be put in, and where each begins. */
extern const uint8_t td__pkey_template[], td__pkey_template_end[];
extern const uint8_t td__pkey_stub_enter[], td__pkey_stub_back[], td__pkey_stub_service[];
extern const uint8_t td__pkey_closed_1[], td__pkey_closed_2[], td__pkey_closed_3[],
	td__pkey_closed_4[];
extern const uint8_t td__pkey_to_out[], td__pkey_to_service[];
void td__pkey_out(void);
void td__pkey_service(void);

/* ---- pkey.c: the services by number, in the order of TD__SERVICES */
extern const void *const td__pkey_services[];
extern const uint32_t td__pkey_nservices;
extern const char *const td__pkey_service_names[];

#endif /* __ASSEMBLER__ */
#endif
