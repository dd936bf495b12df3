/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extents that the kernel remembers of a file, so that warm data crosses no wall. It is a cache: sorted by lblk,
 * without overlap, dropped as a whole when it grows over TD__EXTENTS_MAX. Holes are remembered, too.
 */
#include "fs.h"

/* Index of the first extent that ends behind lblk. */
static uint32_t lower(const struct td__vnode *v, uint64_t lblk)
{
	uint32_t lo = 0, hi = v->nextents;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (v->extents[mid].lblk + v->extents[mid].count <= lblk)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct td_extent *td__extent_find(const struct td__vnode *v, uint64_t lblk)
{
	uint32_t i = lower(v, lblk);

	return i < v->nextents && v->extents[i].lblk <= lblk ? &v->extents[i] : 0;
}

void td__extents_drop(struct td__vnode *v)
{
	if (v->room)
		td__port_free(v->extents, v->room * sizeof(*v->extents));
	v->extents = 0;
	v->nextents = v->room = 0;
}

static int more_room(struct td__vnode *v)
{
	uint32_t room = v->room ? 2 * v->room : 4;
	struct td_extent *e;

	if (room > TD__EXTENTS_MAX)
		return -TD_ENOMEM;
	e = td__port_alloc(room * sizeof(*e));
	if (!e)
		return -TD_ENOMEM;
	if (v->room) {
		memcpy(e, v->extents, v->nextents * sizeof(*e));
		td__port_free(v->extents, v->room * sizeof(*v->extents));
	}
	v->extents = e;
	v->room = room;
	return 0;
}

static int insert(struct td__vnode *v, uint32_t i, const struct td_extent *e)
{
	if (v->nextents == v->room && more_room(v))
		return -TD_ENOMEM;
	memmove(v->extents + i + 1, v->extents + i, (v->nextents - i) * sizeof(*e));
	v->extents[i] = *e;
	v->nextents++;
	return 0;
}

static void erase(struct td__vnode *v, uint32_t i, uint32_t n)
{
	if (!n)
		return;
	memmove(v->extents + i, v->extents + i + n, (v->nextents - i - n) * sizeof(*v->extents));
	v->nextents -= n;
}

/* The part of e from lblk on. */
static struct td_extent tail_of(const struct td_extent *e, uint64_t lblk)
{
	uint64_t skip = lblk - e->lblk;

	return (struct td_extent){ lblk, e->state == TD_HOLE ? 0 : e->pblk + skip, (uint32_t)(e->count - skip), e->state };
}

void td__extents_cut(struct td__vnode *v, uint64_t lblk, uint64_t count)
{
	uint64_t end = count > TD_TO_END - lblk ? TD_TO_END : lblk + count;
	uint32_t i = lower(v, lblk), n = 0;

	if (i < v->nextents && v->extents[i].lblk < lblk) {
		struct td_extent whole = v->extents[i];

		v->extents[i].count = (uint32_t)(lblk - whole.lblk);
		i++;
		if (whole.lblk + whole.count > end) {
			struct td_extent rest = tail_of(&whole, end);

			if (insert(v, i, &rest))
				td__extents_drop(v);
			return;
		}
	}
	while (i + n < v->nextents && v->extents[i + n].lblk + v->extents[i + n].count <= end)
		n++;
	erase(v, i, n);
	if (i < v->nextents && v->extents[i].lblk < end)
		v->extents[i] = tail_of(&v->extents[i], end);
}

static int joins(const struct td_extent *a, const struct td_extent *b)
{
	return a->lblk + a->count == b->lblk && a->state == b->state && a->count + (uint64_t)b->count <= 0xffffffffu &&
	       (a->state == TD_HOLE || a->pblk + a->count == b->pblk);
}

void td__extents_add(struct td__vnode *v, const struct td_extent *e, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++) {
		struct td_extent x = e[k];
		uint32_t i;

		if (x.state == TD_NEW)
			x.state = TD_DATA;
		td__extents_cut(v, x.lblk, x.count);
		i = lower(v, x.lblk);
		if (i && joins(&v->extents[i - 1], &x)) {
			v->extents[i - 1].count += x.count;
		} else if (insert(v, i, &x)) {
			td__extents_drop(v);
			insert(v, 0, &x);
		}
	}
}

/*
 * What a module answered must follow on from lblk without gaps, cover it, stay on the device, and be of a state that fits the
 * question: the kernel will touch these blocks itself.
 */
static const char *verify(const struct td__fs *fs, uint64_t lblk, const struct td_extent *e, uint32_t n, int alloc)
{
	uint64_t next;

	if (!n || e[0].lblk > lblk || e[0].lblk + e[0].count <= lblk)
		return "the block that was asked for is missing";
	next = e[0].lblk;
	for (uint32_t i = 0; i < n; i++) {
		if (e[i].lblk != next)
			return "extents out of order";
		if (e[i].state == TD_HOLE ? alloc : e[i].pblk >= fs->device->blocks || e[i].count > fs->device->blocks - e[i].pblk)
			return "blocks beyond the device";
		if (e[i].state == TD_NEW && !alloc)
			return "new blocks that nobody asked for";
		next += e[i].count;
	}
	return 0;
}

const char *td__verify_bmap(struct td__fs *fs, struct td__vnode *v, uint64_t lblk, uint64_t count,
			    const struct td_extent *extents, uint32_t nextents)
{
	return verify(fs, lblk, extents, nextents, 0);
}

const char *td__verify_balloc(struct td__fs *fs, struct td__vnode *v, uint64_t lblk, uint64_t count,
			      const struct td_extent *extents, uint32_t nextents)
{
	return verify(fs, lblk, extents, nextents, 1);
}

const char *td__verify_create_blocks(struct td__fs *fs, struct td__vnode *dir, struct td_name name, struct td_vnode *v,
				     uint64_t count, const struct td_extent *extents, uint32_t nextents)
{
	const char *wrong = nextents ? verify(fs, 0, extents, nextents, 1) : 0;

	if (!wrong && nextents && extents[nextents - 1].lblk + extents[nextents - 1].count > count)
		return "more blocks than were asked for";
	return wrong;
}

/* Without memory even one extent may not be remembered, and then there is no way on. */
static int remember(struct td__vnode *v, uint64_t lblk, const struct td_extent *e, uint32_t n)
{
	td__extents_add(v, e, n);
	return td__extent_find(v, lblk) ? 0 : -TD_ENOMEM;
}

int td__extents_load(struct td__vnode *v, uint64_t lblk, uint64_t count)
{
	struct td_extent e[32];
	uint32_t n = 0;
	int err = td__fs_bmap(v->fs, v, lblk, count, e, &n);

	if (err)
		return err;
	return remember(v, lblk, e, n);
}

int td__extents_alloc(struct td__vnode *v, uint64_t lblk, uint64_t count, struct td_extent *fresh, uint32_t *n)
{
	struct td_extent e[32];
	uint32_t got = 0;
	int err = td__fs_balloc(v->fs, v, lblk, count, e, &got);

	*n = 0;
	if (err)
		return err;
	for (uint32_t i = 0; i < got; i++)
		if (e[i].state == TD_NEW)
			fresh[(*n)++] = e[i];
	return remember(v, lblk, e, got);
}
