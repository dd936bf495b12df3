/* SPDX-License-Identifier: BSD-2-Clause */
/* What process_acts.c does, chosen by seek's `whence`; `off` is the address or number that it does it with. */
#ifndef PROCESS_ACTS_H
#define PROCESS_ACTS_H

enum process_act {
	ACT_NOTHING,    /* found = off + 1 */
	ACT_GREET,      /* heap, bufs, context; found = how often, from a variable */
	ACT_CHANGE,     /* write off into block 2, then fault */
	ACT_LOOK,       /* found = first word of block off */
	ACT_READ,       /* found = the byte at off */
	ACT_WRITE,      /* a byte to off */
	ACT_CALL,       /* off, as a function */
	ACT_OVERFLOW,
	ACT_LOOP,
	ACT_LOOP_SERVICES,
	ACT_TRAP,
	ACT_DIVIDE,
	ACT_PRIVILEGED,
	ACT_VIEW_WRITE, /* through the view of block off */
	ACT_SYSCALL,    /* number off, arguments 0 */
	ACT_SYSCALL_32, /* the same by INT 80h */
	ACT_PROTECT,    /* mprotect of the page of an allocation: off & 7, for off & ~7 bytes, or a page */
	ACT_FUTEX,      /* operation off, on a word of its own */
	ACT_BAD_RANGE,  /* a posted service that fails: buf_write beyond the block */
	ACT_MISTAKES,   /* off posted services that fail without doing harm */
	ACT_MANY_POSTS, /* off posted writes, more than a ring holds */
	ACT_SERVICE_OUT, /* a service that is to write to off */
	ACT_SET_FS,     /* lose the thread's own area, then fault */
	ACT_LOST_STACK, /* a stack pointer of off, then a push */
	ACT_OTHER_LANE, /* a stack pointer of another slot's, then a service */

	/* Against the host, through what is shared with it. */
	ACT_TURN,       /* give the turn with value off, and wait */
	ACT_HANDED,     /* give the turn for reason off */
	ACT_USED,       /* ask with a ring of off bytes */
	ACT_LENGTH,     /* a message with a payload of off bytes */
	ACT_SERVICE,    /* message of service off */
	ACT_WANT,       /* buf_read that wants off bytes */
	ACT_EVIDENCE,   /* evidence of a fault, all bytes off */
	ACT_GARBAGE,    /* write all that is shared full with numbers from seed off, then return */
	ACT_GARBAGE_ASK, /* the same with the turn given again and again */
	ACT_OTHER_SLOTS, /* all slots but its own, then return */
	ACT_ASK_FOR_EVER, /* ask, whatever comes back */
};

#endif
