/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wall of software fault isolation.
 *
 * The module's source is compiled for wasm32 and the result translated to C, whose loads and stores reach a memory of
 * its own and nothing else: a place is 32 bits and an offset 32 bits, so every address lies in the 8 GiB that a domain
 * reserves. No access is compared with a bound; what lies outside of the domain's memory is not mapped, and faults. Calls
 * go to functions of the module of the right type, and to the services. It has no other instructions. The stack of
 * return addresses is the calling thread's and out of the module's reach.
 *
 * A domain's memory, by places:
 *
 *   0         nothing: null pointers
 *   64 KiB    the module's data, then the heap: as much as the knob `memory` says, together
 *             nothing
 *             slots, each: nothing, the stack of data, nothing, context, frame, window
 *             the device's pages, as the knob `shared` says; all that fit
 *             nothing, up to 8 GiB
 *
 * Frames and windows are shared, and another call of the module may write to them at any time: the kernel fetches what it takes
 * from there once, and checks what it has fetched. Instances and tables lie outside of the memory.
 *
 * Signals: a fault is the module's if the thread is inside, the program counter is in the form's text, and the address
 * accessed lies in this domain's reservation or is the end of the thread's stack. Everything else is the host's.
 */
#ifndef TADAN_WALLS_SFI_H
#define TADAN_WALLS_SFI_H

#include "unit/object.h"

#include "../elf/elf.h"
#include "../trap/trap.h"

struct td__sfi_form;

/* The memory of a domain: memory.c. */
struct td__sfi_memory {
	uint8_t *base;        /* place 0 */
	uint32_t data_end;    /* of the module's data: the heap begins here */
	uint32_t heap_end;
	uint32_t area;        /* of allocations that have pages of their own, TD_HEAP_AREA; 0: there is none */
	uint32_t slots;       /* place of the first */
	uint32_t device;      /* place of block 0 */
	uint64_t mapped;      /* bytes of the device that are there */
};

enum {
	TD__SFI_CONTEXT = 4096,
	TD__SFI_GUARD = 64 << 10,
	TD__SFI_STACK = 256 << 10,
	/* Places within a slot. */
	TD__SFI_STACK_AT = TD__SFI_GUARD,
	TD__SFI_CONTEXT_AT = TD__SFI_STACK_AT + TD__SFI_STACK + TD__SFI_GUARD,
	TD__SFI_FRAME_AT = TD__SFI_CONTEXT_AT + TD__SFI_CONTEXT,
	TD__SFI_WINDOW_AT = TD__SFI_FRAME_AT + TD_FRAME_SIZE,
	TD__SFI_SLOT = TD__SFI_WINDOW_AT + TD_WINDOW,
};

/* Reserve, and map data, slots and device. `memory` bytes of data and heap. 0, or -errno and a reason. */
int td__sfi_memory_create(struct td__sfi_memory *m, const struct td__domain *d, char *why, size_t size);
void td__sfi_memory_destroy(struct td__sfi_memory *m);

struct td__sfi_slot {
	struct td__gate gate;
	struct td__sandbox_env env;
	td__gate_function enter; /* takes the env */
};

struct td__sfi {
	struct td__sfi_memory memory;
	struct td__place place;
	struct td__yields yields;
	void *image;   /* the form */
	size_t image_size;
	void *outside; /* instances and tables */
	size_t outside_size;
	struct td__sfi_slot slots[TD__SLOTS];
};

/* fs_sandbox.c: the services */
extern const struct td__import td__sfi_services[];
extern const size_t td__sfi_nservices;

#endif
