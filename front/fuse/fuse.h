/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The FUSE front end: a mounted file system of the core as a directory that every program can use.
 *
 * Life: td_mount() -> td_fuse_mount() -> td_fuse_serve() -> td_fuse_unmount() -> td_unmount().
 *
 * td_fuse_serve() runs the threads that answer Linux and returns when the directory is unmounted, by
 * whomever, or after td_fuse_stop(). Signals are the caller's business: block SIGTERM, SIGINT and SIGHUP
 * before td_fuse_serve() and call td_fuse_stop() from a thread in sigwait(), or from a handler.
 *
 * Between td_fuse_mount() and td_fuse_serve() requests wait; a daemon may fork there.
 */
#ifndef TADAN_FRONT_FUSE_H
#define TADAN_FRONT_FUSE_H

#include "../../core/vfs.h"

struct td_fuse;

/* Whether requests come through io_uring. AUTO: where Linux offers it. */
enum { TD_FUSE_URING_AUTO, TD_FUSE_URING_ON, TD_FUSE_URING_OFF };

struct td_fuse_options {
	const char *dir;    /* where to mount: a directory */
	const char *source; /* what `mount` shows: the module's name */
	int allow_other; /* 1: other users may enter as well; costs root a request per change of a directory */
	int read_only;
	int debug;	   /* 1: libfuse prints every request */
	int writeback; /* 1: Linux gathers writes in its cache; else each write() reaches the core at once */
	int no_xattrs; /* 1: no extended attributes; saves a request per first write to a file */
	int uring;     /* TD_FUSE_URING_... */
	int no_follow; /* 1: its threads stay where Linux puts them */
	int threads;   /* that may work at once; 0: the default */
	double attr_timeout; /* for how long Linux may believe what it was told, in seconds; 0: the */
	double entry_timeout; /* default, a day, since nobody else changes it; below 0: not at all */
};

/*
 * Mount fs. On an error nothing is left and why (size bytes, always ended) says what to do. Errors: ENOENT,
 * ENOTDIR, EACCES, EPERM, EBUSY (there is a mount already), ENODEV (no FUSE in this Linux), EOPNOTSUPP (TD_FUSE_URING_ON
 * and Linux does not offer it), ENOMEM, EIO.
 */
int td_fuse_mount(struct td__fs *fs, const struct td_fuse_options *o, struct td_fuse **out,
		  char *why, size_t size);

/* Answer Linux until the directory is unmounted or td_fuse_stop(). 0 or -errno. Once per mount. */
int td_fuse_serve(struct td_fuse *f);

/*
 * End td_fuse_serve(): it unmounts the directory, so that Linux hands over what it has cached. If files are
 * still open there, Linux's cache is written back first, then the directory goes and those files fail
 * with ENOTCONN. May be called from any thread and from a signal handler.
 */
void td_fuse_stop(struct td_fuse *f);

/* 0: requests come through io_uring. Else through /dev/fuse, and why; "" if that was asked for. Valid as long as f. Any thread. */
const char *td_fuse_no_uring(struct td_fuse *f);

/* Unmount if need be, and free everything. Not while td_fuse_serve() runs. 0 is fine. */
void td_fuse_unmount(struct td_fuse *f);

/*
 * Can it be mounted there? What td_fuse_mount() looks at first; 0 or -errno and why. *dir becomes the absolute path, to be
 * freed.
 */
int td__fuse_check(const struct td_fuse_options *o, char **dir, char *why, size_t size);

#endif
