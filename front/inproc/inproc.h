/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside libtadan: volumes, open files and the walk along a path.
 *
 * Lock order: a file's `pos`, then the kernel's own locks. The table's lock is held for the table only, never
 * across a call of the kernel.
 */
#ifndef TADAN_INPROC_H
#define TADAN_INPROC_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tadan.h"
#include "../../core/mount.h"
#include "../../port/user/source.h"

/*
 * An open file: made by td_path_open(), shared by the table and by the calls that are using it, gone
 * with the last of them. handle, type and flags do not change.
 */
struct td__file {
	uint32_t refs; /* atomic */
	uint32_t type;
	int flags;
	td_handle handle;
	uint32_t seen; /* td_unwritten_since(); atomic */
	pthread_mutex_t pos; /* guards the rest */
	int64_t off;	  /* bytes; of a directory, the cookie of the last entry that was given */
	uint8_t *entries; /* directory entries read ahead */
	uint32_t filled, used;
};

struct td_volume {
	struct td__fs *fs;
	struct td__module *module;
	uint32_t seen; /* td_unwritten_since(), of td_volume_sync(); atomic */
	struct td__source source; /* of a module that is mounted on a server */
	pthread_mutex_t lock; /* guards the rest */
	struct td__file **files;
	uint32_t nfiles;
	uint32_t lowest; /* no descriptor below it is free */
};

/* ---- Descriptors (files.c). td__file_get() takes a reference, or returns 0. */

struct td__file *td__file_get(struct td_volume *vol, int fd);
void td__file_put(struct td_volume *vol, struct td__file *f);
void td__files_close(struct td_volume *vol);

/* ---- Paths (walk.c) */

enum {
	TD__FOLLOW = 1, /* a symbolic link at the end stands for its target */
	TD__PARENT = 2, /* leave the last name unresolved: it is to be made or removed */
};

enum td__last { TD__LAST_NAME, TD__LAST_DOT, TD__LAST_DOTDOT, TD__LAST_ROOT };

/*
 * Where a path leads. After a walk that succeeded: dir has a reference, and v too if found. name points
 * into path.
 */
struct td__where {
	td_handle dir;
	enum td__last last;
	struct td_name name;
	bool slash; /* slashes follow the last name */
	bool found;
	td_attr v;
	char *path;
	uint32_t links; /* symbolic links followed */
};

/* Without TD__PARENT a missing last name is ENOENT. On an error nothing is left to release. */
int td__walk(const struct td_task *t, const char *path, uint32_t how, struct td__where *w);
/* As the walk without TD__PARENT, but a missing last name is w->found == false. */
int td__walk_maybe(const struct td_task *t, const char *path, uint32_t how, struct td__where *w);
/* With TD__PARENT: look the last name up now. */
int td__walk_last(const struct td_task *t, struct td__where *w);
void td__walk_end(const struct td_task *t, struct td__where *w);

/* ---- Small things */

static inline struct td__fs *td__fs_of(const struct td_task *t)
{
	return t->volume->fs;
}

static inline struct td_cred td__cred_of(const struct td_task *t, bool checked)
{
	return (struct td_cred){
		.uid = t->uid,
		.gid = t->gid,
		.ngroups = t->ngroups,
		.checked = checked,
		.groups = t->groups,
	};
}

/* Changes of a vnode that is named either by path or by descriptor (attrs.c). */
int td__chmod(const struct td_task *t, td_handle v, uint32_t mode);
int td__chown(const struct td_task *t, td_handle v, uint32_t uid, uint32_t gid);
int td__utimens(const struct td_task *t, td_handle v, const struct timespec times[2]);
int td__truncate(const struct td_task *t, td_handle v, int64_t size);

/*
 * ESTALE from a path: a file system on a server, where what a name led to had gone before it was reached. Then the path is walked
 * again, as Linux does; a few times, for others may be quick.
 */
#define TD__AGAIN(call)                               \
	({                                            \
		int tries_ = 5, result_;              \
                                                      \
		do                                    \
			result_ = call;               \
		while (result_ == -ESTALE && --tries_); \
		result_;                              \
	})

#endif
