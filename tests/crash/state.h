/* SPDX-License-Identifier: BSD-2-Clause */
/* What a file system shows: its tree as text, and the content of its files; taken, and compared. */
#ifndef CRASH_STATE_H
#define CRASH_STATE_H

#include "../../core/mount.h"

struct file {
	uint64_t fid, generation, size;
	uint8_t *bytes;
};

struct state {
	char *tree; /* a line for each name: path, fid, type, mode, links, owner, size, target, attributes */
	size_t used, room;
	struct file *files;
	uint32_t nfiles;
};

/* 0, or the error that something could not be read with. */
int state_take(struct td__fs *fs, struct state *s);
void state_free(struct state *s);
/*
 * Is `found` one of states[from..to] by its tree, and each sector of its files as that one or a later one has it (data that
 * overwrites goes in place before its commit)? `late`: or as states[from], since the disk was in trouble. 0, or what is wrong.
 * *which: the state.
 */
const char *state_match(const struct state *found, const struct state *states, uint32_t from, uint32_t to, int late,
			uint32_t *which);

#endif
