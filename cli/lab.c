/* SPDX-License-Identifier: BSD-2-Clause */
/* `tadan lab`: find the fault laboratory and become it. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static int find(char path[PATH_MAX])
{
	char program[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n > 0) {
		program[n] = 0;
		*strrchr(program, '/') = 0;
		if (snprintf(path, PATH_MAX, "%s/tadan-lab", program) < PATH_MAX && !access(path, X_OK))
			return 1;
	}
	snprintf(path, PATH_MAX, "%s/tadan-lab", TADAN_LIBEXEC_DIR);
	return !access(path, X_OK);
}

int td__cli_lab(const struct td__cli_args *args)
{
	char path[PATH_MAX], *argv[args->nwords + 2];

	if (!find(path)) {
		td__cli_error("the fault laboratory, tadan-lab, is neither beside the program nor at %s: it is built where the "
			      "disassembler Zydis (libzydis-dev) is installed",
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
