/* SPDX-License-Identifier: BSD-2-Clause */
/* Who keeps a directory busy: programs with a file open there, or that stand there. Only links are read, no file. */
#include "cli.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_FEW = 5 };

static int lies_in(const char *link, const char *dir)
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	size_t len = strlen(dir);

	if (n <= 0)
		return 0;
	target[n] = 0;
	return !strncmp(target, dir, len) &&
	       (!target[len] || target[len] == '/' || target[len] == ' ');
}

static int has_open(const char *pid, const char *dir)
{
	char path[PATH_MAX];
	struct dirent *d;
	int found = 0;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	while (fds && !found && (d = readdir(fds))) {
		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, d->d_name);
		found = lies_in(path, dir);
	}
	if (fds)
		closedir(fds);
	return found;
}

static int uses(const char *pid, const char *dir)
{
	static const char *const links[] = { "cwd", "root", "exe" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%s/%s", pid, links[i]);
		if (lies_in(path, dir))
			return 1;
	}
	return has_open(pid, dir);
}

static void append(char *text, size_t size, const char *pid)
{
	char path[64], name[32] = "?";
	size_t n = strlen(text);
	FILE *comm;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	comm = fopen(path, "re");
	if (comm) {
		if (fgets(name, sizeof(name), comm))
			name[strcspn(name, "\n")] = 0;
		fclose(comm);
	}
	snprintf(text + n, size - n, "%s%s (%s)", n ? ", " : "", name, pid);
}

/* Does this process see the device mounted, anywhere? */
static int sees(const char *pid, const char *device)
{
	char path[64], *line = NULL, number[32];
	size_t room = 0;
	int found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.20s/mountinfo", pid);
	file = fopen(path, "re");
	while (file && !found && getline(&line, &room, file) > 0)
		found = sscanf(line, "%*s %*s %31s", number) == 1 && !strcmp(number, device);
	free(line);
	if (file)
		fclose(file);
	return found;
}

static void find(int (*does)(const char *pid, const char *what), const char *what, char *text,
		 size_t size)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	int found = 0;

	text[0] = 0;
	while (proc && found < NAME_FEW && (d = readdir(proc)))
		if (isdigit((unsigned char)d->d_name[0]) && does(d->d_name, what)) {
			append(text, size, d->d_name);
			found++;
		}
	if (proc)
		closedir(proc);
}

void td__cli_users(const char *dir, char *text, size_t size)
{
	find(uses, dir, text, size);
}

void td__cli_holders(const char *device, char *text, size_t size)
{
	find(sees, device, text, size);
}
