/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bufs, the module's side. The runtime numbers the bufs of a call itself (index, and how often that index
 * was opened), so that a wall can post bread without waiting for an answer; the kernel counts the same way and
 * refuses a number that it does not expect.
 *
 * How a block is seen depends on the wall. LIVE: the view is the block itself. SNAPSHOT: the view shows
 * the block as it was when the call began, because writes are applied when it ends: the first write makes a
 * private copy. NONE: there is no view, and all that the module sees is copies. Two opens of one block share an entry
 * unless views are live.
 *
 * A slot has COPIES places for copies; where a call needs no more, KEEP of them have memory. A copy is good
 *   - within the call that has written to it: what it wrote may wait to be applied;
 *   - with NONE, as long as the block has been changed as often as the copy has seen: when it was read, and by each write since
 *     through this slot. A call that was undone, or refused, says nothing of that: what it wrote is unknown afterwards.
 * Else it is read again, so that a block opened again under a lock shows what others have done to it meanwhile.
 */
#include "runtime.h"

enum { LARGEST = 65536, LINE = 64, COPIES = TD_BUF_MAX, KEEP = 16 };
#define UNKNOWN (1ull << 63)

struct td__copy {
	uint64_t blkno;
	uint64_t changes; /* of the block, that the copy has seen */
	uint8_t *data;
};

/* Bytes of a block. Said so that the compiler, and the verifier of sandboxed modules, see that it is not more. */
static uint32_t block_size(const struct td__context *ctx)
{
	return ctx->bsize < LARGEST ? ctx->bsize : LARGEST;
}

void td__bufs_begin(struct td__context *ctx, int kept)
{
	for (uint32_t i = 0; i < TD_BUF_MAX && i < ctx->top; i++)
		ctx->bufs[i] = (struct td_buf){ 0 };
	for (uint32_t i = 0; i < COPIES && !kept && ctx->written >> i; i++)
		if (ctx->written >> i & 1)
			ctx->copies[i].changes = UNKNOWN;
	ctx->top = 0;
	ctx->shown = ctx->written = 0;
}

/* ---- Copies */

static uint32_t find_copy(struct td__context *ctx, uint64_t blkno)
{
	uint8_t *hint = &ctx->hints[blkno % COPIES];

	if (*hint < ctx->ncopies && *hint < COPIES && ctx->copies[*hint].blkno == blkno)
		return *hint;
	for (uint32_t i = 0; i < COPIES && i < ctx->ncopies; i++)
		if (ctx->copies[i].blkno == blkno) {
			*hint = (uint8_t)i;
			return i;
		}
	return COPIES;
}

/* One with memory that may be another block's from now on, the next one in turn; COPIES: none. */
static uint32_t unused_copy(struct td__context *ctx)
{
	for (uint32_t n = 0; n < COPIES && n < ctx->ncopies; n++) {
		uint32_t i = ctx->turn % COPIES;

		ctx->turn = i + 1 < ctx->ncopies ? i + 1 : 0;
		if (!((ctx->shown | ctx->written) >> i & 1))
			return i;
	}
	return COPIES;
}

/* Memory for another one, on a line of its own: what moves blocks is faster so. */
static uint32_t more_copies(struct td__context *ctx)
{
	uintptr_t memory;

	if (!ctx->copies)
		ctx->copies = td__heap_take(COPIES * sizeof(*ctx->copies));
	if (!ctx->copies || ctx->ncopies >= COPIES)
		return COPIES;
	memory = (uintptr_t)td__heap_take(block_size(ctx) + LINE);
	if (!memory)
		return COPIES;
	ctx->copies[ctx->ncopies].data = (uint8_t *)((memory + LINE - 1) & ~(uintptr_t)(LINE - 1));
	return ctx->ncopies++;
}

/* Once the kernel has applied what was posted, copies of released bufs are no longer needed. */
static uint32_t take_copy(struct td__context *ctx, uint64_t blkno)
{
	uint32_t least = ctx->views == TD_VIEW_NONE ? KEEP : 0;
	uint32_t i = ctx->ncopies < least ? more_copies(ctx) : COPIES;

	if (i == COPIES)
		i = unused_copy(ctx);
	if (i == COPIES)
		i = more_copies(ctx);
	if (i == COPIES && !td__svc_sync()) {
		ctx->written &= ctx->shown;
		i = unused_copy(ctx);
	}
	if (i == COPIES)
		return i;
	ctx->copies[i].blkno = blkno;
	ctx->copies[i].changes = UNKNOWN;
	ctx->hints[blkno % COPIES] = (uint8_t)i;
	return i;
}

/* The buf shows the block's copy from now on, which may have to be made. 0, or -EMFILE. */
static int show_copy(struct td__context *ctx, struct td_buf *b, uint32_t i)
{
	if (i == COPIES)
		i = take_copy(ctx, b->blkno);
	if (i == COPIES)
		return -TD_EMFILE;
	ctx->shown |= 1ull << i;
	b->copied = (uint16_t)(i + 1);
	b->view = ctx->copies[i].data;
	return 0;
}

static struct td__copy *copy_of(const struct td__context *ctx, const struct td_buf *b)
{
	return &ctx->copies[(b->copied - 1u) % COPIES];
}

/* What the module sees of a block that it has just opened, where the view is not the block. `view` is the service's answer. */
static int show(struct td__context *ctx, struct td_buf *b, uint32_t fresh, uint64_t view)
{
	uint32_t i = find_copy(ctx, b->blkno);
	int own = i < COPIES && ctx->written >> i & 1, none = ctx->views == TD_VIEW_NONE, err;

	if (!own && !fresh && !none && view) {
		b->view = (const uint8_t *)(uintptr_t)view;
		return 0;
	}
	err = show_copy(ctx, b, i);
	if (err)
		return err;
	struct td__copy *copy = copy_of(ctx, b);
	if (fresh) {
		ctx->written |= 1ull << (b->copied - 1);
		copy->changes = UNKNOWN;
		memset(copy->data, 0, block_size(ctx));
		return 0;
	}
	if (own || (none && copy->changes == view))
		return 0;
	copy->changes = UNKNOWN;
	err = td__svc_buf_read(b->handle, 0, copy->data, block_size(ctx));
	if (!err && none)
		copy->changes = view;
	return err;
}

/* ---- Opening and closing */

static struct td_buf *find(struct td__context *ctx, uint64_t blkno)
{
	if (ctx->views == TD_VIEW_LIVE)
		return 0;
	for (uint32_t i = 0; i < TD_BUF_MAX && i < ctx->top; i++)
		if (ctx->bufs[i].blkno == blkno && ctx->bufs[i].refs)
			return &ctx->bufs[i];
	return 0;
}

static struct td_buf *unused(struct td__context *ctx)
{
	for (uint32_t i = 0; i < TD_BUF_MAX && i < ctx->top; i++)
		if (!ctx->bufs[i].refs)
			return &ctx->bufs[i];
	ctx->used = 1;
	return ctx->top < TD_BUF_MAX ? &ctx->bufs[ctx->top++] : 0;
}

static int open_buf(uint64_t blkno, uint32_t fresh, struct td_buf **out)
{
	struct td__context *ctx = td__svc_context();
	struct td_buf *b = find(ctx, blkno);
	uint64_t view = 0;
	int err;

	*out = b;
	if (b) {
		b->refs++;
		return fresh ? td_buf_fill(b, 0, block_size(ctx), 0) : 0;
	}
	b = unused(ctx);
	if (!b)
		return -TD_EMFILE;
	b->handle = (uint32_t)(b - ctx->bufs) | (b->opened + 1) << 8;
	err = td__svc_bread(b->handle, blkno, fresh, &view);
	if (err)
		return err;
	b->blkno = blkno;
	b->opened++;
	b->refs = 1;
	b->view = (const uint8_t *)(uintptr_t)view;
	if (ctx->views != TD_VIEW_LIVE)
		err = show(ctx, b, fresh, view);
	if (err)
		td_brelse(b);
	else
		*out = b;
	return err;
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

void td_brelse(struct td_buf *b)
{
	if (!b || --b->refs)
		return;
	if (b->copied)
		td__svc_context()->shown &= ~(1ull << (b->copied - 1));
	b->copied = 0;
	td__svc_brelse(b->handle);
}

/* ---- Writing */

/* The private copy to bring up to date with a write, 0 where the view is live. */
static int writable(struct td_buf *b, uint32_t off, uint32_t len, struct td__copy **copy)
{
	struct td__context *ctx = td__svc_context();
	uint32_t size = block_size(ctx);
	int err;

	*copy = 0;
	if (ctx->views == TD_VIEW_LIVE)
		return 0;
	if (off > size || len > size - off)
		return 0; /* the service says so */
	if (!b->copied) {
		const uint8_t *view = b->view;

		err = show_copy(ctx, b, find_copy(ctx, b->blkno));
		if (err)
			return err;
		memcpy(copy_of(ctx, b)->data, view, size);
	}
	*copy = copy_of(ctx, b);
	ctx->written |= 1ull << (b->copied - 1);
	return 0;
}

int td_buf_write(struct td_buf *b, uint32_t off, const void *data, uint32_t len)
{
	struct td__copy *copy;
	int err = writable(b, off, len, &copy);

	if (!err)
		err = td__svc_buf_write(b->handle, off, data, len);
	if (!err && copy) {
		memcpy(copy->data + off, data, len);
		copy->changes++;
	}
	return err;
}

int td_buf_fill(struct td_buf *b, uint32_t off, uint32_t len, uint8_t byte)
{
	struct td__copy *copy;
	int err = writable(b, off, len, &copy);

	if (!err)
		err = td__svc_buf_fill(b->handle, off, len, byte);
	if (!err && copy) {
		memset(copy->data + off, byte, len);
		copy->changes++;
	}
	return err;
}

int td_buf_move(struct td_buf *b, uint32_t to, uint32_t from, uint32_t len)
{
	struct td__copy *copy;
	int err = writable(b, to > from ? to : from, len, &copy);

	if (!err)
		err = td__svc_buf_move(b->handle, to, from, len);
	if (!err && copy) {
		memmove(copy->data + to, copy->data + from, len);
		copy->changes++;
	}
	return err;
}
