/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a server. Parts are made in the order of make_*() and undone in reverse; whatever can be refused is refused
 * before anything is changed: level, module, wall, directory, then the image, then the mount.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "../core/image.h"
#include "../front/fuse/front.h"
#include "../port/user/disk.h"
#include "../walls/walls.h"

enum { BLOCK = 4096 };

/* ---- Making the parts. Each returns 0, or -errno and why. */

static int check_wall(const struct td__server *s, char *why, size_t size)
{
	const struct td__wall *wall = td__walls[s->level.wall];

	if (wall)
		return wall->available(why, size);
	snprintf(why, size, "this build has no wall %s; `tadan levels` shows what there is",
		 td_wall_names[s->level.wall]);
	return -EOPNOTSUPP;
}

static struct td_fuse_options fuse_options(const struct td__server *s)
{
	return (struct td_fuse_options){
		.dir = s->dir,
		.source = s->module->info.name,
		.allow_other = s->allow_other,
		.read_only = s->read_only,
		.writeback = s->writeback,
		.no_xattrs = s->no_xattrs,
		.uring = s->uring,
		.no_follow = s->no_follow,
	};
}

static int check_dir(struct td__server *s, char *why, size_t size)
{
	struct td_fuse_options o = fuse_options(s);
	char *real;
	int err = td__fuse_check(&o, &real, why, size);

	if (err)
		return err;
	free(s->dir);
	s->dir = real;
	err = td__runtime_take(s->dir, &s->runtime, why, size);
	s->has_runtime = !err;
	return err;
}

/* A module that is mounted on a server wants one, others none. */
static int make_source(struct td__server *s, char *why, size_t size)
{
	int wants = (s->module->info.flags & TD_MODULE_NETWORK) != 0;

	if (wants == (s->url != NULL))
		return wants ? td__port_source_open(s->url, s->options, &s->source, why, size) : 0;
	if (wants)
		snprintf(why, size, "%s is mounted on a server: tadan mount %s nfs://SERVER/PATH %s", s->module_name,
			 s->module_name, s->dir);
	else
		snprintf(why, size, "%s: %s is not mounted on a server; leave it out", s->url, s->module_name);
	return -EINVAL;
}

static int make_memory(struct td__server *s, char *why, size_t size)
{
	int err = td__device_create(s->size / BLOCK, BLOCK, NULL, TD_DEV_ZEROED, &s->device);

	s->bytes = s->size;
	s->blank = 1;
	if (err)
		snprintf(why, size, "no device of %llu bytes can be made: %s; give a smaller --size",
			 (unsigned long long)s->size, strerror(-err));
	return err;
}

static int make_image(struct td__server *s, char *why, size_t size)
{
	char reason[TD__CLI_WHY] = "";
	struct td__disk *disk;
	int err;

	td__image_note(&s->image, s->image.path);
	err = td__port_disk_open(s->image.path, s->size, s->read_only, &disk, &s->bytes, &s->blank, why, size);
	if (err)
		return err;
	td__port_disk_limit(disk, s->device_ms);
	err = td__image_open(disk, s->bytes, BLOCK, s->read_only, &s->device, &s->blank, reason, sizeof(reason));
	if (!err)
		return 0;
	td__port_disk_close(disk);
	snprintf(why, size, "%s: %s", s->image.path, reason[0] ? reason : strerror(-err));
	return err;
}

static int make_device(struct td__server *s, char *why, size_t size)
{
	return s->image.path ? make_image(s, why, size) : make_memory(s, why, size);
}

/* A new root directory is root's; whoever mounts it could do nothing there. */
static int give_root(struct td__server *s)
{
	const struct td_cred root = { .checked = 1 };
	const td_attr set = { .uid = geteuid(), .gid = getegid() };
	td_attr now;

	if (!s->blank || s->url || !geteuid())
		return 0;
	return td_setattr(s->fs, &root, td_fs_root(s->fs), TD_SET_UID | TD_SET_GID, &set, &now);
}

static int make_core(struct td__server *s, char *why, size_t size)
{
	char reason[TD__CLI_WHY] = "";
	struct td_mount_params p = {
		.module = s->module,
		.walls = td__walls,
		.device = s->device,
		.level = s->level,
		.format = s->url || (s->blank && !s->read_only),
		.maxfiles = s->max_files,
		.cache = s->cache,
		.server = s->url ? &s->source.server : NULL,
		.source = s->source.path,
		.options = s->source.options,
	};
	int err = td_mount(&p, &s->fs, reason, sizeof(reason));

	if (!err) {
		s->device = NULL;
		err = give_root(s);
	}
	if (err)
		snprintf(why, size, "%s: %s", s->url ? s->url : s->image.path ? s->image.path : s->module_name,
			 reason[0] ? reason : strerror(-err));
	return err;
}

static void write_back(void *arg)
{
	struct td__server *s = arg;

	atomic_store(&s->write_error, td_sync(s->fs));
}

static int make_threads(struct td__server *s, char *why, size_t size)
{
	int err = 0;

	if ((s->image.path || s->url) && !s->read_only)
		err = td__every_start(&s->writer, s->commit_s * 1000, write_back, s);
	if (!err)
		err = td__auto_start(s);
	if (err)
		snprintf(why, size, "no thread can be started: %s", strerror(-err));
	return err;
}

static int make_mount(struct td__server *s, char *why, size_t size)
{
	struct td_fuse_options o = fuse_options(s);
	struct td_fuse *fuse;
	int err = td_fuse_mount(s->fs, &o, &fuse, why, size);

	if (err)
		return err;
	pthread_mutex_lock(&s->mutex);
	s->fuse = fuse;
	s->phase = TD__SERVING;
	pthread_mutex_unlock(&s->mutex);
	return 0;
}

static int make_all(struct td__server *s, char *why, size_t size)
{
	int err;

	if ((err = check_wall(s, why, size)) ||
	    (err = td__cli_module(s->module_name, &s->module, why, size)) ||
	    (err = check_dir(s, why, size)) || (err = make_source(s, why, size)) || (err = make_device(s, why, size)) ||
	    (err = make_core(s, why, size)) || (err = make_threads(s, why, size)) ||
	    (err = td__control_start(s, why, size)))
		return err;
	return make_mount(s, why, size);
}

/* ---- Undoing them */

/* From here on no signal reaches the front end: it may be freed. */
static struct td_fuse *end_serving(struct td__server *s)
{
	struct td_fuse *fuse;

	pthread_mutex_lock(&s->mutex);
	if (s->phase == TD__SERVING)
		s->phase = TD__ENDING;
	fuse = s->fuse;
	s->fuse = NULL;
	pthread_mutex_unlock(&s->mutex);
	return fuse;
}

/* The last try to write, while it can be asked what is left. */
static void write_last(struct td__server *s, char *left, size_t size)
{
	struct td_status st;
	char bytes[32];

	if (!s->image.path || s->read_only || !td_sync(s->fs))
		return;
	td_get_status(s->fs, &st);
	td__cli_show_bytes(st.unwritten, bytes);
	snprintf(left, size, "%s; changes of %s are lost", st.disk.late ? "its disk does not answer" : "its disk fails", bytes);
}

/* The first error of writing back. */
static int unmake_all(struct td__server *s)
{
	struct td_fuse *fuse = end_serving(s);
	char left[TD__CLI_WHY] = "";
	int err = 0;

	if (s->control)
		td__control_stop(s->control);
	td_fuse_unmount(fuse);
	td__every_stop(&s->mover);
	td__every_stop(&s->writer);
	if (s->fs) {
		write_last(s, left, sizeof(left));
		err = td_unmount(s->fs);
	}
	if (s->device)
		td__device_destroy(s->device);
	td__module_close(s->module);
	td__port_source_close(&s->source);
	if (!left[0])
		snprintf(left, sizeof(left), "%s", strerror(-err));
	if (err)
		td__cli_error("%s: not everything could be written back: %s",
			      s->url ? s->url : s->image.path ? s->image.path : s->dir, left);
	if (s->has_runtime)
		td__runtime_give_back(&s->runtime);
	td__control_end(s->control, err, left);
	return err;
}

/* ---- Serving */

/* Whoever started a background server hears that it serves, and it lets go of his terminal and folder. */
static void tell(struct td__server *s)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char well = TD__CLI_OK;

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (chdir("/"))
		td__cli_error("/: %s", strerror(errno));
	pthread_mutex_lock(&s->mutex);
	if (write(s->told, &well, 1) != 1 && s->fuse) /* he is gone, so nobody wants this mount */
		td_fuse_stop(s->fuse);
	pthread_mutex_unlock(&s->mutex);
	close(s->told);
}

static void *greet(void *arg)
{
	struct td__server *s = arg;
	struct statfs any;

	if (statfs(s->dir, &any))
		return NULL;
	if (!s->foreground)
		tell(s);
	else if (isatty(STDERR_FILENO))
		fprintf(stderr, "%s on %s, level %s; Ctrl-C unmounts\n", s->module->info.name,
			s->dir, s->level.name);
	return NULL;
}

static int serve(struct td__server *s)
{
	pthread_t greeter;
	int err = -pthread_create(&greeter, NULL, greet, s);

	if (!err) {
		err = td_fuse_serve(s->fuse);
		td_fuse_unmount(
			end_serving(s)); /* so that the greeter gets an answer in any case */
		pthread_join(greeter, NULL);
	}
	if (err)
		td__cli_error("%s: FUSE failed: %s", s->dir, strerror(-err));
	return err;
}

int td__serve(struct td__server *s)
{
	char why[TD__CLI_WHY] = "";
	int err, status = TD__CLI_OK;

	pthread_mutex_init(&s->mutex, NULL);
	pthread_mutex_init(&s->auto_mutex, NULL);
	s->mounted_sec = time(NULL);
	err = td__signals_start(s);
	if (err) {
		td__cli_error("no thread can be started: %s", strerror(-err));
		return TD__CLI_FAILED;
	}
	err = make_all(s, why, sizeof(why));
	if (err)
		td__cli_error("%s", why[0] ? why : strerror(-err));
	else if (serve(s))
		status = TD__CLI_FAILED;
	if (unmake_all(s))
		status = TD__CLI_FAILED;
	if (err) {
		td__image_undo(&s->image);
		status = TD__CLI_FAILED;
	}
	td__signals_stop(s);
	return status;
}
