/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block devices as the kernel keeps them: one span of address space as long as the device, in which
 * block n lies at n * bsize. A memory device is nothing but that span. An image is loaded into it
 * block by block when first wanted.
 *
 * So a buf needs no copy, no hash and no lookup, and a wall can show the module its device as one mapping.
 *
 * Each block of an image has a byte of bits in `state`, which may be mapped for a module, read-only. What decides is by whom
 * it was changed, and when its disk's block may be overwritten:
 *
 *   DATA          content that the kernel put there for a file: written in place, before the commit that makes it the file's
 *   LOG           changed by the module: goes through the log (log.h), and in place only after that
 *   FREED         discarded since the last commit: on the disk it still belongs to whom it belonged, so whatever is put there
 *                 goes through the log
 *   LOGGED          the log holds a copy of it that a recovery may write over the block in place: as FREED
 *   WRITING       is being written for who owns it now: who discards it waits
 *   ZERO          nothing but zeroes
 *   COLD          not wanted since the hand of the clock came by (cache.c); with ZERO: nor has it memory
 *
 * An absent block becomes present under the mutex `load`, or by who overwrites all of it. Marks are set after a change, by operations
 * that the commit waits for (commit.h), so that it finds each change marked.
 *
 * Behind some walls a module sees blocks as copies only. So that it can keep a copy, how often each block has been changed is
 * counted, from the first time that a wall asks for it on; a module may read the counts. A block's count grows after the change.
 *
 * Discarded blocks of a memory device are zeroed and stay in memory for a while, since giving a page back and getting a new one costs
 * more than zeroing it. Such blocks are `idle`; they are given back when more than IDLE_BYTES have gathered.
 */
#ifndef TADAN_DEVICE_H
#define TADAN_DEVICE_H

#include "port.h"

enum td__block_state {
	TD__PRESENT = 1, /* 0: absent; every other bit comes with this one */
	TD__DATA = 2,
	TD__LOG = 4,
	TD__FREED = 8,
	TD__LOGGED = 16,
	TD__WRITING = 32,
	TD__ZERO = 64,
	TD__COLD = 128,
};

struct td__log;
struct td__gate;

struct td__runs {
	struct td__run {
		uint64_t blkno, count;
	} *run;
	uint64_t n, room;
};

struct td__device {
	uint64_t blocks;
	uint32_t bsize;
	uint32_t flags; /* TD_DEV_* */
	struct td__pages data;  /* the blocks */
	struct td__pages state; /* a byte each; size 0 with a memory device: all are present */
	struct td__disk *disk;  /* 0: memory */
	struct td__log *log;    /* 0: memory, or an image that is not written to */
	struct td__gate *gate;  /* of an image: commit.c's */
	uint64_t base;          /* where the device begins on the disk, bytes; the maker's to set */
	struct td__mutex load;  /* guards absent -> present, and what follows */
	struct td__pages changes; /* of all blocks at once, then of each: 8 bytes; size 0: not counted */
	uint64_t *counts;       /* the same, 0 until all is ready */

	/* Of an image. */
	uint8_t *busy;          /* one for each TD__SPAN blocks: not 0 if there may be DATA, LOG or FREED */
	uint32_t *held;         /* of each TD__SPAN blocks: how many are in memory */
	uint64_t held_blocks;   /* of all */
	uint64_t most_blocks;   /* that may be in memory, nearly; ~0: as many as there are. Of td_mount() on */
	uint64_t hand;          /* of the clock: where cache.c looks next */
	uint64_t evicted;       /* blocks, so far */
	uint64_t data_blocks;   /* to be written in place */
	uint64_t log_blocks;    /* to go through the log */
	struct td__mutex writing; /* writing in place; guards `written` */
	struct td__cond written_cond; /* with `load`: a block is not WRITING any more */
	struct td__runs written; /* in place, since the disk was flushed last */
	struct td__runs failed; /* blocks that could not be written, and nobody was told as yet; guarded by `writing` */
	int failed_error;       /* the last one, 0: none; read without the mutex */
	struct td__mutex telling; /* around who finds out whose blocks they are, see unwritten.c */
	uint64_t errors;        /* of the disk */
	uint64_t *orphans;      /* of an image that is only read: the files without a name that its log lists */
	uint64_t norphans;
	uint32_t replayed;      /* transactions of the log that were not in place when the image was opened */

	/* Of a memory device. */
	struct td__pages idle;  /* a byte each: the tag of its run while the block is idle, 0 once it is to be changed */
	struct td__run *runs;   /* ring of what was discarded */
	uint64_t oldest, newest; /* runs are counted; run n stands at n modulo the ring's size */
	uint64_t idle_blocks;
};

enum { TD__SPAN = 1024, TD__RUN_BLOCKS = 256, TD__PIECES = 64 /* written at a time */ };

/*
 * A device of `blocks` blocks of bsize bytes in memory (disk 0) or over a disk, which belongs to the
 * device from then on, on success. 0 or -errno (ENOMEM EINVAL).
 */
int td__device_create(uint64_t blocks, uint32_t bsize, struct td__disk *disk, uint32_t flags,
		      struct td__device **out);
void td__device_destroy(struct td__device *dev);

/* Make blocks present, and wanted. 0, -TD_EINVAL beyond the end, -TD_EIO from the disk. Sleeps if one is absent. */
int td__device_load(struct td__device *dev, uint64_t blkno, uint64_t count);

/* From now on count changes. 0 or -TD_ENOMEM. */
int td__device_count(struct td__device *dev);

/* The kernel's changes: blocks, which are present or overwritten as a whole, are about to change. */
void td__device_dirty(struct td__device *dev, uint64_t blkno, uint64_t count);
/* They have changed. */
void td__device_changed(struct td__device *dev, uint64_t blkno, uint64_t count);
/* Blocks become zeroes and are soon written: those in memory stay there, of a memory device. */
void td__device_zero(struct td__device *dev, uint64_t blkno, uint64_t count);

/* The module's: a block has changed, after td__device_dirty(). */
void td__device_altered(struct td__device *dev, uint64_t blkno);
/* A block that was absent before it was changed as a whole is so again. */
void td__device_forget(struct td__device *dev, uint64_t blkno);
/* The blocks become zeroes and cost no memory; they may be nobody's now. */
void td__device_discard(struct td__device *dev, uint64_t blkno, uint64_t count);

/* ---- For log.c and commit.c. The mutex `writing` is held. */

/* Write in place what may be written before a commit, of these blocks. The first error; what failed is still DATA. */
int td__device_write_data(struct td__device *dev, uint64_t blkno, uint64_t count);
/* The same for blocks that are WRITING already; `bad`: they cannot be written, and this error is the reason. */
int td__device_write_claimed(struct td__device *dev, uint64_t blkno, uint64_t count, int bad);
/* Write or zero blocks on the disk; `data` 0: zero. */
int td__device_write(struct td__device *dev, uint64_t blkno, uint64_t count, const void *data);
/* Make last what has been written. If that fails, the data written since the last time is DATA again. Gives the mutex up meanwhile. */
int td__device_flush(struct td__device *dev);
/* Write several pieces, at most TD__PIECES; their offsets are the device's. */
int td__device_write_pieces(struct td__device *dev, struct td__disk_piece *pieces, uint32_t n);
/* A block's bits, some cleared and some set; the counts follow. Returns what they were. */
uint8_t td__device_mark(struct td__device *dev, uint64_t blkno, uint8_t clear, uint8_t set);
/* The next block from blkno on and before `end` with one of these bits, else `end`. */
uint64_t td__device_next(const struct td__device *dev, uint64_t blkno, uint64_t end, uint8_t bits);
/* They could not be written: who has them is to be told. */
void td__device_failed(struct td__device *dev, uint64_t blkno, uint64_t count, int err);
/* Clean blocks become absent, zeroes lose their memory. */
void td__device_evict(struct td__device *dev, uint64_t blkno, uint64_t count);
/* Append, joining with the last one where they touch. 0 or -TD_ENOMEM. */
int td__runs_add(struct td__runs *r, uint64_t blkno, uint64_t count);
void td__runs_free(struct td__runs *r);
/* -TD_ENOSPC where the disk has no room, else -TD_EIO. */
int td__disk_error(int err);

static inline uint8_t *td__device_at(const struct td__device *dev, uint64_t blkno)
{
	return (uint8_t *)dev->data.base + blkno * dev->bsize;
}

/* Is no load needed? */
static inline int td__state_warm(uint8_t s)
{
	return (s & (TD__PRESENT | TD__COLD)) == TD__PRESENT;
}

/* Has the block memory? */
static inline int td__state_held(uint8_t s)
{
	return s && (s & (TD__ZERO | TD__COLD)) != (TD__ZERO | TD__COLD);
}

static inline uint8_t td__device_state(const struct td__device *dev, uint64_t blkno)
{
	return __atomic_load_n((uint8_t *)dev->state.base + blkno, __ATOMIC_ACQUIRE);
}

/* How often a block has been changed: two counts that are the same mean the same content. */
static inline uint64_t td__device_changes(const struct td__device *dev, uint64_t blkno)
{
	return __atomic_load_n(&dev->counts[0], __ATOMIC_ACQUIRE) + __atomic_load_n(&dev->counts[1 + blkno], __ATOMIC_ACQUIRE);
}

/* 1 if no load is needed. */
static inline int td__device_warm(const struct td__device *dev, uint64_t blkno)
{
	return !dev->state.size || td__state_warm(td__device_state(dev, blkno));
}

/* 1 if its content is known without the disk. */
static inline int td__device_present(const struct td__device *dev, uint64_t blkno)
{
	return !dev->state.size || td__device_state(dev, blkno);
}

#endif
