/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tests' calls on a volume in this process, of 128 MiB, in memory or in an image file.
 */
#include "fsapi.h"

#include <dirent.h>
#include <pthread.h>

#include "tadan.h"
#include "../crash/sound.h"

enum { VOLUME_SIZE = 128 << 20, GROUPS = 8 };

static struct td_volume *volume;
static mode_t mask;
static int cwd = TD_CWD_ROOT;
static char where[4096]; /* cwd, from the root, without the first slash */

static _Thread_local uint32_t uid, gid, ngroups, groups[GROUPS];

#define ME (&(struct td_task){ volume, uid, gid, ngroups, mask, groups, cwd })

static struct td_volume_params params = { .size = VOLUME_SIZE, .format = 1 };
static char image[4096]; /* made for this run, and removed at its end */

static int make_image(char *why, size_t size)
{
	const char *tmp = getenv("TMPDIR");
	int fd;

	snprintf(image, sizeof(image), "%s/conformance.XXXXXX", tmp ? tmp : "/tmp");
	fd = mkstemp(image);
	if (fd < 0) {
		snprintf(why, size, "%s: %s", image, strerror(errno));
		return -errno;
	}
	close(fd);
	params.image = image;
	params.cache = 16 << 20; /* so that blocks are evicted, too */
	return 0;
}

/* ---- Moving to and fro between two levels while the tests run */

enum { STAY_MS = 20 };

static struct {
	pthread_t thread;
	pthread_mutex_t gate; /* held by whoever needs the volume to stay the same one */
	const char *levels[2];
	bool on, stop;
	unsigned moves, failures;
	char why[256];
} mover = { .gate = PTHREAD_MUTEX_INITIALIZER };

static void *move(void *arg)
{
	struct timespec nap = { 0, STAY_MS * 1000000 };

	for (unsigned i = 1; !__atomic_load_n(&mover.stop, __ATOMIC_RELAXED); i++) {
		nanosleep(&nap, NULL);
		pthread_mutex_lock(&mover.gate);
		if (td_volume_level(volume, mover.levels[i % 2], NULL, mover.why,
				    sizeof(mover.why)))
			mover.failures++;
		else
			mover.moves++;
		pthread_mutex_unlock(&mover.gate);
	}
	return arg;
}

static int start_moving(const struct options *o, char *why, size_t size)
{
	int err = td_volume_level(volume, o->also, NULL, why, size);

	if (err)
		return err;
	mover.levels[0] = o->level;
	mover.levels[1] = o->also;
	mover.on = !pthread_create(&mover.thread, NULL, move, NULL);
	return mover.on ? 0 : -EAGAIN;
}

static void stop_moving(void)
{
	if (!mover.on)
		return;
	__atomic_store_n(&mover.stop, true, __ATOMIC_RELAXED);
	pthread_join(mover.thread, NULL);
	fprintf(stderr, "moved %u times between %s and %s\n", mover.moves, mover.levels[0],
		mover.levels[1]);
	if (mover.failures) {
		fprintf(stderr, "FAIL %u moves failed: %s\n", mover.failures, mover.why);
		exit(1);
	}
}

/* ---- Life of the volume */

static int start(const struct options *o, char *why, size_t size)
{
	int err = o->on_image ? make_image(why, size) : 0;

	if (err)
		return err;
	params.module = o->module;
	params.level = o->level;
	params.server = o->server;
	params.options = o->mount_options;
	err = td_volume_open(&params, &volume, why, size);
	if (!err)
		err = td_path_chmod(ME, "/", 0777);
	if (!err && o->also)
		err = start_moving(o, why, size);
	if (err && volume)
		td_volume_close(volume);
	if (err && params.image)
		unlink(image);
	return err;
}

/* A server's files may be others' as well, and its disk is. */
static bool own(void)
{
	return !params.server;
}

static void stop(void)
{
	int err;

	stop_moving();
	err = td_volume_close(volume);
	if (err)
		fprintf(stderr, "closing the volume: %s\n", strerror(-err));
	if (params.image)
		unlink(image);
}

static int remount(void)
{
	char why[256];
	int err;

	if (!params.image)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&mover.gate);
	err = td_volume_close(volume);
	if (!err)
		err = td_volume_open(&params, &volume, why, sizeof(why));
	pthread_mutex_unlock(&mover.gate);
	if (err) {
		fprintf(stderr, "conformance: the volume is lost: %s\n", strerror(-err));
		exit(1);
	}
	cwd = TD_CWD_ROOT;
	if (*where)
		cwd = td_path_open(ME, where, O_RDONLY | O_DIRECTORY, 0);
	return *where && cwd < 0 ? cwd : 0;
}

/* What the tests left on an image is sound, all of them; of a device in memory it would be too much to ask after each. */
static void check_image(char *why, size_t size)
{
	const char *wrong;

	if (!params.image)
		return;
	pthread_mutex_lock(&mover.gate);
	wrong = sound(td_volume_fs(volume));
	pthread_mutex_unlock(&mover.gate);
	if (wrong)
		snprintf(why, size, "%s", wrong);
}

static bool yes(void)
{
	return true;
}

static int as(uid_t u, gid_t g, int n, const gid_t *list)
{
	uid = u;
	gid = g;
	ngroups = (uint32_t)n;
	for (int i = 0; i < n && i < GROUPS; i++)
		groups[i] = list[i];
	return 0;
}

static void set_umask(mode_t m)
{
	mask = m;
}

static int enter(const char *path)
{
	int fd = path ? td_path_open(ME, path, O_RDONLY | O_DIRECTORY, 0) : TD_CWD_ROOT;
	size_t used = path ? strlen(where) : 0;

	if (path && fd < 0)
		return fd;
	if (cwd != TD_CWD_ROOT)
		td_fd_close(ME, cwd);
	cwd = fd;
	snprintf(where + used, sizeof(where) - used, path ? "/%s" : "", path);
	return 0;
}

static void absolute(const char *path, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", where, path);
}

static const mode_t types[] = {
	[TD_REG] = S_IFREG, [TD_DIR] = S_IFDIR,	 [TD_LNK] = S_IFLNK,   [TD_CHR] = S_IFCHR,
	[TD_BLK] = S_IFBLK, [TD_FIFO] = S_IFIFO, [TD_SOCK] = S_IFSOCK,
};

static struct timespec time_of(struct td_time t)
{
	return (struct timespec){ .tv_sec = t.sec, .tv_nsec = t.nsec };
}

static int show(int err, const struct td_vnode *v, struct stat *st)
{
	if (err)
		return err;
	memset(st, 0, sizeof(*st));
	st->st_ino = v->fid;
	st->st_mode = types[v->type] | v->mode;
	st->st_nlink = v->nlink;
	st->st_uid = v->uid;
	st->st_gid = v->gid;
	st->st_rdev = v->rdev;
	st->st_size = (off_t)v->size;
	st->st_blocks = (blkcnt_t)v->blocks;
	st->st_atim = time_of(v->atime);
	st->st_mtim = time_of(v->mtime);
	st->st_ctim = time_of(v->ctime);
	return 0;
}

/* ---- Names */

static int i_mkdir(const char *path, mode_t mode)
{
	return td_path_mkdir(ME, path, mode);
}

static int i_mknod(const char *path, mode_t mode, dev_t dev)
{
	return td_path_mknod(ME, path, mode, (uint32_t)dev);
}

static int i_symlink(const char *target, const char *path)
{
	return td_path_symlink(ME, target, path);
}

static int i_readlink(const char *path, void *target, size_t size)
{
	return td_path_readlink(ME, path, target, size);
}

static int i_link(const char *old, const char *path, int flags)
{
	return td_path_link(ME, old, path, flags);
}

static int i_flink(int fd, const char *path)
{
	return td_fd_link(ME, fd, path);
}

static int i_unlink(const char *path)
{
	return td_path_unlink(ME, path);
}

static int i_rmdir(const char *path)
{
	return td_path_rmdir(ME, path);
}

static int i_rename(const char *old, const char *path, unsigned flags)
{
	return td_path_rename(ME, old, path, flags);
}

/* ---- Attributes */

static int i_stat(const char *path, struct stat *st)
{
	struct td_vnode v;

	return show(td_path_stat(ME, path, 0, &v), &v, st);
}

static int i_lstat(const char *path, struct stat *st)
{
	struct td_vnode v;

	return show(td_path_stat(ME, path, AT_SYMLINK_NOFOLLOW, &v), &v, st);
}

static int i_access(const char *path, int m)
{
	return td_path_access(ME, path, m);
}

static int i_chmod(const char *path, mode_t mode)
{
	return td_path_chmod(ME, path, mode);
}

static int i_chown(const char *path, uid_t u, gid_t g)
{
	return td_path_chown(ME, path, u, g, 0);
}

static int i_lchown(const char *path, uid_t u, gid_t g)
{
	return td_path_chown(ME, path, u, g, AT_SYMLINK_NOFOLLOW);
}

static int i_utimens(const char *path, const struct timespec times[2], int flags)
{
	return td_path_utimens(ME, path, times, flags);
}

static int i_truncate(const char *path, int64_t size)
{
	return td_path_truncate(ME, path, size);
}

static int i_statvfs(struct statvfs *st)
{
	struct td_fsinfo info;
	int err = td_path_statfs(ME, "/", &info);

	if (err)
		return err;
	memset(st, 0, sizeof(*st));
	st->f_bsize = st->f_frsize = info.bsize;
	st->f_blocks = info.blocks;
	st->f_bfree = st->f_bavail = info.bfree;
	st->f_files = info.files;
	st->f_ffree = st->f_favail = info.ffree;
	st->f_namemax = info.namemax;
	return 0;
}

static int i_getxattr(const char *path, const char *name, void *value, size_t size)
{
	return td_path_getxattr(ME, path, name, value, size, 0);
}

static int i_setxattr(const char *path, const char *name, const void *value, size_t size, int how)
{
	return td_path_setxattr(ME, path, name, value, size, how, 0);
}

static int i_lsetxattr(const char *path, const char *name, const void *value, size_t size, int how)
{
	return td_path_setxattr(ME, path, name, value, size, how, AT_SYMLINK_NOFOLLOW);
}

static int i_listxattr(const char *path, char *names, size_t size)
{
	return td_path_listxattr(ME, path, names, size, 0);
}

static int i_removexattr(const char *path, const char *name)
{
	return td_path_removexattr(ME, path, name, 0);
}

/* ---- Descriptors */

static int i_open(const char *path, int flags, mode_t mode)
{
	return td_path_open(ME, path, flags, mode);
}

static int i_close(int fd)
{
	return td_fd_close(ME, fd);
}

static void i_close_all(void)
{
	enum { MOST = 4096 };

	for (int fd = 0; fd < MOST; fd++)
		if (fd != cwd)
			td_fd_close(ME, fd);
}

static int64_t i_read(int fd, void *data, size_t len)
{
	return td_fd_read(ME, fd, data, len);
}

static int64_t i_write(int fd, const void *data, size_t len)
{
	return td_fd_write(ME, fd, data, len);
}

static int64_t i_pread(int fd, void *data, size_t len, int64_t off)
{
	return td_fd_pread(ME, fd, data, len, off);
}

static int64_t i_pwrite(int fd, const void *data, size_t len, int64_t off)
{
	return td_fd_pwrite(ME, fd, data, len, off);
}

static int64_t i_lseek(int fd, int64_t off, int whence)
{
	return td_fd_lseek(ME, fd, off, whence);
}

static int i_ftruncate(int fd, int64_t size)
{
	return td_fd_truncate(ME, fd, size);
}

static int i_fallocate(int fd, int mode, int64_t off, int64_t len)
{
	return td_fd_fallocate(ME, fd, (uint32_t)mode, off, len);
}

static int i_fsync(int fd)
{
	return td_fd_sync(ME, fd);
}

static int i_fstat(int fd, struct stat *st)
{
	struct td_vnode v;

	return show(td_fd_stat(ME, fd, &v), &v, st);
}

static int i_fchmod(int fd, mode_t mode)
{
	return td_fd_chmod(ME, fd, mode);
}

static int i_fchown(int fd, uid_t u, gid_t g)
{
	return td_fd_chown(ME, fd, u, g);
}

static int i_futimens(int fd, const struct timespec times[2])
{
	return td_fd_utimens(ME, fd, times);
}

static int i_readdir(int fd, struct dent *out, int max)
{
	struct td_entry e;
	int n, got;

	for (n = 0; n < max; n++) {
		got = td_fd_readdir(ME, fd, &e);
		if (got < 0)
			return got;
		if (!got)
			break;
		out[n].ino = e.fid;
		out[n].cookie = (int64_t)e.cookie;
		out[n].type = types[e.type];
		memcpy(out[n].name, e.name, e.len + 1);
	}
	return n;
}

const struct fsapi inproc_api = {
	.start = start,
	.stop = stop,
	.remount = remount,
	.sound = check_image,
	.is_root = yes,
	.own = own,
	.as = as,
	.umask = set_umask,
	.enter = enter,
	.absolute = absolute,
	.mkdir = i_mkdir,
	.mknod = i_mknod,
	.symlink = i_symlink,
	.readlink = i_readlink,
	.link = i_link,
	.flink = i_flink,
	.unlink = i_unlink,
	.rmdir = i_rmdir,
	.rename = i_rename,
	.stat = i_stat,
	.lstat = i_lstat,
	.access = i_access,
	.chmod = i_chmod,
	.chown = i_chown,
	.lchown = i_lchown,
	.utimens = i_utimens,
	.truncate = i_truncate,
	.statvfs = i_statvfs,
	.getxattr = i_getxattr,
	.setxattr = i_setxattr,
	.lsetxattr = i_lsetxattr,
	.listxattr = i_listxattr,
	.removexattr = i_removexattr,
	.open = i_open,
	.close = i_close,
	.close_all = i_close_all,
	.read = i_read,
	.write = i_write,
	.pread = i_pread,
	.pwrite = i_pwrite,
	.lseek = i_lseek,
	.ftruncate = i_ftruncate,
	.fallocate = i_fallocate,
	.fsync = i_fsync,
	.fstat = i_fstat,
	.fchmod = i_fchmod,
	.fchown = i_fchown,
	.futimens = i_futimens,
	.readdir = i_readdir,
};
