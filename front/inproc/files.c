/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors: the table, opening and closing.
 *
 * The table owns one reference to each open file, each call that uses one another; the last to let go
 * releases the vnode. So a descriptor may be closed while another thread still reads through it.
 */
#include "inproc.h"

enum { FILES_LIMIT = 1 << 20 };

/* ---- The table */

struct td__file *td__file_get(struct td_volume *vol, int fd)
{
	struct td__file *f = NULL;

	pthread_mutex_lock(&vol->lock);
	if (fd >= 0 && (uint32_t)fd < vol->nfiles)
		f = vol->files[fd];
	if (f)
		__atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&vol->lock);
	return f;
}

void td__file_put(struct td_volume *vol, struct td__file *f)
{
	if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL))
		return;
	td_release(vol->fs, f->handle);
	td_forget(vol->fs, f->handle, 1);
	pthread_mutex_destroy(&f->pos);
	free(f->entries);
	free(f);
}

/* Room for one more; the lock is held. */
static int grow(struct td_volume *vol)
{
	uint32_t n = vol->nfiles ? vol->nfiles * 2 : 64;
	struct td__file **files;

	if (n > FILES_LIMIT)
		return -EMFILE;
	files = realloc(vol->files, n * sizeof(*files));
	if (!files)
		return -ENOMEM;
	memset(files + vol->nfiles, 0, (n - vol->nfiles) * sizeof(*files));
	vol->files = files;
	vol->nfiles = n;
	return 0;
}

/* The lowest free descriptor becomes f's. */
static int install(struct td_volume *vol, struct td__file *f)
{
	int fd, err = 0;

	pthread_mutex_lock(&vol->lock);
	while (vol->lowest < vol->nfiles && vol->files[vol->lowest])
		vol->lowest++;
	if (vol->lowest == vol->nfiles)
		err = grow(vol);
	fd = (int)vol->lowest;
	if (!err)
		vol->files[vol->lowest++] = f;
	pthread_mutex_unlock(&vol->lock);
	return err ? err : fd;
}

int td_fd_close(const struct td_task *t, int fd)
{
	struct td_volume *vol = t->volume;
	struct td__file *f = NULL;
	int err;

	pthread_mutex_lock(&vol->lock);
	if (fd >= 0 && (uint32_t)fd < vol->nfiles)
		f = vol->files[fd];
	if (f) {
		vol->files[fd] = NULL;
		if ((uint32_t)fd < vol->lowest)
			vol->lowest = (uint32_t)fd;
	}
	pthread_mutex_unlock(&vol->lock);
	if (!f)
		return -EBADF;
	err = f->type == TD_REG ? td_flush(vol->fs, f->handle) : 0;
	if (!err)
		err = td_unwritten_since(vol->fs, f->handle, &f->seen);
	td__file_put(vol, f);
	return err;
}

void td__files_close(struct td_volume *vol)
{
	for (uint32_t i = 0; i < vol->nfiles; i++)
		if (vol->files[i])
			td__file_put(vol, vol->files[i]);
	free(vol->files);
	vol->files = NULL;
	vol->nfiles = 0;
}

int td_fd_handle(const struct td_task *t, int fd, uint64_t *handle)
{
	struct td__file *f = td__file_get(t->volume, fd);

	if (!f)
		return -EBADF;
	*handle = f->handle;
	td__file_put(t->volume, f);
	return 0;
}

/* ---- Opening */

/* What the flags ask for, as td_access() takes it. */
static uint32_t access_of(int flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY: return flags & O_TRUNC ? R_OK | W_OK : R_OK;
	case O_WRONLY: return W_OK;
	default: return R_OK | W_OK;
	}
}

/* May what the name stands for be opened in this way? */
static int may_open(const struct td_task *t, const td_attr *v, int flags)
{
	struct td_cred cred = td__cred_of(t, false);
	uint32_t mask = access_of(flags);
	int err;

	if (v->type == TD_LNK)
		return flags & O_DIRECTORY ? -ENOTDIR : -ELOOP;
	if (v->type == TD_DIR && (flags & O_CREAT || mask & W_OK))
		return -EISDIR;
	if (v->type != TD_DIR && flags & O_DIRECTORY)
		return -ENOTDIR;
	err = td_access(td__fs_of(t), &cred, v->handle, mask);
	if (err)
		return err;
	return v->type == TD_REG || v->type == TD_DIR ? 0 : -ENXIO;
}

static uint32_t open_mode(int flags)
{
	return ((flags & O_ACCMODE) != O_WRONLY ? TD_OPEN_READ : 0) | ((flags & O_ACCMODE) != O_RDONLY ? TD_OPEN_WRITE : 0);
}

/* A descriptor for the vnode that the walk found or made, which is open; its reference becomes the file's, whose end calls td_release(). */
static int describe(const struct td_task *t, struct td__where *w, int flags)
{
	struct td__file *f = calloc(1, sizeof(*f));
	int fd;

	if (!f) {
		td_release(td__fs_of(t), w->v.handle);
		return -ENOMEM;
	}
	f->refs = 1;
	f->type = w->v.type;
	f->flags = flags;
	f->handle = w->v.handle;
	f->seen = td_unwritten_sample(td__fs_of(t), f->handle);
	pthread_mutex_init(&f->pos, NULL);
	w->found = false;
	fd = install(t->volume, f);
	if (fd < 0)
		td__file_put(t->volume, f);
	return fd;
}

static int open_vnode(const struct td_task *t, struct td__where *w, int flags)
{
	struct td_cred cred = td__cred_of(t, true);
	int err = td_open(td__fs_of(t), &cred, w->v.handle, open_mode(flags));

	return err < 0 ? err : describe(t, w, flags);
}

static int open_old(const struct td_task *t, struct td__where *w, int flags)
{
	int err, fd;

	if (flags & O_CREAT && flags & O_EXCL)
		return -EEXIST;
	err = may_open(t, &w->v, flags);
	if (err)
		return err;
	fd = open_vnode(t, w, flags);
	if (fd < 0 || !(flags & O_TRUNC))
		return fd;
	err = td__truncate(t, w->v.handle, 0);
	if (err) {
		td_fd_close(t, fd);
		return err;
	}
	return fd;
}

static int open_new(const struct td_task *t, struct td__where *w, int flags, uint32_t mode)
{
	struct td_cred cred = td__cred_of(t, false);
	int err;

	if (!(flags & O_CREAT))
		return -ENOENT;
	if (w->slash)
		return -EISDIR;
	err = td_create(td__fs_of(t), &cred, w->dir, w->name, mode & 07777 & ~t->umask,
			open_mode(flags) | (flags & O_EXCL ? TD_OPEN_EXCL : 0), &w->v);
	if (err)
		return err;
	w->found = true;
	return describe(t, w, flags);
}

/* The file's name, if it ever has one, is td_fd_link()'s. */
static int open_nameless(const struct td_task *t, const char *path, int flags, uint32_t mode)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where w;
	td_attr made;
	int fd;

	if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	fd = td__walk(t, path, TD__FOLLOW, &w);
	if (fd)
		return fd;
	fd = td_tmpfile(td__fs_of(t), &cred, w.v.handle, mode & 07777 & ~t->umask, &made);
	if (!fd) {
		td_forget(td__fs_of(t), w.v.handle, 1);
		w.v = made;
		fd = open_vnode(t, &w, flags);
	}
	td__walk_end(t, &w);
	return fd;
}

/* A name that is to be created and ends in a slash can only be wrong: how depends on what leads there. */
static int slash_at_end(const struct td_task *t, const char *path)
{
	struct td__where w;
	int err = td__walk(t, path, TD__PARENT, &w);

	if (err)
		return err;
	td__walk_end(t, &w);
	return -EISDIR;
}

static int open_once(const struct td_task *t, const char *path, int flags, uint32_t mode)
{
	bool excl = flags & O_CREAT && flags & O_EXCL;
	struct td__where w;
	int fd;

	if (flags & O_PATH)
		return -EOPNOTSUPP;
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return open_nameless(t, path, flags, mode);
	if ((flags & O_ACCMODE) == O_ACCMODE || (flags & O_CREAT && flags & O_DIRECTORY))
		return -EINVAL;
	if (flags & O_CREAT && *path && path[strlen(path) - 1] == '/')
		return slash_at_end(t, path);
	for (;;) {
		fd = td__walk_maybe(t, path, excl || flags & O_NOFOLLOW ? 0 : TD__FOLLOW, &w);
		if (fd)
			return fd;
		fd = w.found ? open_old(t, &w, flags) : open_new(t, &w, flags, mode);
		td__walk_end(t, &w);
		/* Somebody else made it meanwhile: then open that. */
		if (fd != -EEXIST || excl)
			return fd;
	}
}

/* ---- As often as it takes, see TD__AGAIN. */

int td_path_open(const struct td_task *t, const char *path, int flags, uint32_t mode)
{
	return TD__AGAIN(open_once(t, path, flags, mode));
}
