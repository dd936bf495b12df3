/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in memory, in the place of the port's (--wrap). It does what it is told at once, and notes it: what a crash would
 * have left can be made from the notes. Between two flushes a disk may lose, keep and reorder writes, and tear them at
 * sectors; so an epoch, all that was done between two flushes, may leave any part of itself behind.
 */
#ifndef CRASH_DISK_H
#define CRASH_DISK_H

#include <stddef.h>
#include <stdint.h>

enum act { WRITE, ZERO, RESIZE, FLUSH };
enum { SECTOR = 512 };

struct event {
	enum act act;
	uint64_t off, len; /* RESIZE: len is the new size */
	uint8_t *data;
	int lost; /* in a flush that failed */
};

/* Before it was changed: `size` of the disk, and bytes of it. */
struct old {
	uint64_t size, off, len;
	uint8_t *data;
};

/* What goes wrong: the `at`th act from 1 on, and if `stays` all after it; 0: nothing. Reads are counted by themselves. */
struct trouble {
	uint64_t at, read_at;
	int error; /* -errno; 0: it hangs there until disk_release() */
	int stays;
	int flushes; /* nothing but flushes fails */
};

struct td__disk {
	uint8_t *bytes;
	uint64_t size;
	struct event *events;
	uint64_t n, room;
	int noting;
	struct old *olds; /* what stood where something was put since disk_mark() */
	uint64_t nold, old_room;
	int marked;
	uint64_t acts, reads; /* since the trouble was planned */
	struct trouble trouble;
};

struct td__disk *disk_new(uint64_t size);
void disk_free(struct td__disk *disk);
/* From now on what is done is noted; what was, is forgotten. */
void disk_note(struct td__disk *disk);
/* From now on what is overwritten is kept, so that disk_revert() can bring it back. Marks nest. */
uint64_t disk_mark(struct td__disk *disk);
void disk_revert(struct td__disk *disk, uint64_t mark);
/* Take the notes away from the disk. */
struct event *disk_take_notes(struct td__disk *disk, uint64_t *n);
void events_free(struct event *events, uint64_t n);
/* 1: somebody waits for the disk. */
int disk_hangs(void);
void disk_release(void);
void disk_plan(struct td__disk *disk, const struct trouble *t);
/* Do an event to another disk: all of it, or a random part of its sectors. */
void disk_apply(struct td__disk *disk, const struct event *e);
void disk_tear(struct td__disk *disk, const struct event *e, uint64_t *seed);

uint64_t next_random(uint64_t *seed);

#endif
