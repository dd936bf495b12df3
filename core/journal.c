/* SPDX-License-Identifier: BSD-2-Clause */
/* The journal: see journal.h. */
#include "journal.h"
#include "fs.h"

enum { KEPT = 1 << 20 };

static __attribute__((cold)) int grow(struct td__journal *j, uint32_t need, uint64_t most)
{
	uint32_t size = j->size ? j->size : 16384;
	uint8_t *data;

	if ((uint64_t)j->used + need > most)
		return -TD_ENOMEM;
	while (size - j->used < need)
		size *= 2;
	data = td__port_alloc(size);
	if (!data)
		return -TD_ENOMEM;
	if (j->size) {
		memcpy(data, j->data, j->used);
		td__port_free(j->data, j->size);
	}
	j->data = data;
	j->size = size;
	return 0;
}

/* Beyond the limit the call cannot be undone, so it cannot go on. */
static inline struct td__entry *append(struct td__call *c, uint32_t kind, uint32_t len)
{
	struct td__journal *j = &c->journal;
	uint32_t need = (uint32_t)sizeof(struct td__entry) + ((len + 7) & ~7u);
	struct td__entry *e;

	if (j->size - j->used < need && grow(j, need, c->domain->level.undo)) {
		td__call_fault(c, TD_FAULT_LIMIT, "more undo than the level or the memory has for one call", 0);
		return 0;
	}
	e = (struct td__entry *)(j->data + j->used);
	e->kind = kind;
	e->len = len;
	e->off = 0;
	e->prev = j->entries ? j->used - j->last : 0;
	e->blkno = e->count = 0;
	j->last = j->used;
	j->used += need;
	j->entries++;
	td__progress(c);
	return e;
}

int td__journal_bytes(struct td__call *c, uint64_t blkno, uint32_t off, uint32_t len)
{
	struct td__entry *e = append(c, TD__ENTRY_BYTES, len);

	if (!e)
		return -TD_ENOMEM;
	e->blkno = blkno;
	e->off = off;
	memcpy(e + 1, td__device_at(c->fs->device, blkno) + off, len);
	return 0;
}

static int all_zero(const uint64_t *p, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes / 8; i++)
		if (p[i])
			return 0;
	return 1;
}

int td__journal_block(struct td__call *c, uint64_t blkno)
{
	struct td__device *dev = c->fs->device;
	const void *block = td__device_at(dev, blkno);
	uint32_t len = all_zero(block, dev->bsize) ? 0 : dev->bsize;
	struct td__entry *e = append(c, TD__ENTRY_ZEROED, len);

	if (!e)
		return -TD_ENOMEM;
	e->blkno = blkno;
	memcpy(e + 1, block, len);
	return 0;
}

int td__journal_mark(struct td__call *c, uint32_t kind, uint64_t blkno, uint64_t count)
{
	struct td__entry *e = append(c, kind, 0);

	if (!e)
		return -TD_ENOMEM;
	e->blkno = blkno;
	e->count = count;
	c->journal.later = 1;
	return 0;
}

/* What few calls need is given back: a slot's journal would stay as large as its largest ever was. */
static void clear(struct td__call *c)
{
	struct td__journal *j = &c->journal;

	if (j->used > c->undo_most)
		__atomic_store_n(&c->undo_most, j->used, __ATOMIC_RELAXED);
	if (j->size > KEPT) {
		td__port_free(j->data, j->size);
		j->data = 0;
		j->size = 0;
	}
	j->used = j->last = j->entries = j->later = 0;
}

/* Whether more references are given back than were taken is known only now. */
static void give_back(struct td__call *c, uint64_t vnode)
{
	if (td__vnode_unkeep(c->fs, vnode))
		td__mistake(c, TD_MISTAKE_HANDLE, "vrele: a vnode that is not there, or of which no reference is kept", "vnode", vnode);
}

void td__journal_commit(struct td__call *c)
{
	struct td__journal *j = &c->journal;

	for (uint32_t at = 0; j->later && at < j->used;) {
		struct td__entry *e = (struct td__entry *)(j->data + at);

		if (e->kind == TD__ENTRY_DISCARD)
			td__device_discard(c->fs->device, e->blkno, e->count);
		else if (e->kind == TD__ENTRY_UNREF)
			give_back(c, e->blkno);
		else if (e->kind == TD__ENTRY_UNKEPT)
			td__kept_end(c, e, 1);
		at += (uint32_t)sizeof(*e) + ((e->len + 7) & ~7u);
	}
	clear(c);
}

static void undo_entry(struct td__call *c, const struct td__entry *e)
{
	struct td__device *dev = c->fs->device;
	int block = e->kind == TD__ENTRY_BYTES || e->kind == TD__ENTRY_ZEROED;

	if (e->kind == TD__ENTRY_ZEROED && e->count) {
		td__device_forget(dev, e->blkno);
		return;
	}
	if (block)
		td__device_dirty(dev, e->blkno, 1);
	switch (e->kind) {
	case TD__ENTRY_BYTES:
		memcpy(td__device_at(dev, e->blkno) + e->off, e + 1, e->len);
		break;
	case TD__ENTRY_ZEROED:
		if (e->len)
			memcpy(td__device_at(dev, e->blkno), e + 1, e->len);
		else
			memset(td__device_at(dev, e->blkno), 0, dev->bsize);
		break;
	case TD__ENTRY_REF:
		td__vnode_unkeep(c->fs, e->blkno);
		break;
	case TD__ENTRY_KEPT:
	case TD__ENTRY_UNKEPT:
		td__kept_end(c, e, 0);
		break;
	}
	if (block)
		td__device_altered(dev, e->blkno);
}

void td__journal_last(const struct td__call *c, struct td_fault *f)
{
	const struct td__journal *j = &c->journal;
	uint32_t at = j->last;

	for (f->entries = 0; f->entries < TD_FAULT_ENTRIES && f->entries < j->entries; f->entries++) {
		const struct td__entry *e = (const struct td__entry *)(j->data + at);

		f->last[f->entries] = (struct td_fault_entry){
			e->kind, e->kind == TD__ENTRY_ZEROED ? c->fs->device->bsize : e->len, e->blkno, e->off, 0
		};
		at -= e->prev;
	}
}

void td__journal_undo(struct td__call *c, struct td_fault *f)
{
	struct td__journal *j = &c->journal;
	uint32_t at = j->last;

	if (f)
		td__journal_last(c, f);
	for (uint32_t left = j->entries; left; left--) {
		struct td__entry *e = (struct td__entry *)(j->data + at);

		undo_entry(c, e);
		if (f) {
			f->undone++;
			f->undone_bytes += e->len;
		}
		at -= e->prev;
	}
	clear(c);
}
