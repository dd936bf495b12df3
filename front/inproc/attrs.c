/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes, by path: find the vnode, do one thing to it, let it go.
 */
#include "inproc.h"

static int find(const struct td_task *t, const char *path, int flags, struct td__where *w)
{
	if (flags & ~AT_SYMLINK_NOFOLLOW)
		return -EINVAL;
	return td__walk(t, path, flags & AT_SYMLINK_NOFOLLOW ? 0 : TD__FOLLOW, w);
}

static int stat_once(const struct td_task *t, const char *path, int flags, struct td_vnode *out)
{
	struct td__where w;
	int err = find(t, path, flags, &w);

	if (err)
		return err;
	*out = w.v;
	td__walk_end(t, &w);
	return 0;
}

static int access_once(const struct td_task *t, const char *path, int mask)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where w;
	int err;

	if (mask & ~(R_OK | W_OK | X_OK))
		return -EINVAL;
	err = find(t, path, 0, &w);
	if (err)
		return err;
	if (mask)
		err = td_access(td__fs_of(t), &cred, w.v.handle, (uint32_t)mask);
	td__walk_end(t, &w);
	return err;
}

int td__chmod(const struct td_task *t, td_handle v, uint32_t mode)
{
	struct td_cred cred = td__cred_of(t, false);
	td_attr set = { .mode = mode & 07777 }, out;

	return td_setattr(td__fs_of(t), &cred, v, TD_SET_MODE, &set, &out);
}

static int chmod_once(const struct td_task *t, const char *path, uint32_t mode)
{
	struct td__where w;
	int err = find(t, path, 0, &w);

	if (err)
		return err;
	err = td__chmod(t, w.v.handle, mode);
	td__walk_end(t, &w);
	return err;
}

int td__chown(const struct td_task *t, td_handle v, uint32_t uid, uint32_t gid)
{
	struct td_cred cred = td__cred_of(t, false);
	td_attr set = { .uid = uid, .gid = gid }, out;
	uint32_t want = 0;

	if (uid != ~0u)
		want |= TD_SET_UID;
	if (gid != ~0u)
		want |= TD_SET_GID;
	return td_setattr(td__fs_of(t), &cred, v, want, &set, &out);
}

static int chown_once(const struct td_task *t, const char *path, uint32_t uid, uint32_t gid, int flags)
{
	struct td__where w;
	int err = find(t, path, flags, &w);

	if (err)
		return err;
	err = td__chown(t, w.v.handle, uid, gid);
	td__walk_end(t, &w);
	return err;
}

static int one_time(const struct timespec *from, struct td_time *to, uint32_t set, uint32_t now,
		    uint32_t *want)
{
	if (from->tv_nsec == UTIME_OMIT)
		return 0;
	if (from->tv_nsec == UTIME_NOW) {
		*want |= now;
		return 0;
	}
	if (from->tv_nsec < 0 || from->tv_nsec > 999999999)
		return -EINVAL;
	to->sec = from->tv_sec;
	to->nsec = (uint32_t)from->tv_nsec;
	*want |= set;
	return 0;
}

int td__utimens(const struct td_task *t, td_handle v, const struct timespec times[2])
{
	struct td_cred cred = td__cred_of(t, false);
	td_attr set = { 0 }, out;
	uint32_t want = 0;
	int err;

	if (times) {
		err = one_time(&times[0], &set.atime, TD_SET_ATIME, TD_SET_ATIME_NOW, &want);
		if (!err)
			err = one_time(&times[1], &set.mtime, TD_SET_MTIME, TD_SET_MTIME_NOW,
				       &want);
		if (err || !want)
			return err;
	} else {
		want = TD_SET_ATIME_NOW | TD_SET_MTIME_NOW;
	}
	return td_setattr(td__fs_of(t), &cred, v, want, &set, &out);
}

static int utimens_once(const struct td_task *t, const char *path, const struct timespec times[2],
		    int flags)
{
	struct td__where w;
	int err = find(t, path, flags, &w);

	if (err)
		return err;
	err = td__utimens(t, w.v.handle, times);
	td__walk_end(t, &w);
	return err;
}

/* Whoever calls has been found to be allowed to write. */
int td__truncate(const struct td_task *t, td_handle v, int64_t size)
{
	struct td_cred cred = td__cred_of(t, true);
	td_attr set = { .size = (uint64_t)size }, out;
	uint32_t want = TD_SET_SIZE;

	if (t->uid)
		want |= TD_SET_KILL_SUID;
	return td_setattr(td__fs_of(t), &cred, v, want, &set, &out);
}

static int truncate_once(const struct td_task *t, const char *path, int64_t size)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where w;
	int err;

	if (size < 0)
		return -EINVAL;
	err = find(t, path, 0, &w);
	if (err)
		return err;
	if (w.v.type != TD_REG)
		err = w.v.type == TD_DIR ? -EISDIR : -EINVAL;
	if (!err)
		err = td_access(td__fs_of(t), &cred, w.v.handle, W_OK);
	if (!err)
		err = td__truncate(t, w.v.handle, size);
	td__walk_end(t, &w);
	return err;
}

static int statfs_once(const struct td_task *t, const char *path, struct td_fsinfo *out)
{
	struct td__where w;
	int err = find(t, path, 0, &w);

	if (err)
		return err;
	err = td_statfs(td__fs_of(t), out);
	td__walk_end(t, &w);
	return err;
}

/* ---- Extended attributes */

static int xattr_name(const char *name, struct td_name *out)
{
	size_t len = strlen(name);

	if (!len || len > TD_NAME_MAX)
		return -ERANGE;
	*out = (struct td_name){ (const uint8_t *)name, (uint32_t)len };
	return 0;
}

/* No attribute and no list of them is longer than this: as Linux has it. */
static uint32_t xattr_size(size_t size)
{
	enum { XATTR_LIMIT = 65536 };

	return size > XATTR_LIMIT ? XATTR_LIMIT : (uint32_t)size;
}

static int getxattr_once(const struct td_task *t, const char *path, const char *name, void *value,
		     size_t size, int flags)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where w;
	struct td_name n;
	int err = xattr_name(name, &n);

	if (!err)
		err = find(t, path, flags, &w);
	if (err)
		return err;
	err = td_getxattr(td__fs_of(t), &cred, w.v.handle, n, value, xattr_size(size));
	td__walk_end(t, &w);
	return err;
}

static int setxattr_once(const struct td_task *t, const char *path, const char *name, const void *value,
		     size_t size, int how, int flags)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where w;
	struct td_name n;
	int err;

	if (how & ~(TD_XATTR_CREATE | TD_XATTR_REPLACE))
		return -EINVAL;
	err = xattr_name(name, &n);
	if (err)
		return err;
	if (size > xattr_size(size))
		return -E2BIG;
	err = find(t, path, flags, &w);
	if (err)
		return err;
	err = td_setxattr(td__fs_of(t), &cred, w.v.handle, n,
			  (struct td_in){ value, (uint32_t)size }, (uint32_t)how);
	td__walk_end(t, &w);
	return err;
}

static int listxattr_once(const struct td_task *t, const char *path, void *names, size_t size,
		      int flags)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where w;
	int err = find(t, path, flags, &w);

	if (err)
		return err;
	err = td_listxattr(td__fs_of(t), &cred, w.v.handle, names, xattr_size(size));
	td__walk_end(t, &w);
	return err;
}

static int removexattr_once(const struct td_task *t, const char *path, const char *name, int flags)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__where w;
	struct td_name n;
	int err = xattr_name(name, &n);

	if (!err)
		err = find(t, path, flags, &w);
	if (err)
		return err;
	err = td_removexattr(td__fs_of(t), &cred, w.v.handle, n);
	td__walk_end(t, &w);
	return err;
}

/* ---- As often as it takes, see TD__AGAIN. */

int td_path_stat(const struct td_task *t, const char *path, int flags, struct td_vnode *out)
{
	return TD__AGAIN(stat_once(t, path, flags, out));
}

int td_path_access(const struct td_task *t, const char *path, int mask)
{
	return TD__AGAIN(access_once(t, path, mask));
}

int td_path_chmod(const struct td_task *t, const char *path, uint32_t mode)
{
	return TD__AGAIN(chmod_once(t, path, mode));
}

int td_path_chown(const struct td_task *t, const char *path, uint32_t uid, uint32_t gid, int flags)
{
	return TD__AGAIN(chown_once(t, path, uid, gid, flags));
}

int td_path_utimens(const struct td_task *t, const char *path, const struct timespec times[2], int flags)
{
	return TD__AGAIN(utimens_once(t, path, times, flags));
}

int td_path_truncate(const struct td_task *t, const char *path, int64_t size)
{
	return TD__AGAIN(truncate_once(t, path, size));
}

int td_path_statfs(const struct td_task *t, const char *path, struct td_fsinfo *out)
{
	return TD__AGAIN(statfs_once(t, path, out));
}

int td_path_getxattr(const struct td_task *t, const char *path, const char *name, void *value, size_t size, int flags)
{
	return TD__AGAIN(getxattr_once(t, path, name, value, size, flags));
}

int td_path_setxattr(const struct td_task *t, const char *path, const char *name, const void *value, size_t size, int how, int flags)
{
	return TD__AGAIN(setxattr_once(t, path, name, value, size, how, flags));
}

int td_path_listxattr(const struct td_task *t, const char *path, void *names, size_t size, int flags)
{
	return TD__AGAIN(listxattr_once(t, path, names, size, flags));
}

int td_path_removexattr(const struct td_task *t, const char *path, const char *name, int flags)
{
	return TD__AGAIN(removexattr_once(t, path, name, flags));
}
