/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * On which core a thread of the module's process runs.
 *
 *   anywhere --its slot begins to spin--> AWAY from the caller's core --the slot stops--> HERE, on the caller's core --next crossing--> anywhere
 *
 * Left alone, Linux wakes a module's thread on its caller's core where it takes the other cores for busy, as a virtual machine's kernel
 * does if they are halted. That is the cheapest place if both sleep, and the worst if both spin. "Anywhere" is what the process's
 * first thread may use, which is never moved: so it is what the host was started with, and follows if somebody changes that.
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

int td__place_away(const struct td__process *p, struct td__seat *s)
{
	unsigned long set[WORDS];
	long size = cores_of(p->pid, set);
	int core = sched_getcpu(), err;

	if (core < 0 || core >= 8 * size)
		return 0;
	set[core / WORD] &= ~(1ul << core % WORD);
	err = put(s, set, size);
	s->away_from = err ? 0 : (uint32_t)core + 1;
	s->placed = !err;
	return err != -EINVAL;
}

int td__place_is_away(const struct td__seat *s)
{
	return !s->away_from || (uint32_t)sched_getcpu() + 1 == s->away_from;
}

void td__place_here(const struct td__process *p, struct td__seat *s)
{
	unsigned long set[WORDS], here[WORDS] = { 0 };
	long size = cores_of(p->pid, set);
	int core = sched_getcpu();

	if (core < 0 || core >= 8 * size)
		return;
	here[core / WORD] = set[core / WORD] & 1ul << core % WORD;
	put(s, here, size);
	s->away_from = 0;
}

void td__place_anywhere(const struct td__process *p, struct td__seat *s)
{
	unsigned long set[WORDS];

	put(s, set, cores_of(p->pid, set));
	s->placed = 0;
}
