/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that make, move and remove names. The kernel decides about permissions and about the names
 * themselves; here stands what a path adds: ".", "..", the root, and slashes at the end, which say
 * that the name is a directory's.
 */
#include "inproc.h"

/* Where a new name can be made; `dir`: slashes at the end are fine, since a directory is made. */
static int walk_new(const struct td_task *t, const char *path, bool dir, struct td__where *w)
{
	int err = td__walk(t, path, TD__PARENT, w);

	if (err)
		return err;
	if (w->last != TD__LAST_NAME) {
		err = -EEXIST;
	} else if (w->slash && !dir) {
		err = td__walk_last(t, w);
		if (!err)
			err = -EEXIST;
	}
	if (err)
		td__walk_end(t, w);
	return err;
}

/* What one new name makes, the same for all types. */
static int make(const struct td_task *t, const char *path, uint32_t type, uint32_t mode,
		uint32_t rdev, struct td_in target)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where w;
	td_attr made;
	int err;

	err = walk_new(t, path, type == TD_DIR, &w);
	if (err)
		return err;
	err = td_make(td__fs_of(t), &cred, w.dir, w.name, type, mode, rdev, target, &made);
	if (!err)
		td_forget(td__fs_of(t), made.handle, 1);
	td__walk_end(t, &w);
	return err;
}

static int mkdir_once(const struct td_task *t, const char *path, uint32_t mode)
{
	return make(t, path, TD_DIR, mode & 01777 & ~t->umask, 0, (struct td_in){ 0, 0 });
}

static int mknod_once(const struct td_task *t, const char *path, uint32_t mode, uint32_t rdev)
{
	uint32_t type;

	switch (mode & S_IFMT) {
	case 0:
	case S_IFREG: type = TD_REG; break;
	case S_IFIFO: type = TD_FIFO; break;
	case S_IFSOCK: type = TD_SOCK; break;
	case S_IFCHR: type = TD_CHR; break;
	case S_IFBLK: type = TD_BLK; break;
	case S_IFDIR: return -EPERM;
	default: return -EINVAL;
	}
	if (type != TD_CHR && type != TD_BLK)
		rdev = 0;
	else if (t->uid)
		return -EPERM;
	return make(t, path, type, mode & 07777 & ~t->umask, rdev, (struct td_in){ 0, 0 });
}

static int symlink_once(const struct td_task *t, const char *target, const char *path)
{
	size_t len = strlen(target);

	if (!len)
		return -ENOENT;
	if (len > TD_PATH_MAX)
		return -ENAMETOOLONG;
	return make(t, path, TD_LNK, 0777, 0, (struct td_in){ target, (uint32_t)len });
}

static int readlink_once(const struct td_task *t, const char *path, void *target, size_t size)
{
	struct td__where w;
	char text[TD_PATH_MAX];
	int n;

	if (!size)
		return -EINVAL;
	n = td__walk(t, path, 0, &w);
	if (n)
		return n;
	n = w.v.type == TD_LNK ? td_readlink(td__fs_of(t), w.v.handle, text, sizeof(text))
			       : -EINVAL;
	td__walk_end(t, &w);
	if (n > 0) {
		n = (size_t)n > size ? (int)size : n;
		memcpy(target, text, (size_t)n);
	}
	return n;
}

static int link_once(const struct td_task *t, const char *old, const char *path, int flags)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where from, to;
	td_attr made;
	int err;

	if (flags & ~AT_SYMLINK_FOLLOW)
		return -EINVAL;
	err = td__walk(t, old, flags & AT_SYMLINK_FOLLOW ? TD__FOLLOW : 0, &from);
	if (err)
		return err;
	err = walk_new(t, path, false, &to);
	if (!err) {
		err = td_link(td__fs_of(t), &cred, from.v.handle, to.dir, to.name, &made);
		if (!err)
			td_forget(td__fs_of(t), made.handle, 1);
		td__walk_end(t, &to);
	}
	td__walk_end(t, &from);
	return err;
}

static int fd_link_once(const struct td_task *t, struct td__file *f, const char *path)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where to;
	td_attr made;
	int err = walk_new(t, path, false, &to);

	if (err)
		return err;
	err = (f->flags & O_TMPFILE) == O_TMPFILE && f->flags & O_EXCL ?
		      -ENOENT :
		      td_link(td__fs_of(t), &cred, f->handle, to.dir, to.name, &made);
	if (!err)
		td_forget(td__fs_of(t), made.handle, 1);
	td__walk_end(t, &to);
	return err;
}

static int unlink_once(const struct td_task *t, const char *path)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where w;
	int err;

	err = td__walk(t, path, TD__PARENT, &w);
	if (err)
		return err;
	if (w.last != TD__LAST_NAME) {
		err = -EISDIR;
	} else if (w.slash) {
		err = td__walk_last(t, &w);
		if (!err)
			err = w.v.type == TD_DIR ? -EISDIR : -ENOTDIR;
	} else {
		err = td_unlink(td__fs_of(t), &cred, w.dir, w.name);
	}
	td__walk_end(t, &w);
	return err;
}

static int rmdir_once(const struct td_task *t, const char *path)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where w;
	int err;

	err = td__walk(t, path, TD__PARENT, &w);
	if (err)
		return err;
	switch (w.last) {
	case TD__LAST_NAME: err = td_rmdir(td__fs_of(t), &cred, w.dir, w.name); break;
	case TD__LAST_DOT: err = -EINVAL; break;
	case TD__LAST_DOTDOT: err = -ENOTEMPTY; break;
	case TD__LAST_ROOT: err = -EBUSY; break;
	}
	td__walk_end(t, &w);
	return err;
}

/* Slashes at the end of either name are for directories only. */
static int check_slashes(const struct td_task *t, struct td__where *from, struct td__where *to,
			 uint32_t flags)
{
	int err;

	if (!from->slash && !to->slash)
		return 0;
	err = td__walk_last(t, from);
	if (err)
		return err;
	if (flags & TD_RENAME_NOREPLACE && !td__walk_last(t, to))
		return -EEXIST;
	if (flags & TD_RENAME_EXCHANGE) {
		err = td__walk_last(t, to);
		if (err)
			return err;
		if (to->slash && to->v.type != TD_DIR)
			return -ENOTDIR;
		return from->slash && from->v.type != TD_DIR ? -ENOTDIR : 0;
	}
	return from->v.type != TD_DIR ? -ENOTDIR : 0;
}

static int rename_once(const struct td_task *t, const char *old, const char *path, uint32_t flags)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where from, to;
	int err;

	if (flags & ~(uint32_t)(TD_RENAME_NOREPLACE | TD_RENAME_EXCHANGE | TD_RENAME_WHITEOUT) ||
	    (flags & TD_RENAME_EXCHANGE && flags != TD_RENAME_EXCHANGE))
		return -EINVAL;
	err = td__walk(t, old, TD__PARENT, &from);
	if (err)
		return err;
	err = td__walk(t, path, TD__PARENT, &to);
	if (err)
		goto out;
	if (from.last != TD__LAST_NAME)
		err = -EBUSY;
	else if (to.last != TD__LAST_NAME)
		err = flags & TD_RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	else
		err = check_slashes(t, &from, &to, flags);
	if (!err)
		err = td_rename(td__fs_of(t), &cred, from.dir, from.name, to.dir, to.name, flags);
	td__walk_end(t, &to);
out:
	td__walk_end(t, &from);
	return err;
}

/* ---- As often as it takes, see TD__AGAIN. */

int td_path_mkdir(const struct td_task *t, const char *path, uint32_t mode)
{
	return TD__AGAIN(mkdir_once(t, path, mode));
}

int td_path_mknod(const struct td_task *t, const char *path, uint32_t mode, uint32_t rdev)
{
	return TD__AGAIN(mknod_once(t, path, mode, rdev));
}

int td_path_symlink(const struct td_task *t, const char *target, const char *path)
{
	return TD__AGAIN(symlink_once(t, target, path));
}

int td_path_readlink(const struct td_task *t, const char *path, void *target, size_t size)
{
	return TD__AGAIN(readlink_once(t, path, target, size));
}

int td_path_link(const struct td_task *t, const char *old, const char *path, int flags)
{
	return TD__AGAIN(link_once(t, old, path, flags));
}

int td_fd_link(const struct td_task *t, int fd, const char *path)
{
	struct td__file *f = td__file_get(t->volume, fd);
	int err;

	if (!f)
		return -EBADF;
	err = TD__AGAIN(fd_link_once(t, f, path));
	td__file_put(t->volume, f);
	return err;
}

int td_path_unlink(const struct td_task *t, const char *path)
{
	return TD__AGAIN(unlink_once(t, path));
}

int td_path_rmdir(const struct td_task *t, const char *path)
{
	return TD__AGAIN(rmdir_once(t, path));
}

int td_path_rename(const struct td_task *t, const char *old, const char *path, uint32_t flags)
{
	return TD__AGAIN(rename_once(t, old, path, flags));
}
