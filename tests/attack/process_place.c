/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the threads of a module's process may run, while it is called often, now and then, and not at all; and that nothing runs
 * where the host may not.
 *
 *   process_place FOLDER
 *
 * What Linux knows of the threads is looked at from outside, so nothing here hangs on times but for the limits of waiting.
 */
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <fs_gateway.h>
#include "../../core/mount.h"
#include "../../front/inproc/tadan.h"
#include "modules/process_acts.h"

enum { OFTEN = 400, NOW_AND_THEN_MS = 2, PATIENCE_MS = 20000, IDLE_MS = 200, IDLE_MOST_MS = 20 };

static const char *folder;
static int failed, passed;

static void check(const char *what, int ok)
{
	ok ? passed++ : failed++;
	if (!ok)
		printf("FAILED: %s\n", what);
}

static struct td_volume *open_volume(void)
{
	char path[4096], why[512];
	struct td_volume_params params = { .module = path, .level = "isolated", .size = 1 << 20 };
	struct td_volume *volume = 0;

	snprintf(path, sizeof(path), "%s/process_acts.so", folder);
	if (td_volume_open(&params, &volume, why, sizeof(why)))
		fprintf(stderr, "process_place: %s\n", why);
	return volume;
}

static pid_t process_of(struct td_volume *volume)
{
	struct td_status status;

	td_get_status(td_volume_fs(volume), &status);
	return (pid_t)status.process;
}

static void calls(struct td_volume *volume, int n)
{
	uint64_t found;
	int ok = 1;

	for (int i = 0; i < n; i++)
		ok &= !td__fs_seek(td_volume_fs(volume), 0, (uint64_t)i, ACT_NOTHING, &found);
	check("calls", ok);
}

static void rest(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, 0);
}

static void go_to(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

struct threads {
	int all, only, without, outside; /* those that may run on `core` alone, not there, or where `allowed` does not say so */
};

static struct threads look(pid_t pid, int core, const cpu_set_t *allowed)
{
	struct threads found = { 0 };
	const struct dirent *entry;
	char path[40];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		cpu_set_t set, both;

		if (entry->d_name[0] == '.' || sched_getaffinity(atoi(entry->d_name), sizeof(set), &set))
			continue;
		CPU_AND(&both, &set, allowed);
		found.all++;
		found.only += CPU_COUNT(&set) == 1 && CPU_ISSET(core, &set);
		found.without += !CPU_ISSET(core, &set);
		found.outside += !CPU_EQUAL(&both, &set);
	}
	if (tasks)
		closedir(tasks);
	return found;
}

/* A busy machine may need several tries: what cannot be had is not held. */
static int comes_away(struct td_volume *volume, int core, const cpu_set_t *allowed)
{
	for (int ms = 0; ms < PATIENCE_MS; ms += NOW_AND_THEN_MS) {
		calls(volume, OFTEN);
		if (look(process_of(volume), core, allowed).without)
			return 1;
		rest(NOW_AND_THEN_MS);
	}
	return 0;
}

static int comes_here(struct td_volume *volume, int core, const cpu_set_t *allowed)
{
	rest(NOW_AND_THEN_MS);
	calls(volume, 1);
	struct threads found = look(process_of(volume), core, allowed);
	return found.only == 1 && !found.without;
}

static uint64_t time_of_ms(pid_t pid)
{
	struct timespec t = { 0 };
	clockid_t clock;

	clock_getcpuclockid(pid, &clock);
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void on_two_cores(const cpu_set_t *allowed, const int core[2])
{
	struct td_volume *volume = open_volume();
	uint64_t began;

	check("a volume", volume != 0);
	if (!volume)
		return;
	for (int i = 0; i < 4; i++) {
		go_to(core[i % 2]);
		check("a module that is called often has another core", comes_away(volume, core[i % 2], allowed));
		check("the others stay where they were", look(process_of(volume), core[i % 2], allowed).without == 1);
		check("one that is called now and then has its caller's", comes_here(volume, core[i % 2], allowed));
		go_to(core[!(i % 2)]);
		check("and follows it", comes_here(volume, core[!(i % 2)], allowed));
	}
	calls(volume, OFTEN);
	rest(NOW_AND_THEN_MS);
	began = time_of_ms(process_of(volume));
	rest(IDLE_MS);
	check("nothing runs while nobody calls", time_of_ms(process_of(volume)) - began < IDLE_MOST_MS);
	td_volume_close(volume);
}

/* In a process of its own: what it may use is passed on to the modules of all of its threads. */
static void on_one_core(int core)
{
	pid_t pid = fork();
	int status = -1;

	if (!pid) {
		struct td_volume *volume;
		struct threads found;
		cpu_set_t set;

		go_to(core);
		sched_getaffinity(0, sizeof(set), &set);
		volume = open_volume();
		if (!volume)
			_exit(1);
		calls(volume, 2 * OFTEN);
		found = look(process_of(volume), core, &set);
		td_volume_close(volume);
		_exit(failed || !found.all || found.outside || found.only != found.all);
	}
	waitpid(pid, &status, 0);
	check("a host on one core keeps its modules there", status == 0);
}

int main(int argc, char **argv)
{
	int core[2], n = 0;
	cpu_set_t allowed;

	if (argc < 2)
		return 2;
	folder = argv[1];
	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &allowed))
			core[n++] = i;
	on_one_core(core[0]);
	if (n == 2)
		on_two_cores(&allowed, core);
	else
		printf("one core only: nothing to choose\n");
	printf("%d passed, %d failed, %d skipped\n", passed, failed, n < 2);
	return failed != 0;
}
