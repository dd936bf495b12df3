/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mount that changes its level by itself: a thread of the server that follows the rule of core/auto.h, and the file in which it is
 * remembered what builds of modules have earned.
 *
 * The file is `auto` in $TADAN_STATE_DIR; else in /var/lib/tadan for root, $XDG_STATE_HOME/tadan or ~/.local/state/tadan for others. It has
 * a line for each of the last AUTO_BUILDS builds. It is replaced as a whole, under a lock; what cannot be read in it is forgotten, which
 * means to begin at isolated again.
 */
#ifndef TADAN_CLI_AUTO_H
#define TADAN_CLI_AUTO_H

#include "../core/auto.h"

enum { TD__AUTO_BUILDS = 256 };

/* What is known of a build; all zeroes where nothing is. */
void td__auto_load(uint64_t build, struct td_auto_record *out);
/* 0 or -errno and why. */
int td__auto_save(uint64_t build, const struct td_auto_record *record, char *why, size_t size);

#endif
