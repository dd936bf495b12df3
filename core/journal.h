/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The journal: an undo log of one call, in memory. Entries are written before what they undo is done, and undone
 * newest first. What cannot be undone (discard, giving back a reference) is an entry that commit carries out.
 */
#ifndef TADAN_JOURNAL_H
#define TADAN_JOURNAL_H

#include "gateway.h"

enum { TD__JOURNAL_MAX = 1 << 30 }; /* what a level may allow one call */

/* Keep `len` bytes of block blkno as they are now. 0, or -TD_ENOMEM at the level's limit, which is a fault of the call. */
int td__journal_bytes(struct td__call *c, uint64_t blkno, uint32_t off, uint32_t len);
/* A whole block is about to be overwritten. */
int td__journal_block(struct td__call *c, uint64_t blkno);
/* Something without payload. */
int td__journal_mark(struct td__call *c, uint32_t kind, uint64_t blkno, uint64_t count);

/* Carry out what waits for the end; the journal is empty then. */
void td__journal_commit(struct td__call *c);
/* Undo all; fills undone, undone_bytes, last[] of the fault if there is one. The journal is empty then. */
void td__journal_undo(struct td__call *c, struct td_fault *f);
/* The newest entries, for a report. */
void td__journal_last(const struct td__call *c, struct td_fault *f);

#endif
