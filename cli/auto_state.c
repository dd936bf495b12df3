/* SPDX-License-Identifier: BSD-2-Clause */
/* What builds have earned, in a file: see auto.h. A line is BUILD EARNED and a number of faults for each level. */
#include "auto.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct line {
	uint64_t build;
	struct td_auto_record record;
};

struct book {
	struct line lines[TD__AUTO_BUILDS]; /* the one that was written last comes first */
	size_t n;
};

/* The folder and those above it, as far as they are missing. */
static int make_folder(char *path)
{
	for (char *p = path + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			mkdir(path, 0755);
			*p = '/';
		}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int name_folder(char folder[PATH_MAX])
{
	const char *given = getenv("TADAN_STATE_DIR"), *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int n;

	if (given && *given)
		n = snprintf(folder, PATH_MAX, "%s", given);
	else if (!geteuid())
		n = snprintf(folder, PATH_MAX, "/var/lib/tadan");
	else if (xdg && *xdg == '/')
		n = snprintf(folder, PATH_MAX, "%s/tadan", xdg);
	else if (home && *home == '/')
		n = snprintf(folder, PATH_MAX, "%s/.local/state/tadan", home);
	else
		return -ENOENT;
	return folder[0] != '/' ? -EINVAL : n + (int)sizeof("/auto.new") > PATH_MAX ? -ENAMETOOLONG : 0;
}

static int parse(const char *text, struct line *l)
{
	int at = 0, n;

	memset(l, 0, sizeof(*l));
	if (sscanf(text, "%16" SCNx64 " %" SCNu32 "%n", &l->build, &l->record.earned, &at) != 2 || l->record.earned >= TD_AUTO_LEVELS)
		return 0;
	for (int i = 0; i < TD_AUTO_LEVELS; i++, at += n) {
		n = 0;
		if (sscanf(text + at, " %" SCNu32 "%n", &l->record.faults[i], &n) != 1 || !n)
			return 0;
	}
	return text[at] == '\n';
}

static void read_book(const char *path, struct book *b)
{
	char text[256];
	FILE *f = fopen(path, "re");

	b->n = 0;
	while (f && b->n < TD__AUTO_BUILDS && fgets(text, sizeof(text), f))
		b->n += (size_t)parse(text, &b->lines[b->n]);
	if (f)
		fclose(f);
}

static void put_first(struct book *b, const struct line *l)
{
	size_t i = 0;

	while (i < b->n && b->lines[i].build != l->build)
		i++;
	if (i == TD__AUTO_BUILDS) /* full: the oldest one goes */
		i--;
	memmove(b->lines + 1, b->lines, i * sizeof(*l));
	b->lines[0] = *l;
	if (i == b->n)
		b->n++;
}

static int write_book(const char *folder, const char *path, const struct book *b)
{
	char new[PATH_MAX + 8];
	FILE *f;
	int err = 0;

	snprintf(new, sizeof(new), "%s/auto.new", folder);
	f = fopen(new, "we");
	if (!f)
		return -errno;
	for (size_t i = 0; i < b->n; i++) {
		fprintf(f, "%016" PRIx64 " %u", b->lines[i].build, b->lines[i].record.earned);
		for (int k = 0; k < TD_AUTO_LEVELS; k++)
			fprintf(f, " %u", b->lines[i].record.faults[k]);
		fputc('\n', f);
	}
	if (fflush(f) || ferror(f) || fsync(fileno(f)))
		err = -(errno ? errno : EIO);
	if (fclose(f) && !err)
		err = -errno;
	if (!err && rename(new, path))
		err = -errno;
	if (err)
		unlink(new);
	return err;
}

void td__auto_load(uint64_t build, struct td_auto_record *out)
{
	char folder[PATH_MAX], path[PATH_MAX + 8];
	struct book *b = malloc(sizeof(*b));

	memset(out, 0, sizeof(*out));
	if (b && !name_folder(folder)) {
		snprintf(path, sizeof(path), "%s/auto", folder);
		read_book(path, b);
		for (size_t i = 0; i < b->n; i++)
			if (b->lines[i].build == build)
				*out = b->lines[i].record;
	}
	free(b);
}

int td__auto_save(uint64_t build, const struct td_auto_record *record, char *why, size_t size)
{
	char folder[PATH_MAX] = "", path[PATH_MAX + 8], lock[PATH_MAX + 8];
	const struct line l = { build, *record };
	struct book *b = malloc(sizeof(*b));
	int fd = -1, err = b ? name_folder(folder) : -ENOMEM;

	if (!err)
		err = make_folder(folder);
	if (!err) {
		snprintf(path, sizeof(path), "%s/auto", folder);
		snprintf(lock, sizeof(lock), "%s/lock", folder);
		fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		err = fd < 0 || flock(fd, LOCK_EX) ? -errno : 0;
	}
	if (!err) {
		read_book(path, b);
		put_first(b, &l);
		err = write_book(folder, path, b);
	}
	if (fd >= 0)
		close(fd);
	free(b);
	if (err)
		snprintf(why, size, "%s: cannot remember what the module has earned: %s; set TADAN_STATE_DIR to a folder that can be written",
			 folder, strerror(-err));
	return err;
}
