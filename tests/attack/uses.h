/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that let a module use the kernel wrongly, a case at a time, and look at what the kernel counted and reported.
 *
 *   PROGRAM FOLDER LEVEL [CASE | --table]
 *
 * FOLDER has the module. --table: a line for each case, with what became of it in the words of CAVEATS.md.
 */
#pragma once

#include <stdio.h>

#include <fs_gateway.h>
#include "../../core/fs.h"
#include "../../front/inproc/tadan.h"

/* A case returns 0, 1 if something was wrong, or that its level does not promise anything here. */
enum { NOTHING_STOPS_IT = 2 };

struct use_case {
	const char *name;
	int (*run)(void);
};

struct uses {
	const char *program, *folder, *name; /* name: of the level */
	struct td_volume *volume;
	struct td__fs *fs;
	struct td_level level; /* as it is now */
	struct td_status before, after;
	char said[512]; /* what was wrong */
};

extern struct uses uses;

#define WANT(x)                                                                           \
	do {                                                                              \
		if (!(x)) {                                                               \
			snprintf(uses.said, sizeof(uses.said), "line %d: %s", __LINE__, #x); \
			return 1;                                                         \
		}                                                                         \
	} while (0)

/* Look again, into uses.after: how many mistakes of this kind since the case began? */
uint64_t more(enum td_mistake kind);

/* The kind of the newest fault since the case began; 0: there was none. */
uint32_t fault(void);

int checks_deeply(void);

int in_process(void);

/* To the level that was named with these knobs more; what the case counts begins anew. */
int move_to(const char *knobs);

/* Read the arguments. Ends the program where the level cannot be had here. */
void uses_read(int argc, char **argv);

/* Open a volume of the module. server: a URL, or 0. Ends the program if that cannot be. */
void uses_open(const char *module, const char *server);

/* Run the cases that argv asks for, clean() after each, and close the volume. Returns the program's status. */
int uses_run(char **argv, const struct use_case *cases, size_t n, int (*clean)(void));
