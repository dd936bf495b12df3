/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors of writing to an image, each told once to whoever had the file open, as Linux's errseq_t has it.
 *
 * What failed is noted by blocks (device.h: `failed`), whoever wrote them, and why. After a commit, or another try to write, the files that
 * have these blocks are looked up, by the extents that the kernel remembers, and each of them, and the mount, notes the error:
 *
 *	bits 0 to 11    -error
 *	SEEN            somebody has been told: who opens the file from now on is not
 *	above           counts the errors that somebody was told of before the next one came
 *
 * Who opens a file remembers the word as it is, or 0 if it is not SEEN. Who asks is told if it is another one by then. That what failed
 * is tried again and fails again is no other error; one that comes after an fsync that succeeded is.
 */
#include "commit.h"
#include "fs.h"

enum { ERROR = 0xfff, SEEN = 0x1000, ONE_MORE = 0x2000 };

static void note(struct td__unwritten *u, int err)
{
	uint32_t *word = &u->word, old = __atomic_load_n(word, __ATOMIC_RELAXED), new;

	if (__atomic_exchange_n(&u->known, 1, __ATOMIC_ACQ_REL))
		return;
	do
		new = ((old & ~(uint32_t)(ERROR | SEEN)) | (uint32_t)-err) + (old & SEEN ? ONE_MORE : 0);
	while (!__atomic_compare_exchange_n(word, &old, new, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

static uint32_t sample(const uint32_t *word)
{
	uint32_t now = __atomic_load_n(word, __ATOMIC_ACQUIRE);

	return now & SEEN ? now : 0;
}

static int since(uint32_t *word, uint32_t *seen)
{
	uint32_t now = __atomic_load_n(word, __ATOMIC_ACQUIRE);

	if (now == __atomic_load_n(seen, __ATOMIC_ACQUIRE))
		return 0;
	/* Where this fails, somebody else has told it, or there is a newer one, for the next time. */
	__atomic_compare_exchange_n(word, &(uint32_t){ now }, now | SEEN, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	now |= SEEN;
	return __atomic_exchange_n(seen, now, __ATOMIC_ACQ_REL) == now ? 0 : -(int)(now & ERROR);
}

/* ---- Which files */

/* In order, and none overlaps another. */
static void put_in_order(struct td__runs *r)
{
	struct td__run *run = r->run;
	uint64_t n = r->n, last = 0;

	for (uint64_t gap = n / 2; gap; gap /= 2)
		for (uint64_t i = gap; i < n; i++) {
			struct td__run moved = run[i];
			uint64_t j = i;

			for (; j >= gap && run[j - gap].blkno > moved.blkno; j -= gap)
				run[j] = run[j - gap];
			run[j] = moved;
		}
	for (uint64_t i = 1; i < n; i++) {
		uint64_t end = run[i].blkno + run[i].count;

		if (run[i].blkno > run[last].blkno + run[last].count)
			run[++last] = run[i];
		else if (end > run[last].blkno + run[last].count)
			run[last].count = end - run[last].blkno;
	}
	r->n = n ? last + 1 : 0;
}

static int is_among(const struct td__runs *failed, uint64_t blkno, uint64_t count)
{
	uint64_t low = 0, high = failed->n;

	while (low < high) {
		uint64_t mid = (low + high) / 2;

		if (failed->run[mid].blkno < blkno + count)
			low = mid + 1;
		else
			high = mid;
	}
	return low && failed->run[low - 1].blkno + failed->run[low - 1].count > blkno;
}

static int has_failed(struct td__vnode *v, const struct td__runs *failed)
{
	int found = 0;

	td__rwlock_shared(&v->lock);
	for (uint32_t i = 0; i < v->nextents && !found; i++)
		found = v->extents[i].state != TD_HOLE && is_among(failed, v->extents[i].pblk, v->extents[i].count);
	td__rwlock_unlock(&v->lock);
	return found;
}

static void tell_files(struct td__fs *fs, const struct td__runs *failed, int err)
{
	for (uint32_t i = 0; i < __atomic_load_n(&fs->nvnodes, __ATOMIC_ACQUIRE); i++) {
		struct td__vnode *v = td__vnode_at(fs, i);

		v = v && __atomic_load_n(&v->refs, __ATOMIC_RELAXED) ? td__vnode_get(fs, v->handle) : 0;
		if (!v)
			continue;
		if (has_failed(v, failed))
			note(&v->unwritten, err);
		td__vnode_put(v, 1);
	}
}

void td__unwritten_tell(struct td__fs *fs)
{
	struct td__device *dev = fs->device;
	struct td__runs failed;
	int err;

	td__mutex_lock(&dev->telling);
	td__mutex_lock(&dev->writing);
	failed = dev->failed;
	err = dev->failed_error;
	dev->failed = (struct td__runs){ 0 };
	__atomic_store_n(&dev->failed_error, 0, __ATOMIC_RELAXED);
	td__mutex_unlock(&dev->writing);
	if (err) {
		note(&fs->unwritten, err);
		put_in_order(&failed);
		td__operation_begin(fs, 0);
		tell_files(fs, &failed, err);
		td__operation_end(fs);
		td__runs_free(&failed);
	}
	td__mutex_unlock(&dev->telling);
}

/* ---- Who asks */

void td__unwritten_over(struct td__fs *fs, td_handle h)
{
	struct td__vnode *v = h ? td__vnode_at(fs, (uint32_t)h) : 0;
	uint32_t *known = v ? &v->unwritten.known : &fs->unwritten.known;

	if (__atomic_load_n(known, __ATOMIC_RELAXED))
		__atomic_store_n(known, 0, __ATOMIC_RELEASE);
}

int td_is_written_back(struct td__fs *fs)
{
	return fs->device->log != 0;
}

uint32_t td_unwritten_sample(struct td__fs *fs, td_handle h)
{
	struct td__vnode *v = h ? td__vnode_at(fs, (uint32_t)h) : 0;

	return v ? sample(&v->unwritten.word) : sample(&fs->unwritten.word);
}

int td_unwritten_since(struct td__fs *fs, td_handle h, uint32_t *seen)
{
	struct td__vnode *v = h ? td__vnode_at(fs, (uint32_t)h) : 0;

	return since(v ? &v->unwritten.word : &fs->unwritten.word, seen);
}
