/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bufs are numbered as the runtime numbers them. With FK_LIVE and FK_CALLED a write is applied at once and
 * logged for undoing; otherwise it waits in a list until the call ends, or syncs. Discards wait
 * for the commit, if there is an undo log. Calls go to the slots by chance, so what one slot's copies hold others change.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fakekernel.h"
#include "runtime.h"

enum { BLOCK = 4096, LOCKS = 256, SLOTS = 3 };

struct change { /* an undo record, or a write that waits */
	uint64_t at;
	uint32_t len;
	uint8_t *bytes;
};

struct list {
	struct change *c;
	size_t n, room;
};

struct buf {
	uint64_t blkno;
	uint32_t opened;
	int open;
	/* FK_SNAPSHOT, FK_FAR: memory of its own, so that a sanitizer sees who looks beyond it, or too late. */
	uint8_t *view;
};

struct fk fk;
const char *fk_why;
static struct slot {
	struct td__context context;
	int kept; /* its last call was committed */
} slots[SLOTS], *slot = slots;
static uint32_t turns;
static uint64_t *changes; /* of each block */
static struct buf bufs[TD_BUF_MAX];
static struct list undo, posted, discards;
static uint8_t held[LOCKS], done_with[LOCKS];
static jmp_buf ended;
static void *heap;
static const uint8_t zeroes[BLOCK];

int32_t td__enter(struct td_frame *f);

static void add(struct list *l, uint64_t at, const void *bytes, uint32_t len)
{
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		l->c = realloc(l->c, l->room * sizeof(*l->c));
	}
	l->c[l->n] = (struct change){ at, len, bytes ? malloc(len ? len : 1) : 0 };
	if (bytes)
		memcpy(l->c[l->n].bytes, bytes, len);
	l->n++;
}

static void clear(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->c[i].bytes);
	free(l->c);
	*l = (struct list){ 0 };
}

static int careless(const char *why)
{
	fk_why = why;
	fk.careless++;
	return -TD_EINVAL;
}

/* A service without a result: it can be where the call ends, but it cannot fail. */
static void posted_service(void)
{
	fk.services++;
	if (fk.services == fk.abort_at) {
		fk.failed = 1;
		longjmp(ended, 1);
	}
}

static int service(void)
{
	posted_service();
	if (fk.services == fk.fail_at) {
		fk.failed = 1;
		return -TD_EIO;
	}
	return 0;
}

static void apply(uint64_t at, const void *bytes, uint32_t len)
{
	if (fk.undo)
		add(&undo, at, fk.dev + at, len);
	memcpy(fk.dev + at, bytes, len);
	changes[at / BLOCK]++;
}

static void apply_posted(void)
{
	for (size_t i = 0; i < posted.n; i++)
		apply(posted.c[i].at, posted.c[i].bytes, posted.c[i].len);
	clear(&posted);
}

static void change(uint64_t at, const void *bytes, uint32_t len)
{
	if (fk.views == FK_LIVE || fk.views == FK_CALLED)
		apply(at, bytes, len);
	else
		add(&posted, at, bytes, len);
}

/* What the module's writes amount to at this place. */
static void see(uint64_t at, uint8_t *to, uint32_t len)
{
	memcpy(to, fk.dev + at, len);
	for (size_t i = 0; i < posted.n; i++) {
		struct change *c = &posted.c[i];
		uint64_t from = c->at > at ? c->at : at;
		uint64_t end = c->at + c->len < at + len ? c->at + c->len : at + len;
		if (from < end)
			memcpy(to + (from - at), c->bytes + (from - c->at), end - from);
	}
}

static struct buf *buf_of(uint32_t handle, uint32_t off, uint32_t len)
{
	struct buf *b = &bufs[handle & 0xff];

	if ((handle & 0xff) >= TD_BUF_MAX || !b->open || b->opened != handle >> 8) {
		careless("stale buf");
		return 0;
	}
	if (off > BLOCK || len > BLOCK - off) {
		careless("range outside the block");
		return 0;
	}
	return b;
}

struct td__context *td__svc_context(void)
{
	return &slot->context;
}

int td__svc_bread(uint32_t handle, uint64_t blkno, uint32_t fresh, uint64_t *view)
{
	struct buf *b = &bufs[handle & 0xff];
	int err = service();

	fk.breads++;
	if (err)
		return err;
	if (blkno >= fk.blocks)
		return careless("block beyond the device");
	if ((handle & 0xff) >= TD_BUF_MAX || b->open || handle >> 8 != b->opened + 1)
		return careless("unexpected buf");
	*b = (struct buf){ .blkno = blkno, .opened = handle >> 8, .open = 1 };
	if (fresh)
		change(blkno * BLOCK, zeroes, BLOCK);
	*view = fk.views == FK_LIVE ? (uintptr_t)(fk.dev + blkno * BLOCK) : 0;
	if (fk.views == FK_CALLED || fk.views == FK_UNMAPPED)
		*view = changes[blkno];
	if (fk.views == FK_SNAPSHOT || (fk.views == FK_FAR && blkno % 2)) {
		b->view = malloc(BLOCK);
		memcpy(b->view, fk.dev + blkno * BLOCK, BLOCK);
		*view = (uintptr_t)b->view;
	}
	return 0;
}

int td__svc_brelse(uint32_t handle)
{
	struct buf *b = buf_of(handle, 0, 0);

	posted_service();
	if (!b)
		return 0;
	b->open = 0;
	free(b->view);
	b->view = 0;
	return 0;
}

int td__svc_buf_read(uint32_t handle, uint32_t off, void *data, uint32_t len)
{
	struct buf *b = buf_of(handle, off, len);
	int err = service();

	if (err || !b)
		return err ? err : -TD_EINVAL;
	see(b->blkno * BLOCK + off, data, len);
	return 0;
}

int td__svc_buf_write(uint32_t handle, uint32_t off, const void *data, uint32_t len)
{
	struct buf *b = buf_of(handle, off, len);
	int err = service();

	fk.written += len;
	if (err || !b)
		return err ? err : -TD_EINVAL;
	change(b->blkno * BLOCK + off, data, len);
	return 0;
}

int td__svc_buf_fill(uint32_t handle, uint32_t off, uint32_t len, uint32_t value)
{
	struct buf *b = buf_of(handle, off, len);
	uint8_t bytes[BLOCK];
	int err = service();

	fk.written += len;
	if (err || !b)
		return err ? err : -TD_EINVAL;
	memset(bytes, (int)value, len);
	change(b->blkno * BLOCK + off, bytes, len);
	return 0;
}

int td__svc_buf_move(uint32_t handle, uint32_t to, uint32_t from, uint32_t len)
{
	struct buf *b = buf_of(handle, to > from ? to : from, len);
	uint8_t bytes[BLOCK];
	int err = service();

	fk.written += len;
	if (err || !b)
		return err ? err : -TD_EINVAL;
	see(b->blkno * BLOCK + from, bytes, len);
	change(b->blkno * BLOCK + to, bytes, len);
	return 0;
}

int td__svc_discard(uint64_t blkno, uint64_t count)
{
	int err = service();

	fk.discards++;
	if (err)
		return err;
	if (blkno >= fk.blocks || count > fk.blocks - blkno)
		return careless("discard beyond the device");
	if (!fk.undo) { /* without a journal at once, since locks do not last until the commit */
		for (uint64_t b = blkno; b < blkno + count; b++)
			change(b * BLOCK, zeroes, BLOCK);
		return 0;
	}
	add(&discards, blkno * BLOCK, 0, 0);
	discards.c[discards.n - 1].len = (uint32_t)count;
	return 0;
}

int td__svc_lock(uint32_t lock, uint32_t mode)
{
	int err = service();

	fk.locks++;
	if (err)
		return -TD_EDEADLK;
	if (lock >= LOCKS || held[lock])
		return careless("lock taken twice");
	if (mode & TD_TRY && fk.busy) {
		fk.busy--;
		return -TD_EAGAIN;
	}
	for (uint32_t i = lock + 1; !(mode & TD_TRY) && i < LOCKS; i++)
		if (held[i])
			return careless("locks out of order");
	held[lock] = (uint8_t)mode;
	return 0;
}

int td__svc_unlock(uint32_t lock)
{
	posted_service();
	if (lock >= LOCKS || !held[lock] || done_with[lock])
		return careless("unlock without a lock");
	done_with[lock] = 1;
	return 0;
}

int td__svc_uio_read(uint32_t uio, void *data, uint32_t len)
{
	(void)uio, (void)data, (void)len;
	return careless("uio");
}

int td__svc_uio_write(uint32_t uio, const void *data, uint32_t len)
{
	(void)uio, (void)data, (void)len;
	return careless("uio");
}

int td__svc_vref(uint64_t vnode)
{
	(void)vnode;
	return service();
}

int td__svc_vrele(uint64_t vnode)
{
	(void)vnode;
	return service();
}

int td__svc_log(uint32_t priority, const void *text, uint32_t len)
{
	(void)priority;
	fprintf(stderr, "module: %.*s\n", (int)len, (const char *)text);
	return service();
}

int td__svc_explain(const void *text, uint32_t len)
{
	fprintf(stderr, "module: %.*s\n", (int)len, (const char *)text);
	return service();
}

int td__svc_heap_take(uint64_t size, uint64_t *at)
{
	(void)size, (void)at;
	return -TD_EPERM;
}

int td__svc_heap_give(uint64_t at, uint64_t size, uint64_t damaged)
{
	(void)at, (void)size, (void)damaged;
	return -TD_EPERM;
}

int td__svc_now(uint64_t *ns)
{
	*ns = 0;
	return service();
}

int td__svc_sync(void)
{
	int err = service();

	if (!err)
		apply_posted();
	return err;
}

static void commit(void)
{
	apply_posted();
	for (size_t i = 0; i < discards.n; i++)
		for (uint64_t at = discards.c[i].at, n = discards.c[i].len; n; n--, at += BLOCK)
			apply(at, zeroes, BLOCK);
}

static void roll_back(void)
{
	for (size_t i = undo.n; i-- > 0;) {
		memcpy(fk.dev + undo.c[i].at, undo.c[i].bytes, undo.c[i].len);
		changes[undo.c[i].at / BLOCK]++;
	}
}

/* What a call that returned has to have given back. */
static void check_leaks(void)
{
	for (int i = 0; i < TD_BUF_MAX; i++)
		if (bufs[i].open)
			careless("a buf was left open");
	for (int i = 0; i < LOCKS; i++)
		if (held[i] && !done_with[i])
			careless("a lock was kept");
}

static uint32_t views_of(enum fk_views views)
{
	return views == FK_LIVE ? TD_VIEW_LIVE : views < FK_CALLED ? TD_VIEW_SNAPSHOT : TD_VIEW_NONE;
}

int fk_call(uint32_t op, void *frame)
{
	struct td_frame *f = frame;
	volatile int err = -TD_EINTR;

	turns = turns * 1103515245 + 12345;
	slot = &slots[(turns >> 16) % SLOTS];
	memset(bufs, 0, sizeof(bufs));
	memset(held, 0, sizeof(held));
	memset(done_with, 0, sizeof(done_with));
	fk.services = fk.written = fk.breads = fk.locks = fk.discards = 0;
	fk.failed = fk.careless = 0;
	fk_why = 0;
	f->op = op;
	f->now_sec = fk.now++;
	f->now_nsec = 7;
	f->slot = fk.slot;
	f->views = views_of(fk.views);
	f->flags = slot->kept ? TD_FRAME_KEPT : 0;
	f->bsize = BLOCK;
	if (!setjmp(ended)) {
		err = td__enter(f);
		check_leaks();
	}
	slot->kept = !err;
	if (!err)
		commit();
	else if (fk.undo)
		roll_back();
	else if (err != -TD_EINTR)
		commit(); /* without a journal what was done stays */
	clear(&undo);
	clear(&posted);
	clear(&discards);
	for (int i = 0; i < TD_BUF_MAX; i++)
		free(bufs[i].view);
	return err;
}

void fk_restart(void)
{
	struct td_frame_hello h = { .heap_size = 4 << 20 };

	free(heap);
	heap = malloc(h.heap_size);
	memset(heap, 0xa5, h.heap_size);
	memset(slots, 0, sizeof(slots));
	h.h.heap_at = (char *)heap - (char *)&h;
	fk_call(TD_OP_HELLO, &h);
}

static void *pages(uint64_t size)
{
	void *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

void fk_open(uint64_t blocks, enum fk_views views)
{
	fk = (struct fk){ .blocks = blocks, .views = views, .undo = 1, .now = 1700000000 };
	fk.dev = pages(blocks * BLOCK);
	changes = pages(blocks * sizeof(*changes));
	fk_restart();
}

void fk_close(void)
{
	munmap(fk.dev, fk.blocks * BLOCK);
	munmap(changes, fk.blocks * sizeof(*changes));
	free(heap);
	heap = 0;
}
