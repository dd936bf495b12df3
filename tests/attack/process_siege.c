/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host under siege: process_hostile in place of the runner, and kill -9 at any moment.
 *
 *   process_siege FOLDER HOSTILE SEEDS [FIRST]   SEEDS runs against the program HOSTILE, from seed FIRST on
 *   process_siege FOLDER kill ROUNDS             the real runner, killed while four threads make calls
 *
 * It passes if the host is still there, every call has returned, a volume with the real runner still works, and no child or
 * descriptor is left. The sanitizers see the rest.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
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

enum { CALLERS = 4, CALLS = 24 };

static char module[4096];

static int open_volume(const char *level, struct td_volume **volume, int loud)
{
	struct td_volume_params params = { .module = module, .level = level, .size = 1 << 20 };
	char why[512];
	int err = td_volume_open(&params, volume, why, sizeof(why));

	if (err && loud)
		fprintf(stderr, "process_siege: %s\n", why);
	return err;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Once a process has been started, for those that the host keeps. */
static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Any operation; what comes of it does not matter. */
static void any_call(struct td__fs *fs, uint32_t i)
{
	static const struct td_cred root = { .uid = 0 };
	static char bytes[65536];
	struct td_name name = { (const uint8_t *)"name", 4 };
	td_handle dir = td_fs_root(fs);
	uint32_t n = 0;
	uint64_t found;
	struct td_fsinfo info;
	td_attr attr, attrs[8];
	char own[4096];

	switch (i % 12) {
	case 0: td__fs_seek(fs, 0, i, ACT_NOTHING, &found); break;
	case 1:
		if (!td_lookup(fs, &root, dir, name, &attr)) {
			td_read(fs, attr.handle, 0, own, sizeof(own));
			td_write(fs, &root, attr.handle, 4096, bytes, sizeof(bytes));
			td_forget(fs, attr.handle, 1);
		}
		break;
	case 2: td_readdir(fs, &root, dir, 0, own, sizeof(own), attrs, (n = 8, &n)); break;
	case 3: td_statfs(fs, &info); break;
	case 4: td_getxattr(fs, &root, dir, (struct td_name){ (const uint8_t *)"user.x", 6 }, own, sizeof(own)); break;
	case 5: td_listxattr(fs, &root, dir, own, sizeof(own)); break;
	case 6:
		if (!td_make(fs, &root, dir, name, TD_REG, 0644, 0, (struct td_in){ 0 }, &attr))
			td_forget(fs, attr.handle, 1);
		break;
	case 7: td_unlink(fs, &root, dir, name); break;
	case 8: td_rename(fs, &root, dir, name, dir, (struct td_name){ (const uint8_t *)"other", 5 }, 0); break;
	case 9: td_make(fs, &root, dir, name, TD_LNK, 0777, 0, (struct td_in){ "target", 6 }, &attr); break;
	case 10: td_readlink(fs, dir, own, sizeof(own)); break;
	default: td_sync(fs); break;
	}
}

/* ---- Against a hostile runner */

/* 1: the volume could be opened, as polite runners let it. */
static int one_siege(unsigned seed)
{
	char level[128];
	struct td_volume *volume;

	snprintf(level, sizeof(level), "isolated,shared=%s,time=20ms,restart=3/60s,memory=%uK",
		 seed / 8 % 3 == 0 ? "ro" : seed / 8 % 3 == 1 ? "unmapped" : "rw", 4096 + seed * 4);
	if (open_volume(level, &volume, 0))
		return 0;
	for (uint32_t i = 0; i < CALLS; i++)
		any_call(td_volume_fs(volume), i + seed);
	td_volume_close(volume);
	return 1;
}

static int siege(const char *hostile, unsigned seeds, unsigned first)
{
	unsigned opened = 0;

	setenv("TADAN_RUNNER", hostile, 1);
	for (unsigned seed = first; seed < first + seeds; seed++) {
		fprintf(stderr, "seed %u\r", seed);
		opened += (unsigned)one_siege(seed);
	}
	printf("%u sieges, %u of them from within\n", seeds, opened);
	return seeds >= 8 && opened < seeds / 4;
}

/* ---- kill -9 */

static struct td_volume *target;
static volatile int over;
static uint64_t longest;

static void *caller(void *arg)
{
	uint64_t failed = 0;

	while (!over) {
		uint64_t found = 0, begin = now_ms(), took;

		if (td__fs_seek(td_volume_fs(target), 0, 1, ACT_GREET, &found))
			failed++;
		took = now_ms() - begin;
		if (took > longest)
			longest = took;
	}
	*(uint64_t *)arg = failed;
	return 0;
}

static int killing(unsigned rounds)
{
	uint64_t failed[CALLERS] = { 0 }, all = 0;
	struct td_status status;
	pthread_t threads[CALLERS];
	int64_t killed = 0;

	if (open_volume("isolated,restart=1000/1s", &target, 1))
		return 1;
	for (int i = 0; i < CALLERS; i++)
		pthread_create(&threads[i], 0, caller, &failed[i]);
	for (unsigned i = 0; i < rounds; i++) {
		struct timespec pause = { 0, 1000000 + i % 7 * 700000 };

		/* A process that dies before its first call could not be started: that is another matter. */
		do {
			nanosleep(&pause, 0);
			td_get_status(td_volume_fs(target), &status);
		} while (status.process == killed || status.state != TD_STATE_RUNNING);
		killed = status.process;
		kill((pid_t)killed, SIGKILL);
	}
	over = 1;
	for (int i = 0; i < CALLERS; i++) {
		pthread_join(threads[i], 0);
		all += failed[i];
	}
	td_get_status(td_volume_fs(target), &status);
	printf("%u kills, %llu restarts, %llu faults, %llu calls failed with EIO, longest call %llu ms\n", rounds,
	       (unsigned long long)status.restarts, (unsigned long long)status.faults, (unsigned long long)all,
	       (unsigned long long)longest);
	td_volume_close(target);
	/* A call fails only if it was hit twice. */
	return status.restarts < rounds - 1 || all > rounds || status.state != TD_STATE_RUNNING;
}

/* Is all as before? */
static int aftermath(int before)
{
	struct td_volume *volume;
	uint64_t found = 0;
	int err;

	if (open_volume("isolated", &volume, 1))
		return 1;
	err = td__fs_seek(td_volume_fs(volume), 0, 1, ACT_GREET, &found);
	td_volume_close(volume);
	if (err || found != 1)
		return fprintf(stderr, "process_siege: the kernel does not work any more: %d\n", err), 1;
	if (waitpid(-1, 0, WNOHANG | __WALL) >= 0 || errno != ECHILD)
		return fprintf(stderr, "process_siege: a child is left\n"), 1;
	if (descriptors() != before)
		return fprintf(stderr, "process_siege: %d descriptors instead of %d\n", descriptors(), before), 1;
	return 0;
}

int main(int argc, char **argv)
{
	const char *runner = getenv("TADAN_RUNNER");
	char *kept = runner ? strdup(runner) : 0;
	struct td_volume *volume;
	int before, failed;

	if (argc < 4) {
		fprintf(stderr, "usage: process_siege FOLDER HOSTILE|kill COUNT [FIRST]\n");
		return 2;
	}
	snprintf(module, sizeof(module), "%s/process_acts.so", argv[1]);
	if (open_volume("isolated", &volume, 1))
		return 1;
	td_volume_close(volume);
	before = descriptors();
	if (strcmp(argv[2], "kill"))
		failed = siege(argv[2], (unsigned)atoi(argv[3]), argc > 4 ? (unsigned)atoi(argv[4]) : 0);
	else
		failed = killing((unsigned)atoi(argv[3]));
	if (kept)
		setenv("TADAN_RUNNER", kept, 1);
	else
		unsetenv("TADAN_RUNNER");
	failed = failed || aftermath(before);
	free(kept);
	printf("%d passed, %d failed, 0 skipped\n", !failed, failed);
	return failed;
}
