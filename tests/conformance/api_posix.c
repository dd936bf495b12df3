/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tests' calls as system calls on a directory of a mounted file system.
 *
 * Users are changed for the calling thread alone, by raw system calls: the C library's functions would
 * change the whole process. The real and the saved user stay, so that there is a way back.
 */
#include "fsapi.h"

#include <dirent.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

static char base[4096];
static uid_t first_uid;
static gid_t first_gid;

static int64_t done(int64_t result)
{
	return result < 0 ? -errno : result;
}

#define DONE(call) ((int)done(call))

static int start(const struct options *o, char *why, size_t size)
{
	first_uid = geteuid();
	first_gid = getegid();
	umask(0);
	if (!realpath(o->dir, base) || chdir(base)) {
		snprintf(why, size, "%s: %s", o->dir, strerror(errno));
		return -errno;
	}
	return 0;
}

static void stop(void)
{
	if (chdir("/"))
		perror("/");
}

static int remount(void)
{
	return -EOPNOTSUPP;
}

static bool is_root(void)
{
	return first_uid == 0;
}

/* A mount of its own, and not a large one: filling it up hurts nobody. */
static bool own(void)
{
	struct stat here, above;
	char up[sizeof(base) + 3];
	struct statvfs sv;

	snprintf(up, sizeof(up), "%s/..", base);
	if (stat(base, &here) || stat(up, &above) || statvfs(base, &sv))
		return false;
	return here.st_dev != above.st_dev && (uint64_t)sv.f_blocks * sv.f_frsize <= (uint64_t)512
											     << 20;
}

static int as(uid_t uid, gid_t gid, int ngroups, const gid_t *groups)
{
	if (uid == first_uid && !is_root())
		return 0;
	if (syscall(SYS_setresuid, -1, first_uid, -1) ||
	    syscall(SYS_setgroups, (size_t)ngroups, groups) ||
	    syscall(SYS_setresgid, -1, gid, -1) || syscall(SYS_setresuid, -1, uid, -1))
		return -errno;
	return 0;
}

static void set_umask(mode_t mask)
{
	umask(mask);
}

static int enter(const char *path)
{
	return DONE(chdir(path ? path : base));
}

static void absolute(const char *path, char *out, size_t size)
{
	char cwd[4096];

	snprintf(out, size, "%s/%s", getcwd(cwd, sizeof(cwd)), path);
}

/* ---- Names */

static int p_mkdir(const char *path, mode_t mode)
{
	return DONE(mkdir(path, mode));
}

static int p_mknod(const char *path, mode_t mode, dev_t dev)
{
	return DONE(mknod(path, mode, dev));
}

static int p_symlink(const char *target, const char *path)
{
	return DONE(symlink(target, path));
}

static int p_readlink(const char *path, void *target, size_t size)
{
	return DONE(readlink(path, target, size));
}

static int p_link(const char *old, const char *path, int flags)
{
	return DONE(linkat(AT_FDCWD, old, AT_FDCWD, path, flags));
}

static int p_flink(int fd, const char *path)
{
	char old[32];

	snprintf(old, sizeof(old), "/proc/self/fd/%d", fd);
	return DONE(linkat(AT_FDCWD, old, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
}

static int p_unlink(const char *path)
{
	return DONE(unlink(path));
}

static int p_rmdir(const char *path)
{
	return DONE(rmdir(path));
}

static int p_rename(const char *old, const char *path, unsigned flags)
{
	return DONE(renameat2(AT_FDCWD, old, AT_FDCWD, path, flags));
}

/* ---- Attributes */

static int p_stat(const char *path, struct stat *st)
{
	return DONE(stat(path, st));
}

static int p_lstat(const char *path, struct stat *st)
{
	return DONE(lstat(path, st));
}

static int p_access(const char *path, int mask)
{
	return DONE(faccessat(AT_FDCWD, path, mask, AT_EACCESS));
}

static int p_chmod(const char *path, mode_t mode)
{
	return DONE(chmod(path, mode));
}

static int p_chown(const char *path, uid_t uid, gid_t gid)
{
	return DONE(chown(path, uid, gid));
}

static int p_lchown(const char *path, uid_t uid, gid_t gid)
{
	return DONE(lchown(path, uid, gid));
}

static int p_utimens(const char *path, const struct timespec times[2], int flags)
{
	return DONE(utimensat(AT_FDCWD, path, times, flags));
}

static int p_truncate(const char *path, int64_t size)
{
	return DONE(truncate(path, size));
}

static int p_statvfs(struct statvfs *st)
{
	return DONE(statvfs(base, st));
}

static int p_getxattr(const char *path, const char *name, void *value, size_t size)
{
	return DONE(getxattr(path, name, value, size));
}

static int p_setxattr(const char *path, const char *name, const void *value, size_t size, int how)
{
	return DONE(setxattr(path, name, value, size, how));
}

static int p_lsetxattr(const char *path, const char *name, const void *value, size_t size, int how)
{
	return DONE(lsetxattr(path, name, value, size, how));
}

static int p_listxattr(const char *path, char *names, size_t size)
{
	return DONE(listxattr(path, names, size));
}

static int p_removexattr(const char *path, const char *name)
{
	return DONE(removexattr(path, name));
}

/* ---- Descriptors */

static int p_open(const char *path, int flags, mode_t mode)
{
	return DONE(open(path, flags | O_CLOEXEC, mode));
}

static int p_close(int fd)
{
	return DONE(close(fd));
}

static void p_close_all(void)
{
	syscall(SYS_close_range, 3, ~0u, 0);
}

static int64_t p_read(int fd, void *data, size_t len)
{
	return done(read(fd, data, len));
}

static int64_t p_write(int fd, const void *data, size_t len)
{
	return done(write(fd, data, len));
}

static int64_t p_pread(int fd, void *data, size_t len, int64_t off)
{
	return done(pread(fd, data, len, off));
}

static int64_t p_pwrite(int fd, const void *data, size_t len, int64_t off)
{
	return done(pwrite(fd, data, len, off));
}

static int64_t p_lseek(int fd, int64_t off, int whence)
{
	return done(lseek(fd, off, whence));
}

static int p_ftruncate(int fd, int64_t size)
{
	return DONE(ftruncate(fd, size));
}

static int p_fallocate(int fd, int mode, int64_t off, int64_t len)
{
	return DONE(fallocate(fd, mode, off, len));
}

static int p_fsync(int fd)
{
	return DONE(fsync(fd));
}

static int p_fstat(int fd, struct stat *st)
{
	return DONE(fstat(fd, st));
}

static int p_fchmod(int fd, mode_t mode)
{
	return DONE(fchmod(fd, mode));
}

static int p_fchown(int fd, uid_t uid, gid_t gid)
{
	return DONE(fchown(fd, uid, gid));
}

static int p_futimens(int fd, const struct timespec times[2])
{
	return DONE(futimens(fd, times));
}

/* As getdents64() lays entries out. */
struct raw {
	uint64_t ino;
	int64_t cookie;
	unsigned short len;
	unsigned char type;
	char name[];
};

/*
 * What was read beyond the last entry that is wanted is given back by going to that entry's cookie:
 * so every listing of the tests is a test of cookies, too.
 */
static int p_readdir(int fd, struct dent *out, int max)
{
	char room[2048] __attribute__((aligned(8)));
	long got = syscall(SYS_getdents64, fd, room, sizeof(room));
	int n = 0;

	if (got < 0)
		return -errno;
	for (long at = 0; at < got;) {
		struct raw *r = (struct raw *)(room + at);

		if (n == max)
			return lseek(fd, out[n - 1].cookie, SEEK_SET) < 0 ? -errno : n;
		out[n].ino = r->ino;
		out[n].cookie = r->cookie;
		out[n].type = DTTOIF(r->type);
		snprintf(out[n].name, sizeof(out[n].name), "%s", r->name);
		n++;
		at += r->len;
	}
	return n;
}

const struct fsapi posix_api = {
	.start = start,
	.stop = stop,
	.remount = remount,
	.mounted = true,
	.is_root = is_root,
	.own = own,
	.as = as,
	.umask = set_umask,
	.enter = enter,
	.absolute = absolute,
	.mkdir = p_mkdir,
	.mknod = p_mknod,
	.symlink = p_symlink,
	.readlink = p_readlink,
	.link = p_link,
	.flink = p_flink,
	.unlink = p_unlink,
	.rmdir = p_rmdir,
	.rename = p_rename,
	.stat = p_stat,
	.lstat = p_lstat,
	.access = p_access,
	.chmod = p_chmod,
	.chown = p_chown,
	.lchown = p_lchown,
	.utimens = p_utimens,
	.truncate = p_truncate,
	.statvfs = p_statvfs,
	.getxattr = p_getxattr,
	.setxattr = p_setxattr,
	.lsetxattr = p_lsetxattr,
	.listxattr = p_listxattr,
	.removexattr = p_removexattr,
	.open = p_open,
	.close = p_close,
	.close_all = p_close_all,
	.read = p_read,
	.write = p_write,
	.pread = p_pread,
	.pwrite = p_pwrite,
	.lseek = p_lseek,
	.ftruncate = p_ftruncate,
	.fallocate = p_fallocate,
	.fsync = p_fsync,
	.fstat = p_fstat,
	.fchmod = p_fchmod,
	.fchown = p_fchown,
	.futimens = p_futimens,
	.readdir = p_readdir,
};
