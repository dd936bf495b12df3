/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting the runner, and noticing its end.
 *
 * The kernel ties "dies with its parent" to the thread that is the parent. Domains are started by whatever thread
 * met a fault, and it may end long before they do. So one thread does nothing but start runners and watch over them, for as long
 * as the host lives.
 *
 * The child shares the host's memory until it executes the runner (as with vfork), so it costs the same in a large
 * host. It must touch nothing but its own stack, and gets by with bare system calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../port/user/common.h"
#include "process.h"

#ifndef TADAN_LIBEXEC_DIR
#define TADAN_LIBEXEC_DIR "/usr/local/libexec/tadan"
#endif

enum { CHILD_STACK = 32 * 1024, ABOVE = TD__FDS + 1 };

#define BARE __attribute__((no_sanitize("address", "undefined", "thread")))

/* Put the descriptors in their places and close all others. First out of each other's way. */
BARE static int place(struct td__spawn *s)
{
	int high[TD__FDS - TD__FD_SHARE];

	for (int i = 0; i < TD__FDS - TD__FD_SHARE; i++) {
		high[i] = s->fds[i] < 0 ? -1 : (int)syscall(SYS_fcntl, s->fds[i], F_DUPFD_CLOEXEC, ABOVE);
		if (s->fds[i] >= 0 && high[i] < 0)
			return -1;
	}
	for (int i = 0; i < TD__FDS - TD__FD_SHARE; i++) {
		if (high[i] >= 0 && syscall(SYS_dup3, high[i], TD__FD_SHARE + i, 0) < 0)
			return -1;
		if (high[i] < 0)
			syscall(SYS_close, TD__FD_SHARE + i);
	}
	if (syscall(SYS_close_range, 0, TD__FD_SHARE - 1, 0) < 0)
		return -1;
	return (int)syscall(SYS_close_range, TD__FDS, ~0u, 0);
}

BARE static void write_map(const char *path, const char *text)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
	size_t len = 0;

	while (text[len])
		len++;
	if (fd >= 0) {
		syscall(SYS_write, fd, text, len);
		syscall(SYS_close, fd);
	}
}

/*
 * In a user namespace the runner must be its root to keep the rights of its new namespaces past the execve, which it needs to
 * give them up in good order. If the maps cannot be written it goes without.
 */
BARE static void map_user(const struct td__spawn *s)
{
	write_map("/proc/self/setgroups", "deny");
	write_map("/proc/self/uid_map", s->uid_map);
	write_map("/proc/self/gid_map", s->gid_map);
}

BARE static int child(void *arg)
{
	struct td__spawn *s = arg;
	char *none[] = { 0 };

	if (s->share->spaces & CLONE_NEWUSER)
		map_user(s);

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* Out of reach of the terminal's keys; but of one session with the host, for the scheduler weighs sessions against each other. */
	syscall(SYS_setpgid, 0, 0);
	if (!place(s))
		syscall(SYS_execve, s->path, s->argv, none);
	s->error = errno;
	syscall(SYS_exit_group, 127);
	return 0;
}

/* With as many namespaces as are permitted. */
static void start(struct td__spawn *s)
{
	const int all = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
	const int tries[] = { all, all | CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS, 0 };
	char *stack = malloc(CHILD_STACK);

	snprintf(s->uid_map, sizeof(s->uid_map), "0 %u 1", (unsigned)geteuid());
	snprintf(s->gid_map, sizeof(s->gid_map), "0 %u 1", (unsigned)getegid());
	s->error = stack ? EAGAIN : ENOMEM;
	s->pid = -1;
	for (size_t i = 0; stack && s->pid < 0 && i < sizeof(tries) / sizeof(tries[0]); i++) {
		s->share->spaces = (uint32_t)tries[i];
		s->error = 0;
		s->pid = clone(child, stack + CHILD_STACK, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | tries[i], s, &s->pidfd);
		if (s->pid < 0)
			s->error = errno;
	}
	free(stack);
	if (s->pid > 0 && s->error) {
		waitpid(s->pid, 0, __WALL);
		close(s->pidfd);
		s->pid = -1;
	}
}

/* ---- The thread that is the parent */

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t done;
	struct td__spawn *order; /* 0: none, or taken */
	struct td__spawn *ready;
	struct td__process *watched; /* the first of a list */
	uint64_t watches;            /* counts them */
	pid_t host;              /* whose thread it is: a fork does not take it along, but takes it for one that waits */
	int busy;
	int events; /* an epoll: the ends of those that are watched by their numbers, and 0 for `asked` */
	int asked;  /* an eventfd: there is an order */
} nursery = { .mutex = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER, .events = -1, .asked = -1 };

static void take_order(void)
{
	eventfd_t count;

	eventfd_read(nursery.asked, &count);
	if (!nursery.order)
		return;
	start(nursery.order);
	nursery.ready = nursery.order;
	nursery.order = 0;
	pthread_cond_broadcast(&nursery.done);
}

/* It may have been given up meanwhile. */
static void take_end(uint64_t watch)
{
	struct td__process *p = nursery.watched;

	while (p && p->watch != watch)
		p = p->next;
	if (!p)
		return;
	epoll_ctl(nursery.events, EPOLL_CTL_DEL, p->pidfd, 0);
	td__process_gone(p);
}

static void *nurse(void *arg)
{
	struct epoll_event e;

	td__port_be_common();
	prctl(PR_SET_NAME, "tadan-spawn");
	for (;;) {
		if (epoll_wait(nursery.events, &e, 1, -1) != 1)
			continue;
		pthread_mutex_lock(&nursery.mutex);
		if (e.data.u64)
			take_end(e.data.u64);
		else
			take_order();
		pthread_mutex_unlock(&nursery.mutex);
	}
	return arg;
}

int td__process_watch(struct td__process *p)
{
	struct epoll_event e = { .events = EPOLLIN };
	int err;

	pthread_mutex_lock(&nursery.mutex);
	p->watch = e.data.u64 = ++nursery.watches;
	err = epoll_ctl(nursery.events, EPOLL_CTL_ADD, p->pidfd, &e) < 0 ? -errno : 0;
	if (!err) {
		p->next = nursery.watched;
		nursery.watched = p;
	}
	pthread_mutex_unlock(&nursery.mutex);
	return err;
}

void td__process_unwatch(struct td__process *p)
{
	struct td__process **at = &nursery.watched;

	pthread_mutex_lock(&nursery.mutex);
	while (*at && *at != p)
		at = &(*at)->next;
	if (*at) {
		*at = p->next;
		epoll_ctl(nursery.events, EPOLL_CTL_DEL, p->pidfd, 0);
	}
	pthread_mutex_unlock(&nursery.mutex);
}

/* What a fork has left is the parent's: who waits there, and which processes. */
static int renew_nursery(void)
{
	struct epoll_event e = { .events = EPOLLIN };

	if (nursery.host)
		pthread_cond_init(&nursery.done, 0);
	if (nursery.events >= 0)
		close(nursery.events);
	if (nursery.asked >= 0)
		close(nursery.asked);
	nursery.watched = 0;
	nursery.events = epoll_create1(EPOLL_CLOEXEC);
	nursery.asked = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return nursery.events < 0 || nursery.asked < 0 ||
	       epoll_ctl(nursery.events, EPOLL_CTL_ADD, nursery.asked, &e) < 0 ? -errno : 0;
}

/* With all signals blocked: the child inherits them, and handlers of the host's must not run in it. */
static int make_nurse(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int err;

	if (nursery.host == getpid())
		return 0;
	err = renew_nursery();
	if (err)
		return err;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, &attr, nurse, 0);
	pthread_sigmask(SIG_SETMASK, &old, 0);
	pthread_attr_destroy(&attr);
	if (!err)
		nursery.host = getpid();
	return -err;
}

int td__process_spawn(struct td__spawn *s)
{
	int err;

	pthread_mutex_lock(&nursery.mutex);
	while (nursery.busy)
		pthread_cond_wait(&nursery.done, &nursery.mutex);
	err = make_nurse();
	if (!err) {
		nursery.busy = 1;
		nursery.order = s;
		nursery.ready = 0;
		eventfd_write(nursery.asked, 1);
		while (nursery.ready != s)
			pthread_cond_wait(&nursery.done, &nursery.mutex);
		nursery.busy = 0;
		pthread_cond_broadcast(&nursery.done);
		err = -s->error;
	}
	pthread_mutex_unlock(&nursery.mutex);
	return err;
}

/* ---- The runner's program */

static int in_folder(const char *folder, const char *rest, char *path, size_t room)
{
	int n = snprintf(path, room, "%s%s/tadan-runner", folder, rest);

	return n > 0 && (size_t)n < room && !access(path, X_OK);
}

int td__process_runner(char *path, size_t room, char *why, size_t size)
{
	const char *given = secure_getenv("TADAN_RUNNER");
	char folder[PATH_MAX];
	ssize_t n;

	if (given && *given) {
		snprintf(path, room, "%s", given);
		if (!access(path, X_OK))
			return 0;
		snprintf(why, size, "$TADAN_RUNNER names %s, which cannot be executed: %s", given, strerror(errno));
		return -TD_EOPNOTSUPP;
	}
	n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	if (n > 0) {
		folder[n] = 0;
		*strrchr(folder, '/') = 0;
		if (in_folder(folder, "", path, room) || in_folder(folder, "/..", path, room))
			return 0;
	}
	if (in_folder(TADAN_LIBEXEC_DIR, "", path, room))
		return 0;
	snprintf(why, size, "the program tadan-runner is neither beside this program nor in %s: install Tadan as a whole, or name it in "
		 "$TADAN_RUNNER", TADAN_LIBEXEC_DIR);
	return -TD_EOPNOTSUPP;
}
