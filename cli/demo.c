/* SPDX-License-Identifier: BSD-2-Clause */
/* `tadan demo`: find the demonstration and become it. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As it lies in a checkout: build/tadan and demo/run. */
static int beside_program(char path[PATH_MAX])
{
	char program[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n <= 0)
		return 0;
	program[n] = 0;
	*strrchr(program, '/') = 0;
	return snprintf(path, PATH_MAX, "%s/../demo/run", program) < PATH_MAX &&
	       !access(path, X_OK);
}

static int find(char path[PATH_MAX])
{
	const char *given = getenv("TADAN_DEMO");

	if (given && *given)
		return snprintf(path, PATH_MAX, "%s", given) < PATH_MAX;
	if (beside_program(path))
		return 1;
	snprintf(path, PATH_MAX, "%s/demo/run", TADAN_LIBEXEC_DIR);
	return !access(path, X_OK);
}

int td__cli_demo(const struct td__cli_args *args)
{
	char path[PATH_MAX], *argv[args->nwords + 2];

	if (!find(path)) {
		td__cli_error("the demonstration is not installed: neither demo/run in the "
			      "checkout of the program nor %s; "
			      "TADAN_DEMO names another",
			      path);
		return TD__CLI_FAILED;
	}
	argv[0] = path;
	memcpy(argv + 1, args->words, (size_t)args->nwords * sizeof(*argv));
	argv[args->nwords + 1] = NULL;
	execv(path, argv);
	td__cli_error("%s: %s", path, strerror(errno));
	return TD__CLI_FAILED;
}
