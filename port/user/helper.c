/* SPDX-License-Identifier: BSD-2-Clause */
/* Helpers: a thread each, which sleeps until it is asked. */
#include "../../core/port.h"
#include "common.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct td__helper {
	void (*work)(void *arg);
	void *arg;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t asked;
	int wanted, ends;
};

static void *run(void *of)
{
	struct td__helper *h = of;

	td__port_be_common();
	pthread_mutex_lock(&h->mutex);
	for (;;) {
		while (!h->wanted && !h->ends)
			pthread_cond_wait(&h->asked, &h->mutex);
		if (h->ends)
			break;
		h->wanted = 0;
		pthread_mutex_unlock(&h->mutex);
		h->work(h->arg);
		pthread_mutex_lock(&h->mutex);
	}
	pthread_mutex_unlock(&h->mutex);
	return NULL;
}

/* The thread hears no signals: they are for those of the program. */
struct td__helper *td__port_helper_start(void (*work)(void *arg), void *arg)
{
	struct td__helper *h = calloc(1, sizeof(*h));
	sigset_t all, old;
	int err;

	if (!h)
		return NULL;
	h->work = work;
	h->arg = arg;
	pthread_mutex_init(&h->mutex, NULL);
	pthread_cond_init(&h->asked, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&h->thread, NULL, run, h);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		return h;
	free(h);
	return NULL;
}

void td__port_helper_ask(struct td__helper *h)
{
	pthread_mutex_lock(&h->mutex);
	h->wanted = 1;
	pthread_cond_signal(&h->asked);
	pthread_mutex_unlock(&h->mutex);
}

void td__port_helper_stop(struct td__helper *h)
{
	pthread_mutex_lock(&h->mutex);
	h->ends = 1;
	pthread_cond_signal(&h->asked);
	pthread_mutex_unlock(&h->mutex);
	pthread_join(h->thread, NULL);
	pthread_mutex_destroy(&h->mutex);
	pthread_cond_destroy(&h->asked);
	free(h);
}
