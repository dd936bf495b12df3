/* SPDX-License-Identifier: BSD-2-Clause */
/* A module that uses the kernel wrongly, leaves things behind, takes too much, or is only slow. */
#include <tadan/fs.h>
#include "use_acts.h"

enum { LOCK = 1, BLOCK = 5, FIRST = 8, BLOCKS = 200, SPINS = 500000, HAD_MAX = 1024 };

static void *had[HAD_MAX];
static uint32_t nhad;
static volatile uint64_t spun;

/* About so many milliseconds of nothing but computing, which no compiler does faster. */
static void spin(uint64_t ms)
{
	uint64_t x = spun;

	for (uint64_t i = 0; i < ms * SPINS; i++)
		x = (x ^ x >> 27) * 6364136223846793005 + 1;
	spun = x;
}

static int write_byte(uint64_t blkno, uint32_t off, uint8_t byte)
{
	struct td_buf *b;
	int err = td_bread(blkno, &b);

	if (err)
		return err;
	err = td_buf_fill(b, off, 1, byte);
	td_brelse(b);
	return err;
}

static int leave_bufs(uint64_t n)
{
	struct td_buf *b;
	int err = 0;

	for (uint64_t i = 0; i < n && !err; i++)
		err = td_bread(FIRST + i, &b);
	return err;
}

static int after_release(int act)
{
	struct td_buf *b;
	int err = td_bread(FIRST, &b);

	if (err)
		return err;
	td__svc_brelse(b->handle);
	if (act == USE_STALE)
		td__svc_buf_fill(b->handle, 0, 1, 1);
	else
		td__svc_brelse(b->handle);
	return 0;
}

static int allocate(uint64_t kib, uint64_t *found)
{
	for (*found = 0; *found < kib && nhad < HAD_MAX; ++*found) {
		had[nhad] = td_alloc(1024 - 16);
		if (!had[nhad])
			return 0;
		nhad++;
	}
	return 0;
}

static int write_much(uint64_t n)
{
	struct td_buf *b;
	int err = 0;

	for (uint64_t i = 0; i < n && !err; i++) {
		err = td_bread(FIRST + i % BLOCKS, &b);
		if (!err)
			err = td_buf_fill(b, 0, td_bsize(), (uint8_t)i);
		td_brelse(err ? 0 : b);
	}
	return err;
}

static int slow(uint64_t steps)
{
	int err = 0;

	for (uint64_t i = 0; i < steps && !err; i++) {
		spin(1);
		err = write_byte(FIRST + i % BLOCKS, 0, 1);
		if (!err)
			err = td__svc_sync();
	}
	return err;
}

static int forever(int act)
{
	struct td_buf *b;

	for (uint64_t i = 0;; i++) {
		int err = td_bread(FIRST + (act == USE_WANDER ? i % BLOCKS : 0), &b);

		if (!err)
			err = td__svc_sync();
		if (err)
			return err;
		td_brelse(b);
	}
}

static int hold(uint64_t steps)
{
	int err = td_lock(LOCK, TD_EXCLUSIVE);

	if (!err)
		err = write_byte(BLOCK, 0, 1);
	if (!err)
		err = slow(steps);
	if (!err)
		td_unlock(LOCK);
	return err;
}

static int hold_none(uint32_t off)
{
	int err = write_byte(BLOCK, off, 2);

	if (!err)
		err = td__svc_sync();
	spin(150);
	return err;
}

static int references(int act, uint64_t handle, uint64_t n, uint64_t *found)
{
	for (*found = 0; *found < n; ++*found) {
		int err = act == USE_GIVE_BACK ? td__svc_vrele(handle) : td__svc_vref(handle);

		if (!err)
			err = td__svc_sync();
		if (err)
			break;
	}
	return 0;
}

static int seek(struct td_vnode *v, uint64_t off, uint32_t act, uint64_t *found)
{
	void *p;
	struct td_buf *b;

	switch (act) {
	case USE_LEAVE_BUFS: return leave_bufs(off);
	case USE_LEAVE_LOCK: return td_lock(LOCK, TD_EXCLUSIVE);
	case USE_RELEASE_TWICE:
	case USE_STALE: return after_release((int)act);
	case USE_UNLOCK: td_unlock(LOCK); return 0;
	case USE_BEYOND: td_bread(1ull << 40, &b); return 0;
	case USE_FOREIGN: td__svc_vref(off); return 0;
	case USE_KEEP:
	case USE_GIVE_BACK: return references((int)act, v->handle, off, found);
	case USE_SHARED_RECORD: v->size += 7; return 0;
	case USE_FREE_TWICE:
		p = td_alloc(100);
		td_free(p);
		td_free(p);
		return 0;
	case USE_ALLOCATE: return allocate(off, found);
	case USE_FREE:
		while (nhad)
			td_free(had[--nhad]);
		return 0;
	case USE_WRITE_MUCH: return write_much(off);
	case USE_SLOW: return slow(off);
	case USE_ROUND:
	case USE_WANDER: return forever((int)act);
	case USE_SPIN: spin(off); return 0;
	case USE_HOLD: return hold(off);
	case USE_SLEEP: *found = (uint64_t)-td__svc_sleep((uint32_t)off); return 0;
	case USE_HOLD_NONE: return hold_none((uint32_t)off);
	default: return 0;
	}
}

static int mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	(void)format;
	*info = (struct td_fsinfo){ .root = 1, .maxsize = 1 << 20, .blocks = dev->blocks, .bsize = dev->bsize, .namemax = 255, .maxlink = 100 };
	return 0;
}

static int getvnode(uint64_t fid, struct td_vnode *v)
{
	return td_vnode_init(v, fid == 1 ? TD_DIR : TD_REG, 0755, 0);
}

TD_FS_MODULE(use_acts, 4, .mount = mount, .getvnode = getvnode, .seek = seek);
