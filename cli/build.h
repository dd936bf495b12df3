/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `tadan build`: the forms of a module from its sources.
 *
 *   native      NAME.so, by the C compiler ($CC, cc)
 *   sandboxed   NAME.sandboxed: clang and wasm-ld make wasm32 code, wasm2c C of it, and the C compiler a shared object
 *
 * Everything is made in a folder of its own and put in its place as the last step, so that what was there stays if something
 * fails. Only here are these tools needed; whoever runs a module has none of them.
 */
#ifndef TADAN_CLI_BUILD_H
#define TADAN_CLI_BUILD_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

enum { TD__BUILD_SOURCES = 256, TD__BUILD_ARGS = 64 };

struct td__build {
	char name[128];       /* of the module's files */
	char kit[PATH_MAX];   /* tadan-sdk, see build_kit.c */
	char work[PATH_MAX];  /* where it is made */
	char to[PATH_MAX];    /* where the forms go */
	char wasm[PATH_MAX];  /* "": from sources */
	char *sources[TD__BUILD_SOURCES]; /* the module's own, then the runtime's */
	int nsources;
	const char *plugin;   /* of GCC, for a module that yields; NULL: it does not */
	int keep;             /* the folder where it is made stays */
};

/* ---- build.c */

/* FILE.sandboxed of FILE.wasm, made unless it is there and was made of the same binary. 0, or an exit status after telling why. */
int td__build_wasm(const char *file, char form[PATH_MAX]);

/* ---- build_kit.c: what the forms are made of. 0, or an exit status after telling what is wrong. */

int td__build_find_kit(struct td__build *b);
/* Those of a folder are added to what there is, in the order of their names. */
int td__build_find_sources(struct td__build *b, const char *folder);

/* "@KIT/NAME", as compilers take a file of options. */
const char *td__build_args(const struct td__build *b, const char *name);

/* ---- build_run.c */

/* The words of a command line, ended by a null pointer; more are cut off, and running it fails. */
struct td__command {
	const char *words[TD__BUILD_ARGS + TD__BUILD_SOURCES];
	int n;
	const char *folder; /* in which it runs; 0: ours */
};
void td__command_add(struct td__command *c, ...) __attribute__((sentinel));
/* Run it, and wait. Its output goes to ours. 0, or -1 after telling what is wrong. */
int td__command_run(const struct td__command *c);
/* Is there such a program in $PATH? */
int td__command_there(const char *name);
/* Does its output contain `text`? */
int td__command_says(const char *name, const char *option, const char *text);
const char *td__build_cc(void);
/* Text in memory that stays; and FOLDER/NAME with an ending. */
char *td__build_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *td__build_path(const char *folder, const char *name, const char *ending);

/* ---- build_sandboxed.c */

/* A whole file, which the caller frees; NULL after telling what is wrong. */
uint8_t *td__build_load(const char *path, size_t *size);

/* 0, or what is missing, as the end of a sentence with a remedy. */
const char *td__build_lacks_tools(const struct td__build *b);
/* b->work/NAME.sandboxed. 0 or -1. */
int td__build_sandboxed(struct td__build *b);

#endif
