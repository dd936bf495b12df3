/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker that follows its client: it runs on the client's core, and only when nothing else wants to run there (SCHED_IDLE).
 *
 * Linux tells which thread makes a request, and /proc on which core that was last. It does not where the client is in another namespace of
 * processes than the mount, or hidden: then nobody is followed. To ask takes some 10 us, to go there 50.
 *
 * The policy is what makes the client stay: who wakes a thread is mostly seen as keeping its own core busy, and Linux moves the woken one to an
 * idle core. One that runs only such a worker counts as idle.
 *
 * But such a worker gets next to nothing of a core that another program keeps busy. So serve, which sees within milliseconds that nothing
 * goes on, sets it free (td__fuse_free_followers), and patience.c tries other ways.
 *
 * A worker never leaves the cores that the program was started with, and one whose cores or policy somebody else has changed stays as it is
 * from then on. Nobody follows where the policy was another to begin with, or could not be had back, which takes CAP_SYS_NICE or
 * RLIMIT_NICE. States of `follows`: 0 <-> 1 by the worker, 1 -> 0 by serve, under f->moving.
 */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATE_FIELD = 3, CORE_FIELD = 39, STAT_SIZE = 1024 }; /* of proc(5): the first behind the name, which may hold anything */

/* From a space on; 0: there is none. */
static const char *find_field(const char *text, int wanted)
{
	const char *at = strrchr(text, ')');

	if (at)
		at++;
	for (int field = STATE_FIELD; at && field < wanted; field++)
		at = strchr(at + 1, ' ');
	return at;
}

static int read_stat(uint32_t thread, char text[STAT_SIZE])
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/task/%u/stat", thread, thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	n = read(fd, text, STAT_SIZE - 1);
	close(fd);
	if (n < 0)
		return -ESRCH;
	text[n] = 0;
	return 0;
}

static int core_of(uint32_t thread)
{
	char text[STAT_SIZE];
	int err = read_stat(thread, text);
	const char *at = err ? NULL : find_field(text, CORE_FIELD);

	return at ? atoi(at) : -ESRCH;
}

/* Or has it, which /proc does not tell apart, and has had it for longer than most requests take. */
static int wants_core(uint32_t thread)
{
	char text[STAT_SIZE];
	int err = read_stat(thread, text);
	const char *at = err ? NULL : find_field(text, STATE_FIELD);

	return at && at[0] == ' ' && at[1] == 'R';
}

static int set_policy(pid_t thread, int policy)
{
	return sched_setscheduler(thread, policy, &(struct sched_param){ 0 });
}

static void *try_policies(void *arg)
{
	*(int *)arg = sched_getscheduler(0) == SCHED_OTHER && !set_policy(0, SCHED_IDLE) && !set_policy(0, SCHED_OTHER);
	return NULL;
}

/* By a thread of its own, which is lost if there is no way back. */
void td__fuse_follow_init(struct td_fuse *f, int wanted)
{
	pthread_t thread;

	pthread_mutex_init(&f->moving, NULL);
	f->may_follow = 0;
	if (wanted && f->cores > 1 && !pthread_create(&thread, NULL, try_policies, &f->may_follow))
		pthread_join(thread, NULL);
}

/* It is as we left it. */
static int is_ours(const struct td_fuse *f, const struct td__fuse_worker *w)
{
	int follows = atomic_load(&w->follows);
	cpu_set_t now, left = f->allowed;

	if (follows) {
		CPU_ZERO(&left);
		CPU_SET(w->core, &left);
	}
	return !sched_getaffinity(w->tid, sizeof(now), &now) && CPU_EQUAL(&now, &left) &&
	       sched_getscheduler(w->tid) == (follows ? SCHED_IDLE : SCHED_OTHER);
}

static void set_free(const struct td_fuse *f, struct td__fuse_worker *w)
{
	w->stays = !is_ours(f, w);
	if (sched_getscheduler(w->tid) == SCHED_IDLE)
		set_policy(w->tid, SCHED_OTHER);
	if (!w->stays)
		sched_setaffinity(w->tid, sizeof(f->allowed), &f->allowed);
	atomic_store(&w->follows, 0);
}

static int go_to(const struct td_fuse *f, struct td__fuse_worker *me, int core)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(core, &one);
	if (!me->stays && !is_ours(f, me))
		set_free(f, me);
	if (me->stays)
		return -EPERM;
	if (sched_setaffinity(0, sizeof(one), &one))
		return -errno;
	me->core = core;
	if (!atomic_exchange(&me->follows, 1))
		set_policy(0, SCHED_IDLE);
	return 1;
}

int td__fuse_follow(struct td_fuse *f, struct td__fuse_worker *me)
{
	int core, moved;

	if (!f->may_follow || me->ring)
		return -EPERM;
	core = core_of(atomic_load_explicit(&f->client, memory_order_relaxed));
	if (core < 0 || core >= CPU_SETSIZE || !CPU_ISSET(core, &f->allowed))
		return -ESRCH;
	pthread_mutex_lock(&f->moving);
	moved = atomic_load(&me->follows) && me->core == core ? 0 : go_to(f, me, core);
	pthread_mutex_unlock(&f->moving);
	return moved;
}

void td__fuse_roam(struct td_fuse *f, struct td__fuse_worker *me)
{
	if (!atomic_load(&me->follows))
		return;
	pthread_mutex_lock(&f->moving);
	if (atomic_load(&me->follows))
		set_free(f, me);
	pthread_mutex_unlock(&f->moving);
}

/*
 * One that has answered and is not back yet for lack of a core is no harm, unless there is a request to be taken. One that has the mutex
 * is on its way, and there is another time.
 */
void td__fuse_free_followers(struct td_fuse *f)
{
	struct pollfd p = { .fd = fuse_session_fd(f->session), .events = POLLIN };
	int waits = poll(&p, 1, 0) > 0;

	for (int i = 0; i < f->nworkers; i++) {
		struct td__fuse_worker *w = &f->workers[i];

		if (!atomic_load(&w->follows) || !(waits || atomic_load(&w->busy)) || !wants_core(w->tid) ||
		    pthread_mutex_trylock(&f->moving))
			continue;
		if (atomic_load(&w->follows))
			set_free(f, w);
		pthread_mutex_unlock(&f->moving);
	}
}
