/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is this a sound SMFS? Walks the whole device, by SPEC.md: every block is free and zero, or used
 * once; all counters, maps, link counts and sizes agree.
 */
#ifndef SMFS_CHECK_H
#define SMFS_CHECK_H

#include <stdint.h>

/* `orphans`: inodes without a name that are still open. Returns 0, or what is wrong. */
const char *smfs_sound(const uint8_t *dev, uint64_t blocks, const uint64_t *orphans,
		       uint32_t norphans);

/* The same after a crash, when free blocks may hold anything. */
const char *smfs_sound_used(const uint8_t *dev, uint64_t blocks, const uint64_t *orphans,
			    uint32_t norphans);

#endif
