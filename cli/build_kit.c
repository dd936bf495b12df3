/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the forms of a module are made of: its own sources, all *.c files of its folder, and the kit: the folder tadan-sdk with
 * the headers (tadan/), the runtime that is linked into every module (runtime/), and what surrounds translated code (sandbox/).
 */
#include "build.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static int is_kit(const char *folder, char kit[PATH_MAX])
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/tadan/fs.h", folder) < PATH_MAX && !access(path, R_OK) &&
	       realpath(folder, kit);
}

/* tadan-sdk beside the program, as in a build; share/tadan/sdk next to its folder, as installed. */
static int beside_program(char kit[PATH_MAX])
{
	char program[PATH_MAX], folder[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n <= 0)
		return 0;
	program[n] = 0;
	*strrchr(program, '/') = 0;
	snprintf(folder, sizeof(folder), "%s/tadan-sdk", program);
	if (is_kit(folder, kit))
		return 1;
	snprintf(folder, sizeof(folder), "%s/../share/tadan/sdk", program);
	return is_kit(folder, kit);
}

int td__build_find_kit(struct td__build *b)
{
	const char *given = getenv("TADAN_SDK");

	if (given && *given) {
		if (is_kit(given, b->kit))
			return 0;
		td__cli_error("TADAN_SDK=%s: there is no tadan/fs.h in it", given);
		return TD__CLI_FAILED;
	}
	if (beside_program(b->kit) || is_kit(TADAN_SDK_DIR, b->kit))
		return 0;
	td__cli_error("the sdk is not installed: neither tadan-sdk beside the program nor %s; TADAN_SDK names another",
		      TADAN_SDK_DIR);
	return TD__CLI_FAILED;
}

const char *td__build_args(const struct td__build *b, const char *name)
{
	return td__build_text("@%s/%s", b->kit, name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int td__build_find_sources(struct td__build *b, const char *folder)
{
	DIR *dir = opendir(folder);
	int before = b->nsources;
	struct dirent *d;

	if (!dir) {
		td__cli_error("%s: %s", folder, strerror(errno));
		return TD__CLI_FAILED;
	}
	while ((d = readdir(dir))) {
		size_t len = strlen(d->d_name);

		if (len < 3 || d->d_name[0] == '.' || strcmp(d->d_name + len - 2, ".c"))
			continue;
		if (b->nsources == TD__BUILD_SOURCES) {
			td__cli_error("%s: more than %d sources", folder, TD__BUILD_SOURCES);
			closedir(dir);
			return TD__CLI_FAILED;
		}
		b->sources[b->nsources++] = (char *)td__build_path(folder, d->d_name, "");
	}
	closedir(dir);
	if (b->nsources == before) {
		td__cli_error("%s: no sources (*.c) in it; give the folder of a module, or a .wasm file", folder);
		return TD__CLI_FAILED;
	}
	qsort(b->sources + before, (size_t)(b->nsources - before), sizeof(*b->sources), by_name);
	return 0;
}
