/* SPDX-License-Identifier: BSD-2-Clause */
/* Something to be done at an interval, by a thread of its own. */
#include "server.h"

#include <time.h>

static void add_ms(struct timespec *t, unsigned ms)
{
	t->tv_nsec += (long)(ms % 1000) * 1000000;
	t->tv_sec += ms / 1000 + t->tv_nsec / 1000000000;
	t->tv_nsec %= 1000000000;
}

static bool before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static void *again_and_again(void *arg)
{
	struct td__every *e = arg;
	struct timespec at, now;

	clock_gettime(CLOCK_MONOTONIC, &at);
	pthread_mutex_lock(&e->mutex);
	while (!e->stop) {
		add_ms(&at, e->ms);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (before(&at, &now)) /* what was missed is not made up for */
			at = now;
		while (!e->stop && !pthread_cond_timedwait(&e->wake, &e->mutex, &at))
			;
		if (e->stop)
			break;
		pthread_mutex_unlock(&e->mutex);
		e->work(e->arg);
		pthread_mutex_lock(&e->mutex);
	}
	pthread_mutex_unlock(&e->mutex);
	return NULL;
}

int td__every_start(struct td__every *e, unsigned ms, void (*work)(void *arg), void *arg)
{
	pthread_condattr_t attr;
	int err;

	e->ms = ms;
	e->work = work;
	e->arg = arg;
	e->stop = false;
	pthread_mutex_init(&e->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->wake, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&e->thread, NULL, again_and_again, e);
	e->running = !err;
	return -err;
}

void td__every_stop(struct td__every *e)
{
	if (!e->running)
		return;
	pthread_mutex_lock(&e->mutex);
	e->stop = true;
	pthread_cond_signal(&e->wake);
	pthread_mutex_unlock(&e->mutex);
	pthread_join(e->thread, NULL);
	pthread_cond_destroy(&e->wake);
	pthread_mutex_destroy(&e->mutex);
	e->running = false;
}
