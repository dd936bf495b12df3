/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block devices as the kernel keeps them: one span of address space as long as the device, in which
 * block n lies at n * bsize. A memory device is nothing but that span. An image is loaded into it
 * block by block when first wanted, and changed blocks are written back by td__device_flush().
 *
 * So a buf needs no copy, no hash and no eviction of its own, and a wall can show the module its device as one mapping.
 *
 * States of a block (one byte each in `state`, which may be mapped for a module, read-only):
 *   ABSENT -> CLEAN (loaded) -> DIRTY (changed) -> CLEAN (flushed). A memory device's blocks are always DIRTY.
 * ABSENT becomes CLEAN under the device's mutex; DIRTY is set by whoever changes bytes, before the change, so that the block is there
 * and kept, and again after it: a flush in between has marked it CLEAN and may have written the old bytes.
 *
 * Discarded blocks of a memory device are zeroed and stay in memory for a while, since giving a page back and getting a new one costs
 * more than zeroing it. Such blocks are `idle`; they are given back when more than IDLE_BYTES have gathered.
 */
#ifndef TADAN_DEVICE_H
#define TADAN_DEVICE_H

#include "port.h"

enum td__block_state { TD__ABSENT = 0, TD__CLEAN = 1, TD__DIRTY = 2 };

struct td__device {
	uint64_t blocks;
	uint32_t bsize;
	uint32_t flags; /* TD_DEV_* */
	struct td__pages data;  /* the blocks */
	struct td__pages state; /* a byte each; size 0 with a memory device: always DIRTY */
	struct td__disk *disk;  /* 0: memory */
	struct td__mutex load;  /* guards ABSENT -> CLEAN, flushing, and what follows */

	/* Of a memory device. */
	struct td__pages idle;  /* a byte each: the tag of its run while the block is idle, 0 once it is to be changed */
	struct td__idle_run {
		uint64_t blkno, count;
	} *runs;                /* ring of what was discarded */
	uint64_t oldest, newest; /* runs are counted; run n stands at n modulo the ring's size */
	uint64_t idle_blocks;
	uint64_t errors;        /* of the disk */
};

/*
 * A device of `blocks` blocks of bsize bytes in memory (disk 0) or over a disk, which belongs to the
 * device from then on, on success. 0 or -errno (ENOMEM EINVAL).
 */
int td__device_create(uint64_t blocks, uint32_t bsize, struct td__disk *disk, uint32_t flags,
		      struct td__device **out);
void td__device_destroy(struct td__device *dev);

/* Make blocks present. 0, -TD_EINVAL beyond the end, -TD_EIO from the disk. Sleeps if one is absent. */
int td__device_load(struct td__device *dev, uint64_t blkno, uint64_t count);
/* The blocks are about to be overwritten as a whole: present without reading. */
int td__device_overwrite(struct td__device *dev, uint64_t blkno, uint64_t count);
/* The blocks, which are present, are about to change. */
void td__device_dirty(struct td__device *dev, uint64_t blkno, uint64_t count);
/* They have changed. */
void td__device_changed(struct td__device *dev, uint64_t blkno, uint64_t count);
/* The blocks become zeroes and cost no memory. */
void td__device_discard(struct td__device *dev, uint64_t blkno, uint64_t count);
/* They become zeroes and are soon written: those in memory stay there. */
void td__device_zero(struct td__device *dev, uint64_t blkno, uint64_t count);
/* Write what is dirty and make it last. 0 or -TD_EIO. */
int td__device_flush(struct td__device *dev);

static inline uint8_t *td__device_at(const struct td__device *dev, uint64_t blkno)
{
	return (uint8_t *)dev->data.base + blkno * dev->bsize;
}

/* 1 if no load is needed. */
static inline int td__device_present(const struct td__device *dev, uint64_t blkno)
{
	return !dev->state.size ||
	       __atomic_load_n((uint8_t *)dev->state.base + blkno, __ATOMIC_ACQUIRE) != TD__ABSENT;
}

#endif
