/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much of an image is in memory. Who begins an operation while there is too much has blocks evicted first: they become absent, and
 * are loaded again by who wants them. Where nothing is evicted, this costs a comparison for each operation.
 *
 * Evicted is only what is on the disk for good: no block that is marked, none that was written and not flushed since. And only with the
 * gate of commit.h closed: so nobody has a pointer to a block, no module has a buf open, and nobody loads one. A module that is mapped
 * the device sees zeroes where a block was; it finds out by the block's state, or by the service, that it is to be loaded first.
 *
 * Which ones: a hand goes round. A block that is not COLD becomes so, and who wants it makes it warm again; one that is still COLD when
 * the hand comes by is evicted. Zeroes need no disk, so their memory is given back at once.
 */
#ifndef TADAN_CACHE_H
#define TADAN_CACHE_H

#include "device.h"

struct td__fs;

/*
 * From now on at most about so many bytes of the image are in memory; 0: a quarter of what there is. Before the first operation. What
 * operations under way need comes on top, so this makes sense from 16 MiB on.
 */
void td__cache_limit(struct td__device *dev, uint64_t bytes);

/* Is it time to evict? */
static inline int td__cache_is_full(const struct td__device *dev)
{
	return __atomic_load_n(&dev->held_blocks, __ATOMIC_RELAXED) > dev->most_blocks - dev->most_blocks / 8;
}

/*
 * Evict, so that there is room again. By who is not inside the gate. Where there is hardly any room left, this waits: for operations under
 * way, for a commit under way, and, before one that `changes` something, for a commit of what has been changed.
 */
void td__cache_relieve(struct td__fs *fs, int changes);

#endif
