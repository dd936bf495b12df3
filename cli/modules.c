/* SPDX-License-Identifier: BSD-2-Clause */
/* Where modules are looked up by name: the same folders, in the same order, as td__module_open(). */
#include "cli.h"
#include "modules.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* The first of a name hides the others. */
static void add(struct td__cli_files *f, const char *name, size_t len, const char *path)
{
	char **names, **paths;

	for (size_t i = 0; i < f->n; i++)
		if (strlen(f->names[i]) == len && !memcmp(f->names[i], name, len))
			return;
	names = reallocarray(f->names, f->n + 1, sizeof(*names));
	if (names)
		f->names = names;
	paths = reallocarray(f->paths, f->n + 1, sizeof(*paths));
	if (paths)
		f->paths = paths;
	if (!names || !paths)
		return;
	f->names[f->n] = strndup(name, len);
	f->paths[f->n] = realpath(path, NULL);
	if (f->names[f->n] && f->paths[f->n])
		f->n++;
}

/* FOLDER/NAME and ending, or FOLDER/NAME/NAME and ending */
static void look_for(struct td__cli_files *f, const char *folder, const char *ending)
{
	size_t n = strlen(ending);
	DIR *dir = opendir(folder);
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		size_t len = strlen(d->d_name);
		char path[PATH_MAX];

		if (d->d_name[0] == '.')
			continue;
		if (len > n && !strcmp(d->d_name + len - n, ending)) {
			if (snprintf(path, sizeof(path), "%s/%s", folder, d->d_name) < PATH_MAX &&
			    is_file(path))
				add(f, d->d_name, len - n, path);
		} else if (snprintf(path, sizeof(path), "%s/%s/%s%s", folder, d->d_name,
				    d->d_name, ending) < PATH_MAX &&
			   is_file(path)) {
			add(f, d->d_name, len, path);
		}
	}
	if (dir)
		closedir(dir);
}

/* What has a native form is named by that. */
static void look_in(struct td__cli_files *f, const char *folder)
{
	look_for(f, folder, ".so");
	look_for(f, folder, ".sandboxed");
}

static void look_in_environment(struct td__cli_files *f)
{
	const char *given = getenv("TADAN_MODULES");
	char *copy = given ? strdup(given) : NULL, *next;

	for (char *folder = copy ? strtok_r(copy, ":", &next) : NULL; folder;
	     folder = strtok_r(NULL, ":", &next))
		look_in(f, folder);
	free(copy);
}

static void look_beside_program(struct td__cli_files *f)
{
	char program[PATH_MAX], folder[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n <= 0)
		return;
	program[n] = 0;
	*strrchr(program, '/') = 0;
	snprintf(folder, sizeof(folder), "%s/modules", program);
	look_in(f, folder);
	snprintf(folder, sizeof(folder), "%s/../modules", program);
	look_in(f, folder);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names and paths go together, so they are sorted as pairs. */
static void sort(struct td__cli_files *f)
{
	char *(*pairs)[2] = calloc(f->n + 1, sizeof(*pairs));

	if (!pairs)
		return;
	for (size_t i = 0; i < f->n; i++) {
		pairs[i][0] = f->names[i];
		pairs[i][1] = f->paths[i];
	}
	qsort(pairs, f->n, sizeof(*pairs), by_name);
	for (size_t i = 0; i < f->n; i++) {
		f->names[i] = pairs[i][0];
		f->paths[i] = pairs[i][1];
	}
	free(pairs);
}

void td__cli_find_modules(struct td__cli_files *out)
{
	memset(out, 0, sizeof(*out));
	look_in_environment(out);
	look_beside_program(out);
	look_in(out, TADAN_MODULE_DIR);
	sort(out);
}

void td__cli_free_modules(struct td__cli_files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->names[i]);
		free(f->paths[i]);
	}
	free(f->names);
	free(f->paths);
}
