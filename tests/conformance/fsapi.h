/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the conformance tests call instead of the system: one table of functions, filled by api_posix.c
 * (a directory of a mounted file system) and by api_inproc.c (a volume in this process). All of them
 * return a result of 0 and up, or -errno.
 *
 * Paths are relative to the directory that enter() chose last, for the whole process. Whom a thread calls as is
 * its own affair; a new thread calls as whoever started the tests.
 */
#ifndef CONFORMANCE_FSAPI_H
#define CONFORMANCE_FSAPI_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

struct options {
	const char *dir;    /* --posix */
	const char *module; /* --inproc */
	const char *level;
	const char *also; /* with --inproc: move between the two levels all the time; 0: stay */
	bool on_image;	  /* with --inproc: the device is a file, not memory */
	const char *server, *mount_options; /* with --inproc: of a module that is mounted on a server; 0: none */
	const char *differs; /* file with lines "[mounted:]SUBJECT.NAME why": tests of what this file system does in another way, by design */
	const char *filter;
	uint64_t seed;
	int seconds; /* that a test may take */
};

/* An entry of a directory; `cookie` is the position behind it. */
struct dent {
	uint64_t ino;
	int64_t cookie;
	unsigned type; /* S_IFREG... */
	char name[256];
};

struct fsapi {
	/* 0; or -errno, and why says what is the matter. EOPNOTSUPP: this machine cannot have it. */
	int (*start)(const struct options *o, char *why, size_t size);
	void (*stop)(void);
	int (*remount)(void);  /* end it and start it anew; EOPNOTSUPP: nothing would be left */
	void (*sound)(char *why, size_t size); /* what is wrong in it, by the module's own word; 0: nobody can say */
	bool mounted;	       /* there is a real directory: mmap works */
	bool (*is_root)(void); /* the tests may call as anybody */
	bool (*own)(void);     /* nobody else uses this file system */

	/* The calling thread's user, group and supplementary groups; the process's umask and directory. */
	int (*as)(uid_t uid, gid_t gid, int ngroups, const gid_t *groups);
	void (*umask)(mode_t mask);
	int (*enter)(const char *path); /* 0: back to where start() was */
	/* The path from the root that stands for this one, for absolute symbolic links. */
	void (*absolute)(const char *path, char *out, size_t size);

	int (*mkdir)(const char *path, mode_t mode);
	int (*mknod)(const char *path, mode_t mode, dev_t dev);
	int (*symlink)(const char *target, const char *path);
	int (*readlink)(const char *path, void *target, size_t size);
	int (*link)(const char *old, const char *path, int flags);
	int (*flink)(int fd, const char *path); /* what is open gets a name */
	int (*unlink)(const char *path);
	int (*rmdir)(const char *path);
	int (*rename)(const char *old, const char *path, unsigned flags);

	int (*stat)(const char *path, struct stat *st);
	int (*lstat)(const char *path, struct stat *st);
	int (*access)(const char *path, int mask);
	int (*chmod)(const char *path, mode_t mode);
	int (*chown)(const char *path, uid_t uid, gid_t gid);
	int (*lchown)(const char *path, uid_t uid, gid_t gid);
	int (*utimens)(const char *path, const struct timespec times[2], int flags);
	int (*truncate)(const char *path, int64_t size);
	int (*statvfs)(struct statvfs *st);
	int (*getxattr)(const char *path, const char *name, void *value, size_t size);
	int (*setxattr)(const char *path, const char *name, const void *value, size_t size,
			int how);
	int (*lsetxattr)(const char *path, const char *name, const void *value, size_t size,
			 int how);
	int (*listxattr)(const char *path, char *names, size_t size);
	int (*removexattr)(const char *path, const char *name);

	int (*open)(const char *path, int flags, mode_t mode);
	int (*close)(int fd);
	void (*close_all)(void); /* what a test that failed has left open */
	int64_t (*read)(int fd, void *data, size_t len);
	int64_t (*write)(int fd, const void *data, size_t len);
	int64_t (*pread)(int fd, void *data, size_t len, int64_t off);
	int64_t (*pwrite)(int fd, const void *data, size_t len, int64_t off);
	int64_t (*lseek)(int fd, int64_t off, int whence);
	int (*ftruncate)(int fd, int64_t size);
	int (*fallocate)(int fd, int mode, int64_t off, int64_t len);
	int (*fsync)(int fd);
	int (*fstat)(int fd, struct stat *st);
	int (*fchmod)(int fd, mode_t mode);
	int (*fchown)(int fd, uid_t uid, gid_t gid);
	int (*futimens)(int fd, const struct timespec times[2]);
	/* Up to max entries from the descriptor's position, which moves behind them; 0: the end. */
	int (*readdir)(int fd, struct dent *out, int max);
};

extern const struct fsapi posix_api, inproc_api;
extern const struct fsapi *fs; /* the one under test */

#endif
