/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Can it be mounted there? Each refusal says what is wrong and what to do about it.
 */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct answer {
	char *text;
	size_t size;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct answer *why, int error,
							const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why->text, why->size, format, ap);
	va_end(ap);
	return -error;
}

/* The last line for a directory is the mount on top. */
static int find_mount(const char *dir, char *what, size_t size)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	int found = 0;

	if (!mounts)
		return 0;
	while ((m = getmntent(mounts)))
		if (!strcmp(m->mnt_dir, dir)) {
			snprintf(what, size, "%s, type %s", m->mnt_fsname, m->mnt_type);
			found = 1;
		}
	endmntent(mounts);
	return found;
}

static int check_mount(const char *dir, struct answer *why)
{
	char what[256];

	if (!find_mount(dir, what, sizeof(what)))
		return 0;
	return refuse(why, EBUSY,
		      "%s: is a mount point already (%s): unmount it first, with "
		      "`fusermount3 -u %s` or `umount %s`, or choose another directory",
		      dir, what, dir, dir);
}

static int check_dir(const char *dir, struct answer *why)
{
	struct stat st;

	if (!stat(dir, &st)) {
		if (!S_ISDIR(st.st_mode))
			return refuse(why, ENOTDIR, "%s: is not a directory: give a directory",
				      dir);
		return 0;
	}
	switch (errno) {
	case ENOENT:
		return refuse(why, ENOENT,
			      "%s: there is no such directory: make it with `mkdir %s`", dir, dir);
	case ENOTDIR:
		return refuse(why, ENOTDIR, "%s: a part of this path is not a directory", dir);
	case ENOTCONN:
		return refuse(why, EBUSY,
			      "%s: the server of the file system that is mounted there has "
			      "ended: unmount it with `fusermount3 -u %s`",
			      dir, dir);
	default: return refuse(why, errno, "%s: %s", dir, strerror(errno));
	}
}

static int check_owner(const char *dir, struct answer *why)
{
	struct stat st;

	if (geteuid() == 0 || stat(dir, &st))
		return 0;
	if ((st.st_mode & S_ISVTX) && st.st_uid != geteuid())
		return refuse(why, EPERM,
			      "%s: is sticky and another user's: choose a directory that "
			      "is yours",
			      dir);
	if (access(dir, W_OK))
		return refuse(why, EACCES,
			      "%s: you may not write there: choose a directory that is "
			      "yours",
			      dir);
	return 0;
}

static int check_device(struct answer *why)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return refuse(why, ENODEV,
			      "/dev/fuse: this Linux has no FUSE: try `modprobe fuse` as root");
	case EACCES:
	case EPERM:
		return refuse(why, EACCES,
			      "/dev/fuse: you may not open it: mount as root, or let root run "
			      "`chmod 666 /dev/fuse`");
	default: return refuse(why, errno, "/dev/fuse: %s", strerror(errno));
	}
}

/* In the words of execvp(): is there a program of that name? */
static int find_program(const char *name)
{
	const char *path = getenv("PATH");
	char file[4096];

	for (path = path ? path : "/usr/bin:/bin"; *path;) {
		size_t n = strcspn(path, ":");

		if (snprintf(file, sizeof(file), "%.*s/%s", (int)n, path, name) <
			    (int)sizeof(file) &&
		    !access(file, X_OK))
			return 1;
		path += n + (path[n] == ':');
	}
	return 0;
}

static int conf_allows_other(void)
{
	FILE *conf = fopen("/etc/fuse.conf", "re");
	char line[256], word[64];
	int found = 0;

	if (!conf)
		return 0;
	while (fgets(line, sizeof(line), conf))
		if (sscanf(line, " %63s", word) == 1 && !strcmp(word, "user_allow_other"))
			found = 1;
	fclose(conf);
	return found;
}

/* Who is not root mounts with the help of fusermount3, and by its rules. */
static int check_helper(const struct td_fuse_options *o, struct answer *why)
{
	if (geteuid() == 0)
		return 0;
	if (!find_program("fusermount3") && access("/usr/bin/fusermount3", X_OK))
		return refuse(why, ENOENT,
			      "fusermount3: is not installed: install the package fuse3, or "
			      "mount as root");
	if (o->allow_other && !conf_allows_other())
		return refuse(why, EPERM,
			      "allow_other: only root may let other users in here: add the "
			      "line `user_allow_other` to /etc/fuse.conf, or mount without it");
	return 0;
}

static int check_uring(struct answer *why)
{
	char reason[160];
	int error = td__fuse_rings_check(reason, sizeof(reason));

	return error ? refuse(why, -error, "io_uring was asked for: %s", reason) : 0;
}

int td__fuse_check(const struct td_fuse_options *o, char **dir, char *why, size_t size)
{
	struct answer answer = { why, size };
	char *path = realpath(o->dir, NULL);
	int error;

	/* A mount whose server is gone may hide the path: then look for it as it was given. */
	error = check_mount(path ? path : o->dir, &answer);
	if (!error)
		error = check_dir(path ? path : o->dir, &answer);
	if (!error)
		error = check_owner(path ? path : o->dir, &answer);
	if (!error)
		error = check_device(&answer);
	if (!error)
		error = check_helper(o, &answer);
	if (!error && o->uring == TD_FUSE_URING_ON)
		error = check_uring(&answer);
	if (!error && !path)
		error = refuse(&answer, errno, "%s: %s", o->dir, strerror(errno));
	if (error)
		free(path);
	else
		*dir = path;
	return error;
}
