/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Planted faults: machine code that the laboratory puts into a copy of a module file, between its entry and the kernel.
 *
 * The code stands in a section of its own and refers to nothing outside of it: everything it needs is in its parameters, which
 * lie behind it in the module's text. Places are counted from the parameters' own beginning.
 */
#ifndef TADAN_LAB_ACT_H
#define TADAN_LAB_ACT_H

#include <tadan/fs_if.h>

/*
 * What is done: X(act). Each is a row of the report; planted.c says what should find it. Memory first, then instructions and time,
 * what is meant, and the use of the kernel. LAB_STUB_ACTS: all that is done by code in the module.
 */
#define LAB_STUB_ACTS(X)                                                                                                 \
	X(READ_NULL) X(WRITE_NULL) X(MISALIGNED) X(NO_ADDRESS) X(WRITE_UNMAPPED) X(READ_KERNEL) X(WRITE_KERNEL)          \
	X(WRITE_DOMAIN) X(WRITE_TEXT) X(WRITE_SHARED) X(WRITE_FREED)                                                     \
	X(HEAP_LOAD_FREED) X(HEAP_STORE_FREED) X(HEAP_STORE_BEYOND) X(HEAP_LOAD_BEYOND) X(HEAP_STORE_BEFORE)             \
	X(HEAP_LOAD_BEFORE) X(HEAP_FREE_TWICE) X(HEAP_FREE_FOREIGN) X(STACK) X(JUMP_NULL) X(JUMP_DATA) X(JUMP_KERNEL)   \
	X(ILLEGAL) X(DIVIDE) X(PRIVILEGED) X(SYSCALL) X(BREAKPOINT) X(LOOP)                                              \
	X(RECORD_SIZE) X(RECORD_BLOCKS) X(RECORD_TIME) X(RECORD_MODE) X(RECORD_LINKS) X(RECORD_FLAGS) X(RECORD_FID)      \
	X(RECORD_TYPE) X(RESULT_POSITIVE) X(RESULT_UNKNOWN) X(RESULT_FOREIGN)                                            \
	X(EXTENT_BEYOND) X(EXTENT_GAP) X(EXTENT_COUNT) X(EXTENT_STATE) X(BYTES_LENGTH) X(OTHER_OPERATIONS)                                  \
	X(BAD_RANGE) X(BAD_BLOCK) X(STALE_HANDLE) X(DOUBLE_RELEASE) X(FORGOTTEN_BUFS) X(BAD_LOCK) X(LOCK_KEPT)           \
	X(UNLOCK_FOREIGN) X(FOREIGN_VNODE) X(BAD_DISCARD) X(LONG_LOG)

#define LAB_ENUM(act) LAB_##act,
enum lab_act {
	LAB_STUB_ACTS(LAB_ENUM)
	LAB_KILLED, /* not by code: the module's process is ended from outside */
	LAB_ACTS
};

struct lab_act_params {
	uint32_t bsize;
	uint32_t pad;
	uint64_t blocks;   /* of the device */
	uint64_t address;  /* of whose memory is not the module's */
	int64_t enter;     /* the module's own td__enter */
	int64_t alloc, free; /* its td_alloc and td_free; 0: it has none */
	int64_t service[TD_SVC_MAX]; /* words that hold the services' addresses; 0: the module does not import it */
};

/* How often a mistake is made that is only counted at first: more than one call may. */
enum { LAB_OFTEN = 24 };

/* The code of an act: copied as it is, called with the frame and the parameters. For wasm32 all are one function. */
#define LAB_DECLARE(act) extern const char __start_lab_act_##act[], __stop_lab_act_##act[];
LAB_STUB_ACTS(LAB_DECLARE)

#endif
