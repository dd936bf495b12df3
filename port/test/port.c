/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks, threads and time of core/port.h, by one thread at a time: see sched.h. Pages and disks are not here. */
#include "../../core/port.h"
#include "sched.h"

#include <stdio.h>
#include <stdlib.h>

void *td__port_alloc(size_t size)
{
	return calloc(1, size);
}

void td__port_free(void *memory, size_t size)
{
	(void)size;
	free(memory);
}

/* ---- Mutexes: space[0] is the owner plus 1 */

void td__mutex_init(struct td__mutex *m)
{
	m->space[0] = 0;
}

static void take(struct td__mutex *m)
{
	while (m->space[0])
		td__sched_sleep(m);
	m->space[0] = td__sched_self() + 1;
}

void td__mutex_lock(struct td__mutex *m)
{
	td__sched_point();
	if (m->space[0] == td__sched_self() + 1)
		td__sched_fail("a mutex is taken twice");
	take(m);
}

void td__mutex_unlock(struct td__mutex *m)
{
	if (m->space[0] != td__sched_self() + 1)
		td__sched_fail("a mutex is given back by somebody else");
	m->space[0] = 0;
	td__sched_wake(m);
}

void td__mutex_fini(struct td__mutex *m)
{
	TD__ASSERT(!m->space[0]);
}

/* ---- Conditions */

void td__cond_init(struct td__cond *c)
{
	c->space[0] = 0;
}

void td__cond_wait(struct td__cond *c, struct td__mutex *m, uint32_t ms)
{
	(void)ms;
	td__mutex_unlock(m);
	td__sched_sleep(c);
	take(m);
}

void td__cond_broadcast(struct td__cond *c)
{
	td__sched_wake(c);
}

void td__cond_fini(struct td__cond *c)
{
	(void)c;
}

/* ---- Locks for readers and writers: space[0] readers, space[1] is 1 with a writer */

void td__rwlock_init(struct td__rwlock *l)
{
	l->space[0] = l->space[1] = 0;
}

void td__rwlock_shared(struct td__rwlock *l)
{
	td__sched_point();
	while (l->space[1])
		td__sched_sleep(l);
	l->space[0]++;
}

void td__rwlock_exclusive(struct td__rwlock *l)
{
	td__sched_point();
	while (l->space[0] || l->space[1])
		td__sched_sleep(l);
	l->space[1] = 1;
}

void td__rwlock_unlock(struct td__rwlock *l)
{
	if (l->space[1])
		l->space[1] = 0;
	else
		l->space[0]--;
	td__sched_wake(l);
}

void td__rwlock_fini(struct td__rwlock *l)
{
	TD__ASSERT(!l->space[0] && !l->space[1]);
}

/* ---- Threads and time */

/* Here everything happens in one order. */
int td__port_barrier_all(void)
{
	td__sched_point();
	return 0;
}

static struct td__call *calls[TD__SCHED_THREADS];

uint32_t td__port_thread(void)
{
	return td__sched_self() + 1;
}

struct td__call *td__port_call(void)
{
	return calls[td__sched_self()];
}

void td__port_set_call(struct td__call *c)
{
	calls[td__sched_self()] = c;
}

static const void *callers[TD__SCHED_THREADS];

const void *td__port_caller(void)
{
	return callers[td__sched_self()];
}

void td__port_set_caller(const void *cred)
{
	callers[td__sched_self()] = cred;
}

uint64_t td__port_monotonic(void)
{
	return 1000000000;
}

void td__port_now(int64_t *sec, uint32_t *nsec)
{
	*sec = 1;
	*nsec = 0;
}

_Noreturn void td__port_panic(const char *file, int line, const char *what)
{
	static char text[256];

	snprintf(text, sizeof(text), "wrong state of the kernel: %s:%d: %s", file, line, what);
	td__sched_fail(text);
}
