/* SPDX-License-Identifier: BSD-2-Clause */
/* `tadan demo`, `tadan bench` and `tadan lab`: programs of their own, that the command finds and becomes. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct other {
	const char *what;
	const char *beside;    /* where it lies in a checkout, from the folder of this program */
	const char *installed; /* below libexec */
	const char *variable;  /* names another one */
	const char *remedy;
};

/* Of this program: the others need to know which one asks. */
static int own_path(char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);

	path[n > 0 ? n : 0] = 0;
	return n > 0;
}

static int beside_program(const struct other *o, char path[PATH_MAX])
{
	char program[PATH_MAX];

	if (!own_path(program))
		return 0;
	*strrchr(program, '/') = 0;
	return snprintf(path, PATH_MAX, "%s/%s", program, o->beside) < PATH_MAX && !access(path, X_OK);
}

static int find(const struct other *o, char path[PATH_MAX])
{
	const char *given = getenv(o->variable);

	if (given && *given)
		return snprintf(path, PATH_MAX, "%s", given) < PATH_MAX;
	if (beside_program(o, path))
		return 1;
	snprintf(path, PATH_MAX, "%s/%s", TADAN_LIBEXEC_DIR, o->installed);
	return !access(path, X_OK);
}

static int become(const struct other *o, const struct td__cli_args *args)
{
	char path[PATH_MAX], program[PATH_MAX], *argv[args->nwords + 2];

	if (!find(o, path)) {
		td__cli_error("%s not there: neither %s from the folder of the program nor %s; %s, or let %s name another",
			      o->what, o->beside, path, o->remedy, o->variable);
		return TD__CLI_FAILED;
	}
	if (own_path(program))
		setenv("TADAN_PROGRAM", program, 1);
	argv[0] = path;
	memcpy(argv + 1, args->words, (size_t)args->nwords * sizeof(*argv));
	argv[args->nwords + 1] = NULL;
	execv(path, argv);
	td__cli_error("%s: %s", path, strerror(errno));
	return TD__CLI_FAILED;
}

int td__cli_demo(const struct td__cli_args *args)
{
	return become(&(struct other){ "the demonstration is", "../demo/run", "demo/run", "TADAN_DEMO",
				       "run `make install`" },
		      args);
}

int td__cli_bench(const struct td__cli_args *args)
{
	return become(&(struct other){ "the benchmarks are", "../bench/tadan-bench", "bench/tadan-bench", "TADAN_BENCH",
				       "run `make install`" },
		      args);
}

int td__cli_lab(const struct td__cli_args *args)
{
	return become(&(struct other){ "the fault laboratory is", "tadan-lab", "tadan-lab", "TADAN_LAB",
				       "build it where the disassembler Zydis (libzydis-dev) is installed" },
		      args);
}
