/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bufs, the module's side. The runtime numbers the bufs of a call itself (index, and how often that index
 * was opened), so that a wall can post bread without waiting for an answer; the kernel counts the same way and
 * refuses a number that it does not expect.
 *
 * How a block is seen depends on the wall. LIVE: the view is the block itself. SNAPSHOT: the view shows
 * the block as it was when the call began, because writes are applied when it ends: the first write makes a
 * private copy. No view at all: the copy is made at once. Two opens of one block share an entry unless views are live.
 *
 * A copy that was written to is kept when its buf is released: the call may open the block again. One that was only
 * read is forgotten, so that a block opened again under a lock shows what others have done to it meanwhile.
 */
#include "runtime.h"

enum { LARGEST = 65536 };

/* Bytes of a block. Said so that the compiler, and the verifier of sandboxed modules, see that it is not more. */
static uint32_t block_size(const struct td__context *ctx)
{
	return ctx->bsize < LARGEST ? ctx->bsize : LARGEST;
}

static struct td_buf *find(struct td__context *ctx, uint64_t blkno)
{
	if (ctx->views == TD_VIEW_LIVE)
		return 0;
	for (uint32_t i = 0; i < TD_BUF_MAX && i < ctx->top; i++)
		if (ctx->bufs[i].blkno == blkno && (ctx->bufs[i].refs || ctx->bufs[i].copied))
			return &ctx->bufs[i];
	return 0;
}

static struct td_buf *unused(struct td__context *ctx)
{
	for (uint32_t i = 0; i < TD_BUF_MAX && i < ctx->top; i++)
		if (!ctx->bufs[i].refs && !ctx->bufs[i].copied)
			return &ctx->bufs[i];
	return ctx->top < TD_BUF_MAX ? &ctx->bufs[ctx->top++] : 0;
}

/* Once the kernel has applied what was posted, copies of released bufs are no longer needed. */
static struct td_buf *vacant(struct td__context *ctx)
{
	struct td_buf *b = unused(ctx);

	if (b || td__svc_sync())
		return b;
	for (uint32_t i = 0; i < TD_BUF_MAX && i < ctx->top; i++)
		if (!ctx->bufs[i].refs)
			ctx->bufs[i].copied = 0;
	return unused(ctx);
}

enum { COPY_CLEAN = 1, COPY_WRITTEN = 2, LINE = 64 };

/* Memory for a copy, on a line of its own: what moves blocks is faster so. */
static uint8_t *copy_memory(struct td__context *ctx)
{
	uintptr_t memory = (uintptr_t)td__heap_take(block_size(ctx) + LINE);

	return (uint8_t *)((memory + LINE - 1) & ~(uintptr_t)(LINE - 1));
}

/* Make the entry's view a private copy of what it shows now, or zeroes. */
static int take_copy(struct td__context *ctx, struct td_buf *b, const void *from)
{
	uint8_t **copy = &ctx->pool[b - ctx->bufs];

	if (!*copy)
		*copy = copy_memory(ctx);
	if (!*copy)
		return -TD_EMFILE;
	if (from)
		memcpy(*copy, from, block_size(ctx));
	b->view = *copy;
	b->copied = COPY_CLEAN;
	return 0;
}

static int open_buf(uint64_t blkno, uint32_t fresh, struct td_buf **out)
{
	struct td__context *ctx = td__svc_context();
	struct td_buf *b = find(ctx, blkno);
	uint64_t view = 0;
	int err;

	*out = 0;
	if (b && b->refs) {
		b->refs++;
		*out = b;
		return fresh ? td_buf_fill(b, 0, block_size(ctx), 0) : 0;
	}
	if (!b)
		b = vacant(ctx);
	if (!b)
		return -TD_EMFILE;
	b->handle = (uint32_t)(b - ctx->bufs) | ++b->opened << 8;
	err = td__svc_bread(b->handle, blkno, fresh, &view);
	if (err)
		return err;
	b->blkno = blkno;
	b->refs = 1;
	if (!b->copied) {
		b->view = (const uint8_t *)(uintptr_t)view;
		if (ctx->views == TD_VIEW_SNAPSHOT && (fresh || !view))
			err = take_copy(ctx, b, 0);
		if (!err && !view && !fresh)
			err = td__svc_buf_read(b->handle, 0, (void *)b->view, block_size(ctx));
	}
	if (!err && fresh && b->copied) {
		memset((void *)b->view, 0, block_size(ctx));
		b->copied = COPY_WRITTEN;
	}
	if (err) {
		b->copied = 0;
		td_brelse(b);
		return err;
	}
	*out = b;
	return 0;
}

int td_bread(uint64_t blkno, struct td_buf **b)
{
	return open_buf(blkno, 0, b);
}

int td_getblk(uint64_t blkno, struct td_buf **b)
{
	return open_buf(blkno, 1, b);
}

int td_getnextblk(struct td_buf *b, struct td_buf **next)
{
	return open_buf(b->blkno + 1, 0, next);
}

/* A copy outlives the release: the same call may open the block again and must see what it wrote. */
void td_brelse(struct td_buf *b)
{
	if (!b || --b->refs)
		return;
	if (b->copied == COPY_CLEAN)
		b->copied = 0;
	td__svc_brelse(b->handle);
}

/* The private copy to bring up to date with a write, 0 where the view is live. */
static int writable(struct td_buf *b, uint32_t off, uint32_t len, uint8_t **copy)
{
	struct td__context *ctx = td__svc_context();
	uint32_t size = block_size(ctx);

	*copy = 0;
	if (ctx->views == TD_VIEW_LIVE)
		return 0;
	if (off > size || len > size - off)
		return 0; /* the service says so */
	if (!b->copied) {
		int err = take_copy(ctx, b, b->view);
		if (err)
			return err;
	}
	b->copied = COPY_WRITTEN;
	*copy = (uint8_t *)b->view;
	return 0;
}

int td_buf_write(struct td_buf *b, uint32_t off, const void *data, uint32_t len)
{
	uint8_t *copy;
	int err = writable(b, off, len, &copy);

	if (!err)
		err = td__svc_buf_write(b->handle, off, data, len);
	if (!err && copy)
		memcpy(copy + off, data, len);
	return err;
}

int td_buf_fill(struct td_buf *b, uint32_t off, uint32_t len, uint8_t byte)
{
	uint8_t *copy;
	int err = writable(b, off, len, &copy);

	if (!err)
		err = td__svc_buf_fill(b->handle, off, len, byte);
	if (!err && copy)
		memset(copy + off, byte, len);
	return err;
}

int td_buf_move(struct td_buf *b, uint32_t to, uint32_t from, uint32_t len)
{
	uint8_t *copy;
	int err = writable(b, to > from ? to : from, len, &copy);

	if (!err)
		err = td__svc_buf_move(b->handle, to, from, len);
	if (!err && copy)
		memmove(copy + to, copy + from, len);
	return err;
}
