/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libtadan: a file system of Tadan's inside this process, without a mount.
 *
 * A volume is a module, at a level, on a device of its own: td_volume_open(), then the calls below, which
 * are those of POSIX with three differences:
 * - They return a result of 0 and up, or -errno; errno itself is left alone.
 * - Who calls is said each time, by a struct td_task: as if it were a process with that user, those
 *   groups, that umask and that working directory. Root (uid 0) may do everything.
 * - Paths begin at the volume's root; absolute symbolic links stay within the volume. No file outside
 *   of it can be reached.
 *
 * Every call may be made from any thread and may sleep. A td_task belongs to the caller, is only read,
 * and may serve many threads at once. Pointers are used during the call only.
 *
 * O_*, S_*, SEEK_*, AT_* and E* are those of this system's headers; TD_* and the records are those of
 * <tadan/types.h> and <tadan/fs_if.h>. A vnode's `mode` has no type in it: that is in `type` (TD_REG...).
 *
 * What a path can do wrong is the same for all calls: ENOENT, ENOTDIR, EACCES (no search permission),
 * ELOOP (over 40 symbolic links), ENAMETOOLONG (a name over 255 bytes, a path over 4095). Every
 * call may fail with EIO: the device failed, or the module did, twice. Further errors stand at each call.
 */
#ifndef TADAN_H
#define TADAN_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <tadan/types.h>
#include <tadan/fs_if.h>

struct td_volume;
struct td__fs;

/* ---- Volumes */

struct td_volume_params {
	const char *module; /* name ("smfs") or path of the module file */
	const char *image;  /* image file to work on; 0: memory, gone with the volume */
	struct td__device *device; /* core/device.h: one that is there already, the volume's from now on even on an error; 0: none */
	uint64_t size;	    /* bytes; 0: 256 MiB, or as long as the image is */
	const char *
		level; /* as td_level_parse() reads it: "walled", "isolated,journal=locks"; 0: "trusted" */
	uint32_t bsize;	   /* bytes of a block; 0: 4096 */
	int format;	   /* 1: a blank image gets a new file system; memory always does */
	uint64_t maxfiles; /* vnodes; 0: the module decides */
	uint64_t cache;	   /* bytes of the image that may be in memory at a time, from 16 MiB on; 0: a quarter of the memory there is */
	uint32_t device_ms; /* that the image's disk has to answer, or there is EIO; 0: 30 s; ~0: as long as it takes */
	/* Of a module that is mounted on a server: nfs://HOST[:PORT]/PATH, and options as in "soft,timeo=50" (0: none). */
	const char *server, *options;
};

/*
 * Start one. On an error nothing is left, and why (size bytes, always ended) says what was wrong.
 * Errors: the image's, the module's, EINVAL ENOENT ENOEXEC EOPNOTSUPP ENOMEM.
 */
int td_volume_open(const struct td_volume_params *params, struct td_volume **out, char *why,
		   size_t size);

/*
 * Close what is open, write everything back and end. No other call may be under way. Returns the first
 * error of writing back; the volume is gone in any case.
 */
int td_volume_close(struct td_volume *vol);

/* Move to another level while in use. On an error the volume stays as it was. pause_ns may be 0. */
int td_volume_level(struct td_volume *vol, const char *level, uint64_t *pause_ns, char *why,
		    size_t size);

/* All that is written goes to the image file. */
int td_volume_sync(struct td_volume *vol);

/* The kernel's side, for what core/vfs.h and core/mount.h offer beyond this: handles, status, faults. */
struct td__fs *td_volume_fs(struct td_volume *vol);

/* ---- Who calls */

enum { TD_CWD_ROOT = -1 };

struct td_task {
	struct td_volume *volume;
	uint32_t uid, gid;
	uint32_t ngroups; /* supplementary groups */
	uint32_t umask;
	const uint32_t *groups;
	int cwd; /* an open directory where relative paths begin, or TD_CWD_ROOT */
};

/* ---- Names */

int td_path_mkdir(const struct td_task *t, const char *path, uint32_t mode);
/* mode with S_IFREG (or 0), S_IFIFO, S_IFSOCK, S_IFCHR or S_IFBLK. EPERM: device nodes are root's. */
int td_path_mknod(const struct td_task *t, const char *path, uint32_t mode, uint32_t rdev);
int td_path_symlink(const struct td_task *t, const char *target, const char *path);
/* Bytes put into target, cut at size, without an ending NUL. EINVAL: not a symbolic link. */
int td_path_readlink(const struct td_task *t, const char *path, void *target, size_t size);
/* flags: AT_SYMLINK_FOLLOW or 0. EPERM: a directory. */
int td_path_link(const struct td_task *t, const char *old, const char *path, int flags);
int td_path_unlink(const struct td_task *t, const char *path);
/* EBUSY: the root, EINVAL: ends in ".", ENOTEMPTY. */
int td_path_rmdir(const struct td_task *t, const char *path);
/* flags: TD_RENAME_EXCHANGE, or TD_RENAME_NOREPLACE and TD_RENAME_WHITEOUT. EINVAL: a directory into itself. */
int td_path_rename(const struct td_task *t, const char *old, const char *path, uint32_t flags);

/* ---- Attributes. flags: AT_SYMLINK_NOFOLLOW or 0. */

int td_path_stat(const struct td_task *t, const char *path, int flags, struct td_vnode *out);
/* mask: R_OK, W_OK, X_OK; 0: is it there? */
int td_path_access(const struct td_task *t, const char *path, int mask);
int td_path_chmod(const struct td_task *t, const char *path, uint32_t mode);
/* uid or gid ~0u: leave it. */
int td_path_chown(const struct td_task *t, const char *path, uint32_t uid, uint32_t gid, int flags);
/* times 0: now; UTIME_NOW and UTIME_OMIT as for utimensat(). */
int td_path_utimens(const struct td_task *t, const char *path, const struct timespec times[2],
		    int flags);
int td_path_truncate(const struct td_task *t, const char *path, int64_t size);
int td_path_statfs(const struct td_task *t, const char *path, struct td_fsinfo *out);

/* size 0 asks for the length, which is returned. ENODATA: no such attribute. */
int td_path_getxattr(const struct td_task *t, const char *path, const char *name, void *value,
		     size_t size, int flags);
/* how: 0, TD_XATTR_CREATE or TD_XATTR_REPLACE. */
int td_path_setxattr(const struct td_task *t, const char *path, const char *name, const void *value,
		     size_t size, int how, int flags);
int td_path_listxattr(const struct td_task *t, const char *path, void *names, size_t size,
		      int flags);
int td_path_removexattr(const struct td_task *t, const char *path, const char *name, int flags);

/* ---- Descriptors: small numbers from 0 on, the volume's own. EBADF: not open, or not for this. */

/*
 * Open or make a regular file, or open a directory to read. Flags: O_RDONLY O_WRONLY O_RDWR O_CREAT
 * O_EXCL O_TRUNC O_APPEND O_DIRECTORY O_NOFOLLOW; others are ignored. ENXIO: device nodes, named pipes
 * and sockets have names here, but nothing behind them. With O_TMPFILE path is a directory, and the file has no name.
 */
int td_path_open(const struct td_task *t, const char *path, int flags, uint32_t mode);
/* Give an open file another name, or its first; ENOENT: it has lost its last, or was opened with O_TMPFILE and O_EXCL. */
int td_fd_link(const struct td_task *t, int fd, const char *path);
int td_fd_close(const struct td_task *t, int fd);

int64_t td_fd_read(const struct td_task *t, int fd, void *data, size_t len);
int64_t td_fd_pread(const struct td_task *t, int fd, void *data, size_t len, int64_t off);
int64_t td_fd_write(const struct td_task *t, int fd, const void *data, size_t len);
/* With O_APPEND at the end of the file, as Linux does. */
int64_t td_fd_pwrite(const struct td_task *t, int fd, const void *data, size_t len, int64_t off);
/* whence: SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE. On a directory, SEEK_SET to a cookie. */
int64_t td_fd_lseek(const struct td_task *t, int fd, int64_t off, int whence);
int td_fd_truncate(const struct td_task *t, int fd, int64_t size);
/* mode: TD_FALLOC_*. */
int td_fd_fallocate(const struct td_task *t, int fd, uint32_t mode, int64_t off, int64_t len);
int td_fd_sync(const struct td_task *t, int fd);
int td_fd_stat(const struct td_task *t, int fd, struct td_vnode *out);
int td_fd_chmod(const struct td_task *t, int fd, uint32_t mode);
int td_fd_chown(const struct td_task *t, int fd, uint32_t uid, uint32_t gid);
int td_fd_utimens(const struct td_task *t, int fd, const struct timespec times[2]);

/* An entry of a directory. `cookie` is where the next one begins: td_fd_lseek() goes back to it. */
struct td_entry {
	uint64_t fid;
	uint64_t cookie;
	uint32_t type; /* TD_REG... */
	uint32_t len;
	char name[TD_NAME_MAX + 1];
};
/* The next entry, "." and ".." included: 1, or 0 at the end. ENOTDIR. */
int td_fd_readdir(const struct td_task *t, int fd, struct td_entry *out);

/* The kernel's handle of an open file, good until it is closed. */
int td_fd_handle(const struct td_task *t, int fd, uint64_t *handle);

#endif
