/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directories that may be mounts with a dead or a stuck server: their paths are made absolute, and looked up among
 * the mounts, without a question that such a server would have to answer.
 */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINKS = 40 };

/* Cut slashes off the end; return where the last name begins. */
static char *last_name(char *path)
{
	size_t n = strlen(path);
	char *slash;

	while (n > 1 && path[n - 1] == '/')
		path[--n] = 0;
	slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* The first bytes of a text and another behind them. */
static char *concat(const char *a, size_t len, const char *b)
{
	char *both = malloc(len + strlen(b) + 1);

	if (both) {
		memcpy(both, a, len);
		strcpy(both + len, b);
	}
	return both;
}

/* The parent's real path, and the name behind it. */
static char *resolve_parent(const char *path, const char *name)
{
	char *parent = name == path ? strdup(".") : strndup(path, (size_t)(name - path)),
	     real[PATH_MAX + 1];
	int found = parent && realpath(parent, real);

	free(parent);
	if (!found)
		return NULL;
	if (real[1])
		strcat(real, "/");
	return concat(real, strlen(real), name);
}

/* What a link in the folder of `path` leads to. */
static char *follow(const char *path, const char *target)
{
	return concat(path, target[0] == '/' ? 0 : (size_t)(strrchr(path, '/') - path + 1), target);
}

/* One step: the absolute path with the last name left as it is. In a link's case *link becomes what to go on with. */
static char *step(char *path, char **link)
{
	char target[PATH_MAX], *name = last_name(path), *full;
	ssize_t n;

	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return !strcmp(path, ".") ? getcwd(NULL, 0) : realpath(path, NULL);
	full = resolve_parent(path, name);
	n = full ? readlink(full, target, sizeof(target) - 1) : -1;
	if (n < 0)
		return full;
	target[n] = 0;
	*link = follow(full, target);
	free(full);
	return NULL;
}

char *td__cli_resolve(const char *given)
{
	char *path = strdup(given), *found = NULL;

	if (path && !*path) {
		errno = ENOENT;
	} else if (path && strlen(path) >= PATH_MAX) {
		errno = ENAMETOOLONG;
	} else {
		for (int links = 0; path && !found && links < MAX_LINKS; links++) {
			char *link = NULL;

			errno = ELOOP;
			found = step(path, &link);
			free(path);
			path = link;
		}
	}
	free(path);
	return found;
}

/* In /proc/self/mountinfo a space is \040. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p; to++) {
		unsigned byte;

		if (*p == '\\' && sscanf(p + 1, "%3o", &byte) == 1) {
			*to = (char)byte;
			p += 4;
		} else {
			*to = *p++;
		}
	}
	*to = 0;
}

int td__cli_mounted(const char *dir, struct td__cli_mounted *out)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, place[PATH_MAX], type[64], device[32];
	size_t room = 0;

	memset(out, 0, sizeof(*out));
	while (file && getline(&line, &room, file) > 0) {
		const char *rest = strstr(line, " - ");

		if (!rest || sscanf(line, "%*s %*s %31s %*s %4095s", device, place) != 2 ||
		    sscanf(rest, " - %63s", type) != 1)
			continue;
		unescape(place);
		if (strcmp(place, dir))
			continue;
		out->count++;
		strcpy(out->type, type);
		strcpy(out->device, device);
	}
	free(line);
	if (file)
		fclose(file);
	return out->count > 0;
}

int td__cli_is_ours(const struct td__cli_mounted *m)
{
	return !strncmp(m->type, "fuse.tadan", 10) && (!m->type[10] || m->type[10] == '.');
}
