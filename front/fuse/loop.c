/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The workers, and how serving ends. Which of them wait for requests is decided in readers.c.
 *
 * The end comes in one of these ways:
 *	unmounted       Linux ends the channel; every read fails with ENODEV
 *	td_fuse_stop    serve unmounts while the workers still answer, so that Linux can write back its cache
 *	an error        of the channel; the worker that saw it leaves it in `error`
 * Then workers that wait are cancelled, those that work finish first, and all are joined.
 */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { FORGET_US = 1000 };

/*
 * What libfuse does not know looks to it like what it does: the arguments begin alike. The handler looks at td__fuse_me->opcode, and answers
 * what Linux asked for.
 */
static void translate(struct td__fuse_worker *me)
{
	struct fuse_in_header *in = me->request.mem;

	me->opcode = in->opcode;
	if (in->opcode == TD__FUSE_TMPFILE)
		in->opcode = FUSE_CREATE;
	else if (in->opcode == TD__FUSE_STATX)
		in->opcode = FUSE_GETATTR;
}

/*
 * The space of a removed file comes back with FORGET, which Linux lets later requests overtake. So an answer that there is no room is held
 * back (session.c), and the request is tried again when what has come by then is done. What fails for that reason has changed
 * nothing that a second try would not change likewise.
 */
void td__fuse_process(struct td_fuse *f, struct td__fuse_worker *me)
{
	me->no_room = TD__FUSE_HOLD_BACK;
	translate(me);
	fuse_session_process_buf(f->session, &me->request);
	if (me->no_room == TD__FUSE_HELD_BACK) {
		td__fuse_await_others(f);
		me->no_room = TD__FUSE_SAY;
		fuse_session_process_buf(f->session, &me->request);
	}
}

/*
 * With rings only what nobody waits for comes this way, and mostly FORGETs, one after each removal: to be woken for each costs more than it does.
 * After a pause they come as one request.
 */
static void forget(struct td_fuse *f, struct td__fuse_worker *me)
{
	atomic_fetch_add(&f->forgetting, 1);
	td__fuse_process(f, me);
	atomic_fetch_sub(&f->forgetting, 1);
	if (!atomic_load(&f->no_rings))
		usleep(FORGET_US);
}

static int is_forget(const struct fuse_in_header *request)
{
	return request->opcode == FUSE_FORGET || request->opcode == FUSE_BATCH_FORGET;
}

static void *work(void *arg)
{
	struct td__fuse_worker *me = arg;
	struct td_fuse *f = me->front;
	int n = 0;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &n);
	td__fuse_me = me;
	me->tid = gettid();
	while (!fuse_session_exited(f->session)) {
		td__fuse_start_reading(f);
		n = fuse_session_receive_buf(f->session, &me->request);
		td__fuse_stop_reading(f, n > 0 ? me->request.mem : NULL);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		if (is_forget(me->request.mem))
			forget(f, me);
		else
			td__fuse_process(f, me);
	}
	if (n < 0)
		atomic_store(&f->error, n);
	fuse_session_exit(f->session);
	sem_post(&f->wake);
	return NULL;
}

/* A channel of its own spares a worker the lock of the others'. Without it works as well. */
static int own_channel(const struct td_fuse *f)
{
	uint32_t from = fuse_session_fd(f->session);
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, FUSE_DEV_IOC_CLONE, &from)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int start_workers(struct td_fuse *f)
{
	int error = 0;

	for (int i = 0; i < f->nworkers && !error; i++) {
		struct td__fuse_worker *w = &f->workers[i];

		w->front = f;
		w->fd = own_channel(f);
		error = -pthread_create(&w->thread, NULL, work, w);
		w->started = !error;
	}
	/* Few threads are better than no file system. */
	return f->workers[0].started ? 0 : error;
}

static void end_workers(struct td_fuse *f)
{
	for (int i = 0; i < f->nworkers; i++)
		if (f->workers[i].started)
			pthread_cancel(f->workers[i].thread);
	for (int i = 0; i < f->nworkers; i++) {
		struct td__fuse_worker *w = &f->workers[i];

		if (w->started)
			pthread_join(w->thread, NULL);
		if (w->fd >= 0)
			close(w->fd);
		free(w->request.mem);
		free(w->room);
		memset(w, 0, sizeof(*w));
		w->fd = -1;
	}
}

/* As somebody who may not unmount by himself. */
static int ask_fusermount(const char *dir, int lazy)
{
	char *const busy[] = { "fusermount3", "-u", "-q", "--", (char *)dir, NULL };
	char *const now[] = { "fusermount3", "-u", "-q", "-z", "--", (char *)dir, NULL };
	posix_spawn_file_actions_t quiet;
	pid_t pid;
	int status, error;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
	error = posix_spawnp(&pid, "fusermount3", &quiet, NULL, lazy ? now : busy, environ);
	posix_spawn_file_actions_destroy(&quiet);
	if (error)
		return -error;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -EBUSY : 0;
}

static int detach(const char *dir, int lazy)
{
	if (!umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)))
		return 0;
	return errno == EPERM ? ask_fusermount(dir, lazy) : -errno;
}

static void write_back(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	syncfs(fd);
	close(fd);
}

/*
 * The workers serve on while this goes on. Linux may keep the file system after an unmount, for a mount
 * of it in another namespace: it gets a second to leave.
 */
static void leave(struct td_fuse *f)
{
	struct timespec until;

	td__fuse_let_read(f, f->nworkers); /* since serve does not watch them now */
	if (detach(f->dir, 0)) {
		write_back(f->dir);
		detach(f->dir, 1);
	} else {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		while (!fuse_session_exited(f->session))
			if (sem_timedwait(&f->wake, &until) && errno == ETIMEDOUT)
				break;
	}
	fuse_session_exit(f->session);
}

int td_fuse_serve(struct td_fuse *f)
{
	int error;

	td__fuse_rings_start(f);
	error = start_workers(f);
	while (!error && !fuse_session_exited(f->session)) {
		error = td__fuse_watch(f);
		if (atomic_load(&f->stop) && !fuse_session_exited(f->session))
			leave(f);
	}
	fuse_session_exit(f->session);
	end_workers(f);
	td__fuse_rings_end(f);
	return error ? error : atomic_load(&f->error);
}

void td_fuse_stop(struct td_fuse *f)
{
	int e = errno;

	atomic_store(&f->stop, 1);
	sem_post(&f->wake);
	errno = e;
}
