/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mounting and unmounting. What commonly goes wrong is looked for first, by check.c, since libfuse says
 * it on standard error and in its own words; what is left is passed on in those words.
 */
#include "front.h"

#include <errno.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What libfuse complains of, while it mounts or unmounts; a process does that one after the other. */
static char complaint[256];

__attribute__((format(printf, 2, 0))) static void listen_to(enum fuse_log_level level,
							    const char *format, va_list ap)
{
	(void)level;
	vsnprintf(complaint, sizeof(complaint), format, ap);
	complaint[strcspn(complaint, "\n")] = 0;
}

static double timeout(double given)
{
	return given < 0 ? 0 : given > 0 ? given : 86400;
}

static int plan_workers(int threads)
{
	if (threads <= 0)
		return TD__FUSE_THREADS;
	return threads > TD__FUSE_MAX_THREADS ? TD__FUSE_MAX_THREADS : threads;
}

static struct td_fuse *create(struct td__fs *fs, const struct td_fuse_options *o, char *dir)
{
	struct td_fuse *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->fs = fs;
	f->root = td_fs_root(fs);
	f->dir = dir;
	f->attr_timeout = timeout(o->attr_timeout);
	f->entry_timeout = timeout(o->entry_timeout);
	f->writeback = o->writeback;
	f->no_xattrs = o->no_xattrs;
	f->uring = o->uring;
	atomic_init(&f->no_rings, "");
	f->only_root = geteuid() == 0 && !o->allow_other;
	f->remote = td_fs_is_remote(fs);
	if (f->remote && f->entry_timeout > td_fs_name_ms(fs) / 1000.0)
		f->entry_timeout = td_fs_name_ms(fs) / 1000.0;
	f->opens = f->remote || td_fs_binds(fs, TD_OP_open) || td_fs_binds(fs, TD_OP_release);
	f->nworkers = plan_workers(o->threads);
	f->tells = td_is_written_back(fs);
	td__fuse_readers_init(f);
	td__fuse_follow_init(f, !o->no_follow);
	sem_init(&f->wake, 0, 0);
	f->workers =
		aligned_alloc(alignof(struct td__fuse_worker), f->nworkers * sizeof(*f->workers));
	if (f->workers)
		memset(f->workers, 0, f->nworkers * sizeof(*f->workers));
	if (!f->workers || td__fuse_session(f, o)) {
		free(f->workers);
		free(f);
		return NULL;
	}
	return f;
}

static int attach(struct td_fuse *f, char *why, size_t size)
{
	int error;

	complaint[0] = 0;
	fuse_set_log_func(listen_to);
	error = fuse_session_mount(f->session, f->dir) ? -EIO : 0;
	fuse_set_log_func(NULL);
	if (error) {
		snprintf(why, size, "%s: cannot mount: %s", f->dir,
			 complaint[0] ? complaint : "fusermount3 refused, see above");
		return error;
	}
	error = td__fuse_channel(f);
	if (error)
		snprintf(why, size, "%s: cannot talk to FUSE: %s", f->dir, strerror(-error));
	return error;
}

int td_fuse_mount(struct td__fs *fs, const struct td_fuse_options *o, struct td_fuse **out,
		  char *why, size_t size)
{
	struct td_fuse *f;
	char *dir;
	int error = td__fuse_check(o, &dir, why, size);

	if (error)
		return error;
	f = create(fs, o, dir);
	if (!f) {
		free(dir);
		snprintf(why, size, "out of memory");
		return -ENOMEM;
	}
	error = attach(f, why, size);
	if (error)
		td_fuse_unmount(f);
	else
		*out = f;
	return error;
}

const char *td_fuse_no_uring(struct td_fuse *f)
{
	return atomic_load(&f->no_rings);
}

void td_fuse_unmount(struct td_fuse *f)
{
	if (!f)
		return;
	/* libfuse tries to unmount what serve may have detached by force, and would complain. */
	fuse_set_log_func(listen_to);
	fuse_session_unmount(f->session);
	fuse_set_log_func(NULL);
	fuse_session_destroy(f->session);
	sem_destroy(&f->rest);
	sem_destroy(&f->wake);
	pthread_mutex_destroy(&f->moving);
	free(f->workers);
	free(f->dir);
	free(f);
}
