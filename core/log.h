/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of an image: what modules changed goes there before it goes in place, a transaction at a time. IMAGE.md
 * describes the bytes. One transaction is everything that operations did between two commits:
 *
 *   (changes are marked) --snapshot, with no operation under way--> copied --write--> COMMITTED, on the disk
 *       --checkpoint--> written in place --flush--> retired
 *
 * A transaction that is committed and not retired is `live`; there is at most one before the one that is being written.
 * All functions are called by one thread at a time: the one that commits (commit.c), or the one that opens or closes.
 */
#ifndef TADAN_LOG_H
#define TADAN_LOG_H

#include "device.h"

enum {
	TD__LOG_SLOTS = 3,
	TD__FEW = 32, /* so few blocks of data go through the log, too: cheaper than to flush twice */
};

/* A transaction in memory, as it lies on the disk: the record's block, descriptors, copies of blocks. */
struct td__tx {
	struct td__tx *next;
	uint64_t seq;
	uint8_t *buffer;
	uint64_t size;               /* of buffer, bytes */
	uint64_t copies, zeros, orphans; /* how many there are */
	uint64_t written;            /* in place, though perhaps not flushed */
	struct td__runs ordered;     /* data that is to be on the disk before: blocks that are WRITING */
};

struct td__log {
	struct td__device *dev;
	uint64_t at, slot_bytes, end; /* on the disk: where the log begins, a slot's size, the image's size */
	uint64_t salt;
	uint64_t seq;                /* of the last commit */
	struct td__tx *live;         /* oldest first */
	uint32_t header_known;       /* the disk has the header as it is now */
	uint32_t clean;              /* the last record needs no replay */
	struct {
		uint64_t at, end;
	} spill[TD__LOG_SLOTS];      /* behind the image: bodies too large for their slot */
	uint64_t *orphans;           /* fids that the module is to free, as the last record has them */
	uint64_t norphans;
};

/*
 * Copy what is marked, and the fids. No operation is under way. *tx becomes 0 if there is nothing. 0 or -TD_ENOMEM, and nothing
 * has changed then.
 */
int td__log_snapshot(struct td__log *log, const uint64_t *orphans, uint64_t norphans, struct td__tx **tx);
/* Before anything else is written to the image: its header is there and fits. 0, -TD_EIO, -TD_ENOSPC or -TD_ENOMEM. */
int td__log_begin(struct td__log *log);
/*
 * Write it, so that it lasts, and then in place; takes it over. On an error its changes are marked again and will be part of the
 * next. 0, -TD_EIO or -TD_ENOSPC.
 */
int td__log_commit(struct td__log *log, struct td__tx *tx);
/* Write in place again what may have been lost, flush, retire. With that no block is LOGGED. */
int td__log_retire(struct td__log *log);
/* Make last what is in place already. If that is data, a recovery must not write over it: see td__log_clean(). */
int td__log_settle(struct td__log *log);
/* From here on a recovery has nothing to replay. Nothing is live. */
int td__log_clean(struct td__log *log);
/* After the last commit: leave an image that needs no recovery. */
int td__log_close(struct td__log *log);
/* Give its memory back. The device does that. */
void td__log_free(struct td__log *log);

#endif
