/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime is the part of the kernel's library that lives in the module: linked into every module
 * file, it turns the sdk's functions into services and keeps the call's open bufs.
 *
 * A context is the runtime's memory for one call in flight. The wall sets one aside for each slot, in
 * the domain's memory, all zeroes at the domain's start, and says with td__svc_context() which one
 * belongs to the calling thread.
 */
#ifndef TADAN_RUNTIME_H
#define TADAN_RUNTIME_H

#include <tadan/fs.h>

struct td__context {
	struct td_frame *frame;
	uint32_t views;
	uint32_t bsize;
	uint32_t used;     /* this call has opened a buf, or numbered a message or an mbuf */
	uint32_t top;      /* entries of bufs[] used so far by this call */
	uint32_t tags;     /* of messages, used so far */
	uint32_t mbufs;    /* bit n: mbuf n is open */
	uint32_t mbuf_uses;
	struct td_buf bufs[TD_BUF_MAX];

	/* Copies of blocks, kept from call to call: see bufs.c. */
	struct td__copy *copies;
	uint32_t ncopies; /* that have memory */
	uint32_t turn;    /* whose it is to become another block's */
	uint64_t shown;   /* bit n: an open buf shows copy n */
	uint64_t written; /* bit n: this call has written to copy n */
	uint8_t hints[TD_BUF_MAX]; /* where a block's copy was last */
};

TD_IMPORT struct td__context *td__svc_context(void);

/*
 * Is the context as a call wants it? What it takes from the header of its slot's frame is the same for all calls of a domain; the
 * rest is as the last one left it, which is as it should be if that one opened nothing and sent nothing.
 */
static inline int td__context_ready(const struct td__context *ctx, const struct td_frame *f)
{
	return ctx->frame == f && !ctx->used;
}

/* A call begins. `kept`: what the slot's last call has written is what the blocks hold. */
void td__bufs_begin(struct td__context *ctx, int kept);

/* Give the allocator its heap, once a domain; the area of blocks with pages of their own, 0: none; is the end of others to be marked? */
void td__heap_init(void *heap, size_t size, void *area, uint32_t marked);
/* Memory for the runtime's own use, for as long as the domain lives: not the module's, so not counted as such. */
void *td__heap_take(size_t size);
/* Bytes that the module has allocated; atomic. */
extern uint64_t td__heap_count;

#endif
