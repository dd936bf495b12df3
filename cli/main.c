/* SPDX-License-Identifier: BSD-2-Clause */
/* The command `tadan`: the table of its commands, and how one is chosen. */
#include "cli.h"

#include <string.h>

#ifndef TADAN_RELEASE
#define TADAN_RELEASE "0.1"
#endif

const struct td__cli_option td__cli_no_options[] = { { 0 } };
const struct td__cli_option td__cli_json_options[] = { { "json", 0, NULL, "as JSON, for programs" },
						       { 0 } };

static int version(const struct td__cli_args *args)
{
	(void)args;
	printf("tadan %s\n", TADAN_RELEASE);
	return TD__CLI_OK;
}

const struct td__cli_command td__cli_commands[] = {
	{ "mount", "MODULE [SERVER] DIR [options]", "mount a module's file system",
	  "Start MODULE, a name that `tadan modules` shows or the path of a module file, and mount "
	  "its\n"
	  "file system at DIR. Goes into the background as soon as the mount answers.\n"
	  "The file system lives in memory and is gone after the unmount, unless --image names a "
	  "file.",
	  td__cli_mount_options, 2, 3, td__cli_mount },
	{ "umount", "DIR [--force]", "unmount, and wait until all is written back",
	  "Unmount DIR and wait until everything is written back and the server has ended. Clears "
	  "a mount\n"
	  "whose server was killed, too. Fails and changes nothing while a program uses DIR.",
	  td__cli_umount_options, 1, 1, td__cli_umount },
	{ "status", "[DIR] [--check] [--json]", "show mounts: level, knobs, state, counts",
	  "Show all of your mounts in a table, or everything about the one at DIR.",
	  td__cli_status_options, 0, 1, td__cli_status },
	{ "level", "DIR LEVEL", "move a mount to another level while it is used",
	  "Move the mount at DIR to LEVEL, as --level of `tadan mount` takes it. Open files stay "
	  "open,\n"
	  "calls wait for the change; printed is for how long. If it fails the level stays as it "
	  "was.",
	  td__cli_no_options, 2, 2, td__cli_set_level },
	{ "faults", "[DIR] [--json] [--follow]", "show what went wrong in modules",
	  "Show the faults of the mount at DIR, or of all of your mounts: what happened, where in "
	  "the\n"
	  "source, what was undone, and how it went on. The last 64 of each mount are kept.",
	  td__cli_faults_options, 0, 1, td__cli_faults },
	{ "levels", "[--json]", "list the levels, and which of them this machine has",
	  "List the levels: what each is for, its knobs, and whether this machine can have it.",
	  td__cli_json_options, 0, 0, td__cli_levels },
	{ "modules", "[--json]", "list the modules that can be mounted by name",
	  "List the module files in $TADAN_MODULES (folders, with colons between them), beside "
	  "the\n"
	  "program, and in the installed folder, with the walls that each can have on this "
	  "machine.",
	  td__cli_json_options, 0, 0, td__cli_modules },
	{ "build", "SOURCES|FILE.wasm [options]", "build a module: its native and its sandboxed form",
	  "Build the module whose sources are the *.c files of the folder SOURCES, or the one file: NAME.so,\n"
	  "and NAME.sandboxed for the level sandboxed, NAME being the folder's. Or translate FILE.wasm, which somebody else compiled, for the\n"
	  "level sandboxed. Only building needs compilers; see tadan-build(1) for which.",
	  td__cli_build_options, 1, 1, td__cli_build },
	{ "verify", "MODULE [--json]", "check a sandboxed module, and what is proven of it",
	  "Check MODULE as the host does when it loads it: a wasm binary (.wasm), the sandboxed form that\n"
	  "`tadan build` makes, or a name that `tadan modules` shows. Says for each operation whether every path\n"
	  "of it ends within a bound, and if not, which loop or call stands in the way. Fails if it is refused.",
	  td__cli_json_options, 1, 1, td__cli_verify },
	{ "check", "IMAGE [options]", "look whether an image is sound",
	  "Check IMAGE, which is not mounted: its header and log, and by its module the file system in it. Nothing is changed\n"
	  "unless --repair asks for it. Ends with 0: clean; 1: everything was repaired; 4: problems are left; 8: it could not be checked.",
	  td__cli_check_options, 1, 1, td__cli_check },
	/* Programs of their own, with a help of their own. */
	{ "demo", "[...]", "see everything at work in two minutes", NULL, NULL, 0, -1, td__cli_demo },
	{ "lab", "MODULE [...]", "try to break a module with faults of every kind", NULL, NULL, 0, -1, td__cli_lab },
	{ "bench", "COMMAND [...]", "measure what protection costs on this machine", NULL, NULL, 0, -1, td__cli_bench },
	{ "version", "", "show the version", "Show the version.", td__cli_no_options, 0, 0,
	  version },
	{ 0 },
};

static void help(FILE *to)
{
	fprintf(to,
		"%stadan%s: file systems that may fail. Modules run at a chosen level of "
		"protection, and can be\n"
		"moved to another while they are mounted.\n\n",
		td__cli_style(to, TD__BOLD), td__cli_style(to, TD__PLAIN));
	for (const struct td__cli_command *c = td__cli_commands; c->name; c++)
		fprintf(to, "  tadan %-8s %-26s %s\n", c->name, c->words, c->summary);
	fprintf(to, "\n`tadan COMMAND --help` tells more. Try:\n"
		    "  mkdir m && tadan mount smfs m --level guarded && tadan status && tadan "
		    "umount m\n");
}

static const struct td__cli_command *find(const char *name)
{
	for (const struct td__cli_command *c = td__cli_commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static int unknown(const char *name)
{
	const char *names[32], *near;
	size_t n = 0;

	for (const struct td__cli_command *c = td__cli_commands; c->name && n < 32; c++)
		names[n++] = c->name;
	near = !strcmp(name, "unmount") ? "umount" : td__cli_nearest(name, names, n);
	if (near)
		return td__cli_usage("unknown command %s; did you mean `tadan %s`?", name, near);
	return td__cli_usage("unknown command %s; `tadan --help` lists those there are", name);
}

static int run(const struct td__cli_command *c, int argc, char **argv)
{
	static char name[32];
	struct td__cli_args args;
	int status;

	snprintf(name, sizeof(name), "tadan %s", c->name);
	td__cli_name = name;
	status = td__cli_parse(c, argc, argv, &args);
	if (status)
		return status == TD__CLI_HELP ? TD__CLI_OK : status;
	return c->run(&args);
}

int main(int argc, char **argv)
{
	const struct td__cli_command *c;
	int status;

	if (argc < 2) {
		help(stderr);
		return TD__CLI_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    (!strcmp(argv[1], "help") && argc == 2)) {
		help(stdout);
		return TD__CLI_OK;
	}
	if (!strcmp(argv[1], "--version"))
		argv[1] = "version";
	if (!strcmp(argv[1], "help")) {
		static char ask[] = "--help";

		argv[1] = argv[2];
		argv[2] = ask;
		argc = 3;
	}
	c = find(argv[1]);
	if (!c)
		return unknown(argv[1]);
	status = run(c, argc - 1, argv + 1);
	if (fflush(stdout) || ferror(stdout)) {
		td__cli_error("cannot write the output");
		return status ? status : TD__CLI_FAILED;
	}
	return status;
}
