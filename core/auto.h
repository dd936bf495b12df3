/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The level `auto`: a rule that moves a mount by what it sees. From the strictest on:
 *
 *   isolated <--> sandboxed <--> walled <--> guarded <--> trusted
 *
 * - A mount begins at isolated. Levels that the machine or the module cannot have are passed over.
 * - After `clean` calls and seconds at a level, without a fault or a mistake, it moves one down, never below `floor`. A mistake begins
 *   the count anew.
 * - A fault moves it one up, at once. Each fault that happened at a level doubles the clean work that it takes to get there again.
 * - Both are remembered for a build of the module: the level that it had earned, to which its next mount goes straight, and the faults.
 */
#ifndef TADAN_AUTO_H
#define TADAN_AUTO_H

#include "level.h"

enum { TD_AUTO_LEVELS = 5, TD_AUTO_TEXT = 256 };
extern const char *const td_auto_names[TD_AUTO_LEVELS];

struct td_auto_rule {
	uint32_t floor;   /* index of the weakest level allowed */
	uint32_t seconds; /* of clean work, */
	uint64_t calls;   /* and calls */
	char knobs[TD_AUTO_TEXT]; /* turned at every level: "" or ",memory=1G" */
};

/* What is remembered of a build. */
struct td_auto_record {
	uint32_t earned; /* index of a level */
	uint32_t faults[TD_AUTO_LEVELS];
};

/* Counts of the mount, as in td_status, and the time. */
struct td_auto_seen {
	uint64_t calls, mistakes, faults, now_ms;
};

struct td_auto {
	struct td_auto_rule rule;
	struct td_auto_record record;
	uint32_t at;      /* index of the level */
	uint32_t refused; /* bit n: level n cannot be had */
	struct td_auto_seen since; /* when the clean work began */
};

/* Is this text the level auto, with or without knobs? */
int td_auto_is(const char *text);
/* Read "auto", "auto,floor=guarded,clean=10000/60s" and knobs that hold at every level. As td_level_parse(). */
int td_auto_parse(const char *text, struct td_auto_rule *rule, char *why, size_t size);
/* The text of a level under this rule, for td_level_parse(). */
void td_auto_level(const struct td_auto_rule *rule, uint32_t level, char *text, size_t size);

void td_auto_begin(struct td_auto *a, const struct td_auto_rule *rule, const struct td_auto_record *record, const struct td_auto_seen *now);
/* Where the mount should be: a->at if it should stay. */
uint32_t td_auto_wants(struct td_auto *a, const struct td_auto_seen *now);
/* It was moved; or it could not be. */
void td_auto_moved(struct td_auto *a, uint32_t level, const struct td_auto_seen *now);
void td_auto_refused(struct td_auto *a, uint32_t level);
/* The next level down, TD_AUTO_LEVELS if there is none, and what clean work it takes in all. */
uint32_t td_auto_next(const struct td_auto *a, uint64_t *calls, uint64_t *seconds);

#endif
