/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * On which core a thread of the module's process runs.
 *
 *   ANYWHERE --> HERE, on the caller's core, while both take turns asleep <--> AWAY from it, while both spin
 *
 * Left alone, Linux chooses anew at each wakeup: often the caller's core where the other side spins, and often an idle one where it sleeps,
 * which takes long to wake, above all in a virtual machine. Wherever the caller goes the thread follows. What it may use at all is
 * what the process's first thread may, which is never moved: so it is what the host was started with, and follows if somebody changes that.
 *
 * Threads have numbers that other processes get in time. But the module's end only with their process, and what a number is used for
 * happens long before all numbers have come round.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process.h"

/* The number that a thread has in its own namespace: the last one of the line NSpid. */
static int32_t inner_number(pid_t pid, const char *thread)
{
	char path[64], line[256];
	int32_t number = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", (int)pid, thread);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (!number && fgets(line, sizeof(line), f))
		if (!strncmp(line, "NSpid:", 6))
			number = (int32_t)strtol(strrchr(line, '\t') ? strrchr(line, '\t') : line, 0, 10);
	fclose(f);
	return number;
}

void td__process_find_threads(struct td__process *p)
{
	const struct dirent *entry;
	char path[40];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)p->pid);
	tasks = opendir(path);
	if (!tasks)
		return;
	while ((entry = readdir(tasks))) {
		int32_t inner = entry->d_name[0] == '.' ? 0 : inner_number(p->pid, entry->d_name);

		for (uint32_t i = 0; inner && i < p->nslots; i++)
			if (p->seats[i].control->thread == inner)
				p->seats[i].thread = (pid_t)strtol(entry->d_name, 0, 10);
	}
	closedir(tasks);
}

/* ---- Cores */

enum { WORD = 8 * sizeof(unsigned long), WORDS = 8192 / WORD };

/* The cores of a thread. Returns bytes, 0: it cannot be told. */
static long cores_of(pid_t thread, unsigned long set[WORDS])
{
	long size = syscall(SYS_sched_getaffinity, thread, WORDS * sizeof(set[0]), set);

	return size > 0 ? size : 0;
}

static int put(const struct td__seat *s, const unsigned long *set, long size)
{
	if (!size || !s->thread)
		return -ESRCH;
	return syscall(SYS_sched_setaffinity, s->thread, size, set) < 0 ? -errno : 0;
}

uint32_t td__process_cores(const struct td__process *p)
{
	unsigned long set[WORDS];
	long size = cores_of(p->pid, set);
	uint32_t n = 0;

	for (long i = 0; i < size / (long)sizeof(set[0]); i++)
		n += (uint32_t)__builtin_popcountl(set[i]);
	return n;
}

int td__place(const struct td__process *p, struct td__seat *s, enum td__place place)
{
	unsigned long set[WORDS], bit;
	long size = cores_of(p->pid, set);
	int core = sched_getcpu(), err;

	if (core < 0 || core >= 8 * size)
		return -EINVAL;
	s->place = place;
	s->place_core = core;
	bit = set[core / WORD] & 1ul << core % WORD;
	if (place == TD__PLACE_HERE)
		memset(set, 0, (size_t)size);
	set[core / WORD] = place == TD__PLACE_HERE ? bit : set[core / WORD] & ~bit;
	err = put(s, set, size);
	return err == -EINVAL ? err : 0;
}
