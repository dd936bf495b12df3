/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals that end a server. They are blocked before any other thread exists, so that they arrive here
 * and nowhere else; what they do depends on the phase, see server.h.
 */
#include "server.h"

#include <signal.h>
#include <unistd.h>

static void ending_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

/* The mount is not there yet: leave nothing. Other threads are still at work, so no more than files is touched. */
static void give_up(struct td__server *s)
{
	td__image_undo(&s->image);
	if (s->has_runtime)
		td__runtime_give_back(&s->runtime);
	_exit(TD__CLI_FAILED);
}

static void *listen_to(void *arg)
{
	struct td__server *s = arg;
	sigset_t set;
	int sig;

	ending_signals(&set);
	for (;;) {
		if (sigwait(&set, &sig))
			continue;
		pthread_mutex_lock(&s->mutex);
		if (s->phase == TD__STARTING)
			give_up(s);
		if (s->phase == TD__ENDING)
			_exit(TD__CLI_FAILED);
		td_fuse_stop(s->fuse);
		pthread_mutex_unlock(&s->mutex);
	}
	return NULL;
}

int td__signals_start(struct td__server *s)
{
	sigset_t set;

	ending_signals(&set);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* over the limit of a file's size: the write says so */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return -pthread_create(&s->signals, NULL, listen_to, s);
}

/* sigwait() is where a thread can be cancelled; it never holds the mutex there. */
void td__signals_stop(struct td__server *s)
{
	pthread_mutex_lock(&s->mutex);
	pthread_cancel(s->signals);
	pthread_mutex_unlock(&s->mutex);
	pthread_join(s->signals, NULL);
}
