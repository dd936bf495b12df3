/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel as front ends see it: mount a module on a device, then operate on vnodes by handle.
 *
 * Every function may be called from any thread, may sleep, takes and releases all locks itself, and
 * returns 0 (or a count where said) or -errno (TD_E*). Buffers belong to the caller and are used during
 * the call only. A fault of the module never shows here except as -TD_EIO of the one call that faulted
 * twice.
 *
 * Handles. A vnode handle is an index and a generation; a stale one gives -TD_ESTALE. Functions that
 * return a handle return it with one reference, which td_forget() gives back. A vnode whose last name
 * and last reference are gone is freed. td_fs_root() needs no reference of its own.
 */
#ifndef TADAN_VFS_H
#define TADAN_VFS_H

#include <tadan/fs_if.h>
#include "level.h"

typedef uint64_t td_handle;

struct td__fs;
struct td__module; /* a module file that is open: walls and ports make it, see wall.h */
struct td__device;

/*
 * Who asks. With `checked` the front end has already checked permissions against the mode bits (FUSE
 * with default_permissions); then uid and gid are still who owns what is created. Groups: supplementary; where they are dear to
 * find out, `member` (if set) is asked instead, while the call runs, whether who asks belongs to one.
 */
struct td_cred {
	uint32_t uid, gid;
	uint32_t ngroups;
	uint32_t checked;
	const uint32_t *groups;
	int (*member)(uint32_t gid);
};

/*
 * Attributes as shown to a caller: a vnode's record, `handle` is its td_handle, and `flags` for how many milliseconds they
 * may be believed: ~0, until somebody changes them through this kernel.
 */
typedef struct td_vnode td_attr;

/* ---- Names. `name` has 1 to TD_NAME_MAX bytes; longer: ENAMETOOLONG; "", "." and "..": EINVAL where they make no sense. */

td_handle td_fs_root(struct td__fs *fs);

/* 1: others change it, too: names are believed for td_fs_name_ms() milliseconds, and open and close matter. */
int td_fs_is_remote(struct td__fs *fs);
uint32_t td_fs_name_ms(struct td__fs *fs);
/* 1 if the module runs in a process of its own now. */
int td_fs_has_process(struct td__fs *fs);
/* 1 if the module has the operation itself, TD_OP_*. */
int td_fs_binds(struct td__fs *fs, uint32_t op);

/* Find `name` in dir ("." and ".." too). Errors: ENOENT ENOTDIR EACCES ESTALE EIO. */
int td_lookup(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name,
	      td_attr *out);

/*
 * Make a file of any type. `mode`: TD_S_* free permission bits (umask applied by the caller); `type`: enum td_type;
 * `target`: for LNK; `rdev`: for CHR and BLK. Errors: EEXIST ENOTDIR EACCES ENOSPC EDQUOT EMLINK EROFS...
 */
int td_make(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name,
	    uint32_t type, uint32_t mode, uint32_t rdev, struct td_in target, td_attr *out);

/*
 * Make a regular file and open it, whatever its mode. flags: TD_OPEN_READ, TD_OPEN_WRITE; TD_OPEN_EXCL: nobody else may be told that he has made it.
 * Errors: those of td_make() and td_open(); at EEXIST without TD_OPEN_EXCL somebody has been faster, and the name is to be looked up again.
 */
int td_create(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name, uint32_t mode, uint32_t flags, td_attr *out);

/* Make a regular file without a name, for who may write in `dir`; td_link() may give it one. EOPNOTSUPP: not with this module. */
int td_tmpfile(struct td__fs *fs, const struct td_cred *cred, td_handle dir, uint32_t mode, td_attr *out);

int td_link(struct td__fs *fs, const struct td_cred *cred, td_handle v, td_handle dir,
	    struct td_name name, td_attr *out); /* out has a new reference */
int td_unlink(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name);
int td_rmdir(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name);
/* flags: TD_RENAME_*. With TD_RENAME_WHITEOUT the old name becomes a character device of number 0; EINVAL with TD_FS_REMOTE. */
int td_rename(struct td__fs *fs, const struct td_cred *cred, td_handle from, struct td_name old,
	      td_handle to, struct td_name new, uint32_t flags);
/* Returns the target's length; -TD_ERANGE if `size` is too small. */
int td_readlink(struct td__fs *fs, td_handle v, void *target, uint32_t size);

/*
 * Entries from `cookie` on (0: beginning) as struct td_dirent; `.` and `..` first with cookies 1 and 2.
 * Returns the bytes put into `entries` (0: the end). size: up to TD_WINDOW. With `attrs`, which has room for *nattrs,
 * there are at most so many entries, each with its attributes and a reference, but for `.` and `..` (handle 0: could not
 * be had); *nattrs becomes their number.
 */
int td_readdir(struct td__fs *fs, const struct td_cred *cred, td_handle dir, uint64_t cookie, void *entries, uint32_t size,
	       td_attr *attrs, uint32_t *nattrs);

/* Give back n references. Never fails; an unknown handle is ignored. */
void td_forget(struct td__fs *fs, td_handle v, uint64_t n);
/* Take another reference. */
int td_ref(struct td__fs *fs, td_handle v);

/* ---- Attributes and content */

int td_getattr(struct td__fs *fs, td_handle v, td_attr *out);
/* want: TD_SET_* of <tadan/types.h>; `out` shows the result. */
int td_setattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint32_t want,
	       const td_attr *set, td_attr *out);
/* mask: 4 read, 2 write, 1 execute. EACCES where the mode bits forbid it. */
int td_access(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint32_t mask);
/* flags: TD_OPEN_READ, TD_OPEN_WRITE. 1: others have changed the content since it was opened last. */
int td_open(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint32_t flags);
int td_release(struct td__fs *fs, td_handle v);
/* A descriptor is closed: the error of writing what was written, where the file system writes behind. */
int td_flush(struct td__fs *fs, td_handle v);

/* Bytes where they lie: valid only inside the callback of td_read_spans(). */
struct td_span {
	const void *data;
	uint64_t len;
};

/* Returns bytes read (short only at the end of the file). */
int64_t td_read(struct td__fs *fs, td_handle v, uint64_t off, void *data, uint64_t len);
/*
 * The same without a copy: `emit` is called exactly once, with the vnode's lock held, and gets the bytes as spans in order.
 * len up to 16 MiB. Its result is returned if negative, otherwise the count. emit must not call the kernel.
 */
int64_t td_read_spans(struct td__fs *fs, td_handle v, uint64_t off, uint64_t len,
		      int (*emit)(void *arg, const struct td_span *spans, uint32_t n), void *arg);
/*
 * Returns bytes written: fewer than asked for only if the device filled up midway (then at least 1).
 * cred: whose write it is: set-id bits go if uid is not 0. 0: a cache above writes back what it has accounted for already:
 * set-id bits and times are left alone. off TD_APPEND: at the end.
 */
#define TD_APPEND (~0ull)
int64_t td_write(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint64_t off,
		 const void *data, uint64_t len);
/* cred: as for td_write(). */
int td_fallocate(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint64_t off, uint64_t len, uint32_t mode);
/* whence: TD_SEEK_DATA or TD_SEEK_HOLE. Returns the offset; ENXIO beyond the end. */
int64_t td_seek(struct td__fs *fs, td_handle v, uint64_t off, uint32_t whence);
/* To the device, and on an image file to the disk. */
int td_fsync(struct td__fs *fs, td_handle v);
int td_sync(struct td__fs *fs);
/*
 * What could not be written to an image is kept, and tried again; that it failed is told once to each who had the file open then, also
 * if it has been written since; and where nobody had, to the next who asks. Who opens a file takes a sample, and asks with it at fsync
 * and close: 0 or the error, since *seen, which changes with it. handle 0: of the mount, for who syncs all of it.
 * The caller holds a reference. td_is_written_back(): 1 if any of this can happen.
 */
int td_is_written_back(struct td__fs *fs);
uint32_t td_unwritten_sample(struct td__fs *fs, td_handle v);
int td_unwritten_since(struct td__fs *fs, td_handle v, uint32_t *seen);
int td_statfs(struct td__fs *fs, struct td_fsinfo *out);

/* ---- Extended attributes. size 0 asks for the length. Namespaces: user., trusted. (uid 0), security.; system.posix_acl_*: EOPNOTSUPP. */
int td_getxattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, struct td_name name,
		void *value, uint32_t size);
int td_setxattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, struct td_name name,
		struct td_in value, uint32_t flags);
int td_listxattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, void *names, uint32_t size);
int td_removexattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, struct td_name name);

#endif
