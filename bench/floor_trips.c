/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * floor: round trips between two processes, over shared memory or pipes.
 *
 * The parent sends a number and waits until the partner has answered with it. Both are pinned, to
 * one core or to two; a round trip on one core includes two switches of context, one on two cores
 * includes waking a core that may sleep. Spinning is measured on two cores only: on one it would
 * measure the scheduler's time slice.
 */
#include "floor.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCHES = 101, TRIPS = 200, SPINS = 2000 };
#define STOP UINT32_MAX

/* Each word has a cache line of its own: they are written by different cores. */
struct channel {
	_Alignas(64) _Atomic uint32_t request;
	_Alignas(64) _Atomic uint32_t answer;
	int to[2], from[2]; /* pipes */
	uint32_t number;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value)
{
	syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void futex_post(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store(word, value);
	futex(word, FUTEX_WAKE, 1);
}

static uint32_t futex_await(_Atomic uint32_t *word, uint32_t old)
{
	uint32_t now;

	while ((now = atomic_load(word)) == old)
		futex(word, FUTEX_WAIT, old);
	return now;
}

static uint32_t spin_await(_Atomic uint32_t *word, uint32_t old)
{
	uint32_t now;

	while ((now = atomic_load_explicit(word, memory_order_acquire)) == old) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
	}
	return now;
}

static void futex_trips(void *arg, unsigned n)
{
	struct channel *c = arg;

	while (n--) {
		uint32_t old = c->number++;

		futex_post(&c->request, c->number);
		futex_await(&c->answer, old);
	}
}

static void futex_partner(struct channel *c)
{
	for (uint32_t n = 0; (n = futex_await(&c->request, n)) != STOP;)
		futex_post(&c->answer, n);
}

static void futex_stop(struct channel *c)
{
	futex_post(&c->request, STOP);
}

static void spin_trips(void *arg, unsigned n)
{
	struct channel *c = arg;

	while (n--) {
		uint32_t old = c->number++;

		atomic_store_explicit(&c->request, c->number, memory_order_release);
		spin_await(&c->answer, old);
	}
}

static void spin_partner(struct channel *c)
{
	for (uint32_t n = 0; (n = spin_await(&c->request, n)) != STOP;)
		atomic_store_explicit(&c->answer, n, memory_order_release);
}

static void spin_stop(struct channel *c)
{
	atomic_store(&c->request, STOP);
}

static void pipe_trips(void *arg, unsigned n)
{
	struct channel *c = arg;
	char byte = 0;

	while (n--)
		if (write(c->to[1], &byte, 1) != 1 || read(c->from[0], &byte, 1) != 1)
			die("floor: pipe");
}

static void pipe_partner(struct channel *c)
{
	char byte;

	close(c->to[1]);
	while (read(c->to[0], &byte, 1) == 1)
		if (write(c->from[1], &byte, 1) != 1)
			die("floor: pipe");
}

static void pipe_stop(struct channel *c)
{
	close(c->to[1]);
	c->to[1] = -1;
}

static const struct kind {
	const char *same, *other; /* names of the results */
	probe *trips;
	void (*partner)(struct channel *c);
	void (*stop)(struct channel *c);
	unsigned per_batch;
} kinds[] = {
	{ "futex_same_core", "futex_other_core", futex_trips, futex_partner, futex_stop, TRIPS },
	{ NULL, "spin_other_core", spin_trips, spin_partner, spin_stop, SPINS },
	{ "pipe_same_core", "pipe_other_core", pipe_trips, pipe_partner, pipe_stop, TRIPS },
};

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("floor: sched_setaffinity");
}

static struct channel *new_channel(void)
{
	struct channel *c =
		mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (c == MAP_FAILED)
		die("floor: mmap");
	if (pipe(c->to) < 0 || pipe(c->from) < 0)
		die("floor: pipe");
	return c;
}

static void free_channel(struct channel *c)
{
	for (int i = 0; i < 2; i++) {
		if (c->to[i] >= 0)
			close(c->to[i]);
		close(c->from[i]);
	}
	munmap(c, sizeof(*c));
}

static void measure_kind(const struct kind *k, const char *name, int cpu, int partner_cpu)
{
	struct channel *c = new_channel();
	pid_t pid = fork();

	if (pid < 0)
		die("floor: fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(partner_cpu);
		k->partner(c);
		_exit(0);
	}
	pin(cpu);
	measure(name, k->trips, c, BATCHES, k->per_batch);
	k->stop(c);
	waitpid(pid, NULL, 0);
	free_channel(c);
}

void measure_trips(void)
{
	int cpus[2], found = 0;
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		die("floor: sched_getaffinity");
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			cpus[found++] = cpu;
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct kind *k = &kinds[i];

		if (k->same)
			measure_kind(k, k->same, cpus[0], cpus[0]);
		if (found == 2)
			measure_kind(k, k->other, cpus[0], cpus[1]);
		else
			skipped(k->other, "there is one core only");
	}
	sched_setaffinity(0, sizeof(allowed), &allowed);
}
