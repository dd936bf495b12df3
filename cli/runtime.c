/* SPDX-License-Identifier: BSD-2-Clause */
/* The runtime folder: see runtime.h. */
#include "runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static int name_folder(char folder[TD__RUNTIME_PATH], char *why, size_t size)
{
	const char *given = getenv("TADAN_RUNTIME_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");
	int n;

	if (given && *given)
		n = snprintf(folder, TD__RUNTIME_PATH, "%s", given);
	else if (!geteuid())
		n = snprintf(folder, TD__RUNTIME_PATH, "/run/tadan");
	else if (xdg && *xdg == '/')
		n = snprintf(folder, TD__RUNTIME_PATH, "%s/tadan", xdg);
	else
		n = snprintf(folder, TD__RUNTIME_PATH, "/tmp/tadan-%u", (unsigned)geteuid());
	if (folder[0] == '/' && n + sizeof("/0123456789abcdef.sock") <= TD__RUNTIME_PATH)
		return 0;
	snprintf(why, size,
		 "%s: the folder for control sockets needs an absolute path of at most %zu bytes: "
		 "set "
		 "TADAN_RUNTIME_DIR",
		 folder, TD__RUNTIME_PATH - sizeof("/0123456789abcdef.sock"));
	return -ENAMETOOLONG;
}

int td__runtime_folder(char folder[TD__RUNTIME_PATH], char *why, size_t size)
{
	struct stat st;
	int err = name_folder(folder, why, size);

	if (err)
		return err;
	if ((mkdir(folder, 0700) && errno != EEXIST) || lstat(folder, &st)) {
		err = -errno;
		snprintf(why, size,
			 "%s: the folder for control sockets cannot be made: %s; set "
			 "TADAN_RUNTIME_DIR "
			 "to one that can",
			 folder, strerror(errno));
		return err;
	}
	if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077))
		return 0;
	snprintf(why, size,
		 "%s: not a folder that only you can use, so control sockets are not safe there: "
		 "remove "
		 "it, or set TADAN_RUNTIME_DIR to another",
		 folder);
	return -EPERM;
}

/* FOLDER/HASH and an ending; of `name` the hash is taken. */
static int join(char path[TD__RUNTIME_PATH], const char *folder, const char *name,
		const char *ending)
{
	int n = snprintf(path, TD__RUNTIME_PATH, "%s/%.16s%s", folder, name, ending);

	return n < (int)TD__RUNTIME_PATH ? 0 : -ENAMETOOLONG;
}

/* FNV-1a over the path. */
static int name_files(const char *dir, struct td__runtime *r, char *why, size_t size)
{
	char folder[TD__RUNTIME_PATH];
	uint64_t hash = 0xcbf29ce484222325ull;
	int err = td__runtime_folder(folder, why, size);
	char name[17];

	if (err)
		return err;
	for (const char *p = dir; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 0x100000001b3ull;
	snprintf(name, sizeof(name), "%016llx", (unsigned long long)hash);
	err = join(r->lock, folder, name, ".lock");
	return err ? err : join(r->socket, folder, name, ".sock");
}

/* ---- The lock. It belongs to the process, so that a child cannot keep it alive. */

/* 0, -EAGAIN: somebody else has it, or another error. On success r->fd is open and r->lock is its name. */
static int try_lock(struct td__runtime *r, int make)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat open_file, named;

	r->fd = open(r->lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0), 0600);
	if (r->fd < 0)
		return -errno;
	if (fcntl(r->fd, F_SETLK, &lock)) {
		close(r->fd);
		return -EAGAIN;
	}
	/* It may have been removed between open and lock, and another made. */
	if (!fstat(r->fd, &open_file) && !stat(r->lock, &named) && open_file.st_ino == named.st_ino)
		return 0;
	close(r->fd);
	return -ESTALE;
}

static int write_entry(int fd, const char *dir)
{
	return ftruncate(fd, 0) || dprintf(fd, "%d\n%s", (int)getpid(), dir) < 0 ? -errno : 0;
}

int td__runtime_take(const char *dir, struct td__runtime *r, char *why, size_t size)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int err = name_files(dir, r, why, size);

	if (err)
		return err;
	/* Who finds the remains of a dead server has the lock for a moment. */
	for (int i = 0; i < 25; i++) {
		err = try_lock(r, 1);
		if (err != -EAGAIN && err != -ESTALE)
			break;
		nanosleep(&pause, NULL);
	}
	if (!err)
		err = write_entry(r->fd, dir);
	if (!err)
		return 0;
	if (err == -EAGAIN || err == -ESTALE) {
		snprintf(why, size,
			 "%s: another `tadan mount` has it or is about to: see `tadan status`",
			 dir);
		return -EBUSY;
	}
	snprintf(why, size, "%s: %s", r->lock, strerror(-err));
	return err;
}

void td__runtime_give_back(struct td__runtime *r)
{
	unlink(r->socket);
	unlink(r->lock);
	close(r->fd);
}

void td__runtime_clear(const char *dir)
{
	struct td__runtime r;
	char why[TD__CLI_WHY];

	if (!name_files(dir, &r, why, sizeof(why)) && !try_lock(&r, 0))
		td__runtime_give_back(&r);
}

/* ---- Looking */

static int is_locked(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return !fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK;
}

/* 1 if the file tells of a mount. */
static int read_entry(const struct td__runtime *r, struct td__runtime_entry *out)
{
	char text[PATH_MAX + 32], *dir = NULL;
	int fd = open(r->lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	memset(out, 0, sizeof(*out));
	if (n > 0) {
		text[n] = 0;
		dir = strchr(text, '\n');
		out->alive = is_locked(fd);
	}
	if (fd >= 0)
		close(fd);
	strcpy(out->socket, r->socket);
	out->dir = dir && dir[1] == '/' ? strdup(dir + 1) : NULL;
	return out->dir != NULL;
}

int td__runtime_find(const char *dir, struct td__runtime_entry *out)
{
	struct td__runtime r;
	char why[TD__CLI_WHY];

	return !name_files(dir, &r, why, sizeof(why)) && read_entry(&r, out);
}

static int by_dir(const void *a, const void *b)
{
	return strcmp(((const struct td__runtime_entry *)a)->dir,
		      ((const struct td__runtime_entry *)b)->dir);
}

/* 0: nothing is left of it. */
static int worth_showing(const struct td__runtime_entry *e)
{
	struct td__cli_mounted m;

	return e->alive || (td__cli_mounted(e->dir, &m) && td__cli_is_ours(&m));
}

/* One name in the folder; 1 if it is a mount. */
static int look_at(const char *folder, const char *name, struct td__runtime_entry *out)
{
	struct td__runtime r;
	size_t len = strlen(name);

	if (len != 21 || strcmp(name + 16, ".lock"))
		return 0;
	if (join(r.lock, folder, name, ".lock") || join(r.socket, folder, name, ".sock") ||
	    !read_entry(&r, out))
		return 0;
	if (worth_showing(out))
		return 1;
	td__runtime_clear(out->dir);
	free(out->dir);
	return 0;
}

struct td__runtime_entry *td__runtime_list(size_t *n)
{
	struct td__runtime_entry *list = NULL, entry;
	char folder[TD__RUNTIME_PATH], why[TD__CLI_WHY];
	struct dirent *d;
	DIR *dir;

	*n = 0;
	if (td__runtime_folder(folder, why, sizeof(why))) {
		td__cli_error("%s", why);
		return NULL;
	}
	dir = opendir(folder);
	while (dir && (d = readdir(dir))) {
		if (!look_at(folder, d->d_name, &entry))
			continue;
		list = reallocarray(list, *n + 1, sizeof(*list));
		if (!list)
			break;
		list[(*n)++] = entry;
	}
	if (dir)
		closedir(dir);
	if (list)
		qsort(list, *n, sizeof(*list), by_dir);
	return list;
}

void td__runtime_free(struct td__runtime_entry *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(entries[i].dir);
	free(entries);
}
