/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults at will: the module is smfs_planted or snfs_planted (tests/undo), which reads from the last block of its device where it is to strike.
 * A test program is linked with --wrap=td__fault_note, so that it hears of each fault as the kernel notes it.
 */
#ifndef STRIKES_H
#define STRIKES_H

#include "../../core/fs.h"
#include "../undo/plant.h"

enum { STRIKES_MOST = 64 }; /* mounts */

/*
 * Let the module strike once, in the domain that is there now: in `op` (PLANT_ANY: whichever call comes) before its at-th service. `mounts`: and
 * that often while it is mounted again. It is pending until it has struck, or until that domain has made way for another one.
 */
void strikes_order(struct td__fs *fs, uint32_t op, uint32_t at, uint32_t kind, uint32_t mounts);
/* The module strikes in each of its calls until strikes_end(). */
void strikes_every(struct td__fs *fs);
void strikes_end(struct td__fs *fs);
int strikes_pending(struct td__fs *fs);

/* Faults noted so far, in all mounts. And of these, while a domain was started. */
uint64_t strikes_noted(void);
uint64_t strikes_in_recovery(void);

#endif
