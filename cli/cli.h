/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the command `tadan` share.
 *
 * A command is a row in the table of main.c: its words, its options, its function. Commands that look at a
 * mount or change it ask the mount's server through a socket (control.h). `tadan mount` is the server.
 */
#ifndef TADAN_CLI_H
#define TADAN_CLI_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <jansson.h>

#include "../core/level.h"

/* What the command ends with. */
enum {
	TD__CLI_OK = 0,
	TD__CLI_FAILED = 1, /* asked for rightly, but it did not work */
	TD__CLI_USAGE = 2,  /* asked for wrongly: nothing was tried */
};

enum { TD__CLI_OPTIONS = 16, TD__CLI_WHY = 1024 };

struct td__cli_option {
	const char *name;
	char letter;       /* 0: it has none */
	const char *value; /* what its value is called in the help; 0: it has none */
	const char *help;
};

/* Words of a command line, taken apart. */
struct td__cli_args {
	/* In the order of the table; 0: not given; a switch: "" */
	const char *values[TD__CLI_OPTIONS];
	int nwords;
	char **words; /* what is no option */
};

struct td__cli_command {
	const char *name, *words, *summary, *details;
	const struct td__cli_option *options; /* ended by a null name */
	int least, most; /* words; most -1: everything behind the name is passed on as it is, and nobody reads details and options */
	int (*run)(const struct td__cli_args *args);
};

extern const struct td__cli_command td__cli_commands[];

/* ---- args.c: 0, or an exit status after telling what is wrong. TD__CLI_HELP: the help was asked for and printed. */

enum { TD__CLI_HELP = -1 };
int td__cli_parse(const struct td__cli_command *command, int argc, char **argv,
		  struct td__cli_args *args);
void td__cli_help(const struct td__cli_command *command, FILE *to);

/* ---- text.c */

/* The command that runs: messages begin with it. */
extern const char *td__cli_name;

void td__cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and returns TD__CLI_USAGE. */
int td__cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Terminal sequences, empty where there is no terminal to understand them. */
enum td__cli_style { TD__PLAIN, TD__BOLD, TD__RED, TD__GREEN, TD__YELLOW };
const char *td__cli_style(FILE *to, enum td__cli_style style);

/* Bytes with a suffix K, M, G or T (1024 each). 0 or -EINVAL. */
int td__cli_size(const char *text, uint64_t *bytes);
/* Seconds, or with ms, s or m behind the number what that says. 0 or -EINVAL. */
int td__cli_time(const char *text, uint32_t *ms);
/* "1.5 ms", "2.0 GiB": always the same buffer sizes. */
void td__cli_show_time(uint64_t ns, char text[32]);
void td__cli_show_bytes(uint64_t bytes, char text[32]);
void td__cli_show_date(int64_t sec, char text[32]);
/* Text of others for a terminal: nothing in it moves the cursor. */
void td__cli_print_safe(const char *text, FILE *to);
/* Any bytes as a JSON string. */
json_t *td__cli_json_text(const char *text);
/* Numbers beyond JSON's, and addresses. */
json_t *td__cli_json_hex(uint64_t n);
json_t *td__cli_json_number(uint64_t n);
/* Print and give back. */
int td__cli_print_json(json_t *json);

/* ---- hint.c */

/* The word of a list that this one was meant to be, or 0. */
const char *td__cli_nearest(const char *word, const char *const *words, size_t n);
/* td_level_parse() with a hint for misspelled words. */
int td__cli_level(const char *text, struct td_level *level, char *why, size_t size);
/* td__module_open() with a hint. */
struct td__module;
int td__cli_module(const char *name, struct td__module **out, char *why, size_t size);

/* ---- path.c */

/*
 * The absolute path of a directory, without a symbolic link in it, in memory of its own. The directory
 * itself is never asked, for its server may be dead. 0 and errno if there is no such path.
 */
char *td__cli_resolve(const char *path);

struct td__cli_mounted {
	char type[64];  /* "fuse.tadan.smfs" */
	char device[32]; /* "0:52", as Linux counts it */
	uint32_t count; /* mounts on top of each other */
};
/* What is mounted at a resolved path. 1: something. */
int td__cli_mounted(const char *dir, struct td__cli_mounted *out);
int td__cli_is_ours(const struct td__cli_mounted *m);

/* ---- The commands */

extern const struct td__cli_option td__cli_mount_options[], td__cli_umount_options[],
	td__cli_json_options[], td__cli_faults_options[], td__cli_status_options[], td__cli_no_options[], td__cli_build_options[], td__cli_check_options[];
int td__cli_mount(const struct td__cli_args *args);
int td__cli_umount(const struct td__cli_args *args);
int td__cli_status(const struct td__cli_args *args);
int td__cli_set_level(const struct td__cli_args *args);
int td__cli_faults(const struct td__cli_args *args);
int td__cli_levels(const struct td__cli_args *args);
int td__cli_modules(const struct td__cli_args *args);
int td__cli_build(const struct td__cli_args *args);
int td__cli_check(const struct td__cli_args *args);
int td__cli_verify(const struct td__cli_args *args);
int td__cli_demo(const struct td__cli_args *args);
int td__cli_lab(const struct td__cli_args *args);
int td__cli_bench(const struct td__cli_args *args);

/* The programs that keep a directory busy, as "bash (1234), vi (99)"; "" if none is seen. */
void td__cli_users(const char *dir, char *text, size_t size);
/* The same of programs in a mount namespace of their own, where the device is still mounted. */
void td__cli_holders(const char *device, char *text, size_t size);

#endif
