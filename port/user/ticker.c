/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tickers: one thread for all mounts of the process calls each at its interval. It starts with the first ticker and
 * ends with the last. The mutex is held while a ticker's function runs, so td__port_ticker_stop() returns when it is done.
 */
#include "../../core/port.h"
#include "common.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct td__ticker {
	void (*tick)(void *arg);
	void *arg;
	uint64_t ns, due;
	struct td__ticker *next;
};

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct td__ticker *all;
	int running;
} tickers = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void sleep_until(uint64_t due)
{
	uint64_t now = td__port_monotonic(), ns = due > now ? due - now : 0;
	struct timespec t;

	/* The default clock of a condition: a step of the wall clock makes one tick early or late. */
	clock_gettime(CLOCK_REALTIME, &t);
	ns += (uint64_t)t.tv_nsec;
	t.tv_sec += (time_t)(ns / 1000000000);
	t.tv_nsec = (long)(ns % 1000000000);
	pthread_cond_timedwait(&tickers.changed, &tickers.mutex, &t);
}

static void *run(void *arg)
{
	(void)arg;
	td__port_be_common();
	pthread_mutex_lock(&tickers.mutex);
	while (tickers.all) {
		uint64_t now = td__port_monotonic(), next = now + 1000000000;

		for (struct td__ticker *t = tickers.all; t; t = t->next) {
			if (t->due <= now) {
				t->tick(t->arg);
				t->due = now + t->ns;
			}
			if (t->due < next)
				next = t->due;
		}
		sleep_until(next);
	}
	tickers.running = 0;
	pthread_mutex_unlock(&tickers.mutex);
	return NULL;
}

/* The thread hears no signals: they are for those of the program. */
static int start_thread(void)
{
	sigset_t all, old;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		pthread_detach(thread);
	return err;
}

struct td__ticker *td__port_ticker_start(void (*tick)(void *arg), void *arg, uint32_t ms)
{
	struct td__ticker *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->tick = tick;
	t->arg = arg;
	t->ns = ms * 1000000ull;
	t->due = td__port_monotonic() + t->ns;
	pthread_mutex_lock(&tickers.mutex);
	t->next = tickers.all;
	tickers.all = t;
	if (!tickers.running) {
		tickers.running = !start_thread();
		if (!tickers.running) {
			tickers.all = t->next;
			free(t);
			t = NULL;
		}
	}
	pthread_cond_signal(&tickers.changed);
	pthread_mutex_unlock(&tickers.mutex);
	return t;
}

void td__port_ticker_stop(struct td__ticker *ticker)
{
	struct td__ticker **at = &tickers.all;

	pthread_mutex_lock(&tickers.mutex);
	while (*at != ticker)
		at = &(*at)->next;
	*at = ticker->next;
	pthread_cond_signal(&tickers.changed);
	pthread_mutex_unlock(&tickers.mutex);
	free(ticker);
}
