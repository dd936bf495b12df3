/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests with a limit of time: see lanes.h. */
#include "lanes.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	READERS = 6, CHANGERS = 3, LANES = READERS + CHANGERS,
	LOOKS = 8,     /* in so many parts the time passes: when the whole process was stopped, only one of them is lost */
	HASTE_MS = 1000, /* for a request, at most, while another one is late */
	ERROR = 3, NOTICE = 5, /* priorities, as syslog */
};

enum state { NONE, IDLE, TAKEN, ASKED, DONE, LATE };

struct td__lane {
	struct td__lanes *of;
	uint8_t *buffer;
	pthread_cond_t cond; /* asked, or done: of the lane's thread, or of who asked */
	enum state state;
	td__lane_work *work;
	uint64_t off;
	size_t len;
	int result;
	uint64_t asked; /* td__port_monotonic() */
};

struct td__lanes {
	int fd;
	char *name;
	pthread_mutex_t mutex; /* guards all of it */
	pthread_cond_t idle;   /* a lane is, or its thread has ended */
	uint32_t ms, threads;
	int ends;
	uint64_t timeouts; /* so far */
	struct td__lane lane[LANES];
};

static int is_changer(const struct td__lane *lane)
{
	return lane - lane->of->lane >= READERS;
}

static uint32_t count_late(const struct td__lanes *l, int from, int end)
{
	uint32_t n = 0;

	for (int i = from; i < end; i++)
		n += l->lane[i].state == LATE;
	return n;
}

static void free_all(struct td__lanes *l)
{
	close(l->fd);
	for (int i = 0; i < LANES; i++) {
		free(l->lane[i].buffer);
		pthread_cond_destroy(&l->lane[i].cond);
	}
	pthread_cond_destroy(&l->idle);
	pthread_mutex_destroy(&l->mutex);
	free(l->name);
	free(l);
}

/* ---- A lane's thread */

static void say(const struct td__lane *lane, uint32_t priority, const char *what)
{
	uint64_t ms = (td__port_monotonic() - lane->asked) / 1000000;
	char line[512];

	snprintf(line, sizeof(line), "%s: %s %llu.%llu s: a %s at byte %llu", lane->of->name, what, (unsigned long long)ms / 1000,
		 (unsigned long long)ms / 100 % 10, is_changer(lane) ? "change" : "read", (unsigned long long)lane->off);
	td__port_log(priority, line);
}

/* The mutex is held. */
static void answer(struct td__lane *lane, int result)
{
	lane->result = result;
	if (lane->state == LATE) {
		say(lane, NOTICE, "the disk answers after");
		lane->state = IDLE;
		pthread_cond_broadcast(&lane->of->idle);
	} else {
		lane->state = DONE;
		pthread_cond_signal(&lane->cond);
	}
}

static void *serve(void *arg)
{
	struct td__lane *lane = arg;
	struct td__lanes *l = lane->of;
	int result, last;

	pthread_mutex_lock(&l->mutex);
	for (;;) {
		while (lane->state != ASKED && !l->ends)
			pthread_cond_wait(&lane->cond, &l->mutex);
		if (lane->state != ASKED)
			break;
		pthread_mutex_unlock(&l->mutex);
		result = lane->work(l->fd, lane->off, lane->buffer, lane->len);
		pthread_mutex_lock(&l->mutex);
		answer(lane, result);
	}
	last = !--l->threads && l->ends == 2;
	pthread_cond_broadcast(&l->idle);
	pthread_mutex_unlock(&l->mutex);
	if (last)
		free_all(l);
	return NULL;
}

/* The thread hears no signals: they are for those of the program. */
static int start(struct td__lane *lane)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int err;

	lane->buffer = malloc(TD__LANE_BYTES);
	if (!lane->buffer)
		return -ENOMEM;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&thread, &attr, serve, lane);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (err) {
		free(lane->buffer);
		lane->buffer = NULL;
		return err;
	}
	lane->of->threads++;
	lane->state = IDLE;
	return 0;
}

/* ---- Waiting */

static uint32_t patience(const struct td__lanes *l)
{
	return count_late(l, 0, LANES) && l->ms > HASTE_MS ? HASTE_MS : l->ms;
}

/* A part of so much time. 1: it is over. */
static int wait_part(struct td__lanes *l, pthread_cond_t *cond, uint32_t ms)
{
	uint64_t part = ms * 1000000ull / LOOKS;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	part += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(part / 1000000000);
	until.tv_nsec = (long)(part % 1000000000);
	return pthread_cond_timedwait(cond, &l->mutex, &until) == ETIMEDOUT;
}

/* One that is idle, or can be made so; 0: none. */
static struct td__lane *find(struct td__lanes *l, int from, int end)
{
	struct td__lane *fresh = NULL;

	for (int i = from; i < end; i++) {
		if (l->lane[i].state == IDLE)
			return &l->lane[i];
		if (l->lane[i].state == NONE && !fresh)
			fresh = &l->lane[i];
	}
	return fresh && !start(fresh) ? fresh : NULL;
}

/* How many lanes may be late before nobody is let in: all that read, or one that changes. */
static int is_shut(const struct td__lanes *l, int changes)
{
	return changes ? count_late(l, READERS, LANES) > 0 : count_late(l, 0, READERS) == READERS;
}

int td__lane_begin(struct td__lanes *l, int changes, struct td__lane **out)
{
	int from = changes ? READERS : 0, end = changes ? LANES : READERS, err = 0;
	uint32_t looks = 0;

	pthread_mutex_lock(&l->mutex);
	while (!is_shut(l, changes) && !(*out = find(l, from, end)) && !err) {
		if (!l->lane[from].buffer)
			err = -EAGAIN; /* not even one thread can be had */
		else if (wait_part(l, &l->idle, patience(l)) && ++looks == LOOKS)
			err = -ETIMEDOUT;
	}
	if (is_shut(l, changes))
		err = -ETIMEDOUT;
	if (!err)
		(*out)->state = TAKEN;
	pthread_mutex_unlock(&l->mutex);
	return err;
}

void *td__lane_buffer(struct td__lane *lane)
{
	return lane->buffer;
}

int td__lane_run(struct td__lane *lane, td__lane_work *work, uint64_t off, size_t len)
{
	struct td__lanes *l = lane->of;
	uint32_t looks = 0, ms;
	int result;

	pthread_mutex_lock(&l->mutex);
	lane->work = work;
	lane->off = off;
	lane->len = len;
	lane->asked = td__port_monotonic();
	lane->state = ASKED;
	pthread_cond_signal(&lane->cond);
	for (ms = patience(l); lane->state == ASKED && looks < LOOKS;)
		looks += (uint32_t)wait_part(l, &lane->cond, ms);
	result = lane->state != DONE ? -ETIMEDOUT : lane->result == -ETIMEDOUT ? -EIO : lane->result;
	if (lane->state == ASKED) {
		lane->state = LATE;
		l->timeouts++;
		say(lane, ERROR, "the disk has not answered for");
		pthread_cond_broadcast(&l->idle);
	}
	pthread_mutex_unlock(&l->mutex);
	return result;
}

void td__lane_end(struct td__lane *lane)
{
	pthread_mutex_lock(&lane->of->mutex);
	lane->state = IDLE;
	pthread_cond_broadcast(&lane->of->idle);
	pthread_mutex_unlock(&lane->of->mutex);
}

/* ---- All of them */

struct td__lanes *td__lanes_create(int fd, const char *name)
{
	struct td__lanes *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;

	if (!l)
		return NULL;
	l->name = strdup(name);
	if (!l->name) {
		free(l);
		return NULL;
	}
	l->fd = fd;
	pthread_mutex_init(&l->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->idle, &attr);
	for (int i = 0; i < LANES; i++) {
		l->lane[i].of = l;
		pthread_cond_init(&l->lane[i].cond, &attr);
	}
	pthread_condattr_destroy(&attr);
	return l;
}

void td__lanes_limit(struct td__lanes *l, uint32_t ms)
{
	l->ms = ms;
}

int td__lanes_are_limited(const struct td__lanes *l)
{
	return l->ms != 0;
}

/* Late ones keep the file, and its lock, until they are back; then the last one's thread frees everything. */
void td__lanes_end(struct td__lanes *l)
{
	int gone;

	pthread_mutex_lock(&l->mutex);
	l->ends = 1;
	for (int i = 0; i < LANES; i++)
		pthread_cond_signal(&l->lane[i].cond);
	while (l->threads > count_late(l, 0, LANES))
		pthread_cond_wait(&l->idle, &l->mutex);
	l->ends = 2;
	gone = !l->threads;
	pthread_mutex_unlock(&l->mutex);
	if (gone)
		free_all(l);
}

int td__lanes_check(struct td__lanes *l)
{
	int shut;

	pthread_mutex_lock(&l->mutex);
	shut = is_shut(l, 1);
	pthread_mutex_unlock(&l->mutex);
	return shut ? -ETIMEDOUT : 0;
}

void td__lanes_state(struct td__lanes *l, struct td__disk_state *out)
{
	uint64_t now = td__port_monotonic(), asked = now;

	pthread_mutex_lock(&l->mutex);
	*out = (struct td__disk_state){ .limit_ms = l->ms, .timeouts = l->timeouts, .late = count_late(l, 0, LANES) };
	for (int i = 0; i < LANES; i++)
		if (l->lane[i].state == LATE && l->lane[i].asked < asked)
			asked = l->lane[i].asked;
	out->late_ms = (now - asked) / 1000000;
	pthread_mutex_unlock(&l->mutex);
}
