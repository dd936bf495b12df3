/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What inside_acts.c does, chosen by seek's `whence`; `off` is the address or number that it does
 * it with.
 */
#ifndef INSIDE_ACTS_H
#define INSIDE_ACTS_H

enum act {
	ACT_NOTHING,  /* found = off + 1 */
	ACT_GREET,    /* found = how often, from a variable; uses heap, bufs and context */
	ACT_WHERE,    /* found = address of: 0 data, 1 text, 2 new heap memory, 3 the stack */
	ACT_READ,     /* found = the byte at off */
	ACT_WRITE,    /* a byte to off */
	ACT_CALL,     /* call off as a function */
	ACT_JUMP,     /* jump there, with the stack as a call would leave it */
	ACT_OVERFLOW, /* recurse for ever */
	ACT_OVERFLOW_IN_SERVICE, /* recurse for ever through a service */
	ACT_LOOP,		 /* loop for ever */
	ACT_LOOP_SERVICES,	 /* the same, calling a service each time round */
	ACT_TRAP,		 /* an undefined instruction */
	ACT_BREAKPOINT,
	ACT_DIVIDE,	  /* by off, which is 0 */
	ACT_PRIVILEGED,	  /* HLT */
	ACT_UNALIGNED,	  /* an aligned vector store to off */
	ACT_LOST_STACK,	  /* a stack pointer of off, then a push */
	ACT_OUT_OF_BLOCK, /* buf_write beyond the block */
	ACT_SERVICE_OUT,  /* a service that writes to off */
	ACT_SERVICE_IN,	  /* a service that reads from off */
	ACT_VIEW_WRITE,	  /* write through the view of block off */
	ACT_OTHER_STATE, /* leave direction flag, rounding mode and x87 stack changed, then fault */
	ACT_OPEN_KEYS, /* call off with what opens all keys in eax; then write to v->fid */
};

#endif
