/* SPDX-License-Identifier: BSD-2-Clause */
/* Eviction of an image's blocks: see cache.h. */
#include "cache.h"
#include "commit.h"
#include "fs.h"

enum {
	PATIENCE_MS = 20, MOST_PATIENCE_MS = 1000, /* for operations under way; the longer, where there is no room left */
	PAUSE_MS = 50,                             /* between two tries that were in vain; as long as the longest wait, between two such */
	LEAST = 16,                                /* blocks */
};

void td__cache_limit(struct td__device *dev, uint64_t bytes)
{
	if (!dev->disk)
		return;
	if (!bytes)
		bytes = td__port_memory() / 4;
	dev->most_blocks = bytes / dev->bsize < LEAST ? LEAST : bytes / dev->bsize;
}

/* Written, and perhaps not on the disk: for the sweep they are as if they were being written. The mutex `writing` is held. */
static void pin_written(struct td__device *dev, int pin)
{
	for (uint64_t i = 0; i < dev->written.n; i++)
		for (uint64_t b = 0; b < dev->written.run[i].count; b++)
			td__device_mark(dev, dev->written.run[i].blkno + b, pin ? 0 : TD__WRITING, pin ? TD__WRITING : 0);
}

/* May this block go now? If not, but later, it gets COLD. */
static int takes_leave(struct td__device *dev, uint64_t blkno)
{
	uint8_t s = td__device_state(dev, blkno);

	if (!td__state_held(s))
		return 0;
	if (s & TD__ZERO)
		return 1;
	if (s & ~(TD__PRESENT | TD__COLD))
		return 0;
	if (!(s & TD__COLD))
		td__device_mark(dev, blkno, 0, TD__COLD);
	return s & TD__COLD;
}

/* The hand goes on, to `end` at most, until `want` blocks are evicted. Returns how many were. */
static uint64_t go_round(struct td__device *dev, uint64_t end, uint64_t want)
{
	struct td__run run = { 0 };
	uint64_t got = 0;

	for (; dev->hand < end && got + run.count < want; dev->hand++) {
		if (takes_leave(dev, dev->hand)) {
			run.blkno = run.count ? run.blkno : dev->hand;
			run.count++;
		} else if (run.count) {
			td__device_evict(dev, run.blkno, run.count);
			got += run.count;
			run.count = 0;
		}
	}
	if (run.count)
		td__device_evict(dev, run.blkno, run.count);
	return got + run.count;
}

/* No operation is under way. At most twice around: the first time may find nothing but warm blocks. */
static void sweep(struct td__device *dev)
{
	uint64_t keep = dev->most_blocks - dev->most_blocks / 4, rounds = 0;

	while (dev->held_blocks > keep && rounds <= 2) {
		uint64_t span = dev->hand / TD__SPAN, end = (span + 1) * TD__SPAN;

		end = end < dev->blocks ? end : dev->blocks;
		if (dev->held[span])
			dev->evicted += go_round(dev, end, dev->held_blocks - keep);
		else
			dev->hand = end;
		if (dev->hand >= dev->blocks) {
			dev->hand = 0;
			rounds++;
		}
	}
}

/* Nobody commits meanwhile, and nobody writes. 1: the gate could be closed. */
static int evict(struct td__device *dev, uint32_t ms)
{
	int closed;

	td__mutex_lock(&dev->writing);
	closed = td__gate_close(dev->gate, ms);
	if (closed) {
		pin_written(dev, 1);
		sweep(dev);
		pin_written(dev, 0);
		td__gate_open(dev->gate);
	}
	td__mutex_unlock(&dev->writing);
	return closed;
}

static int is_urgent(const struct td__device *dev)
{
	return __atomic_load_n(&dev->held_blocks, __ATOMIC_RELAXED) > dev->most_blocks - dev->most_blocks / 16;
}

/* Under the gate's mutex, which is given up meanwhile. 1: the gate could be closed. */
static int evict_now(struct td__device *dev, uint32_t ms)
{
	struct td__gate *g = dev->gate;
	int closed;

	g->committing = 1;
	td__mutex_unlock(&g->mutex);
	closed = evict(dev, ms);
	td__mutex_lock(&g->mutex);
	g->committing = 0;
	td__cond_broadcast(&g->cond);
	return closed;
}

void td__cache_relieve(struct td__fs *fs, int changes)
{
	struct td__device *dev = fs->device;
	struct td__gate *g = dev->gate;
	uint64_t now = td__port_monotonic(), until = now + MOST_PATIENCE_MS * 1000000ull;
	uint32_t ms = PATIENCE_MS, in_vain = 0;

	td__mutex_lock(&g->mutex);
	while (td__cache_is_full(dev) && now < until && (is_urgent(dev) || now >= g->next_eviction)) {
		int urgent = is_urgent(dev) && now >= g->next_wait;

		if (g->committing || g->writers) {
			if (!urgent)
				break;
			td__cond_wait(&g->cond, &g->mutex, PATIENCE_MS);
		} else if (evict_now(dev, ms) && is_urgent(dev)) {
			/* What is left is not on the disk. */
			if (!changes || in_vain++)
				break;
			td__mutex_unlock(&g->mutex);
			td__commit(fs);
			td__mutex_lock(&g->mutex);
		} else if (!urgent) {
			break;
		}
		ms *= 2;
		now = td__port_monotonic();
	}
	if (now >= until && is_urgent(dev))
		g->next_wait = now + MOST_PATIENCE_MS * 1000000ull;
	if (td__cache_is_full(dev))
		g->next_eviction = td__port_monotonic() + PAUSE_MS * 1000000ull;
	td__mutex_unlock(&g->mutex);
}
