/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules that use the kernel wrongly, leave things behind, take too much, or are only slow: what is found and counted, what is a
 * fault, and what is let be, at each level.
 *
 *   kernel_use FOLDER LEVEL [CASE]
 *
 * FOLDER has the module. After each case a call must work, and nothing must be held or open.
 */
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
#include "../../core/fs.h"
#include "../../front/inproc/tadan.h"
#include "../../walls/walls.h"
#include "modules/use_acts.h"

static struct td_volume *volume;
static struct td__fs *fs;
static struct td_level level; /* as it is now */
static const char *folder, *name;
static struct td_status before, after;
static char said[512]; /* what was wrong */

static int act(enum use_act what, uint64_t off, uint64_t *found)
{
	uint64_t ignored = 0;

	return td__fs_seek(fs, fs->root, off, what, found ? found : &ignored);
}

/* ---- What is wanted */

#define WANT(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			snprintf(said, sizeof(said), "line %d: %s", __LINE__, #x); \
			return 1;                                               \
		}                                                               \
	} while (0)

static int deep(void)
{
	return level.check == TD_CHECK_DEEP;
}

static uint64_t more(enum td_mistake kind)
{
	td_get_status(fs, &after);
	return after.mistakes[kind] - before.mistakes[kind];
}

/* The kind of the newest fault since the case began; 0: there was none. */
static uint32_t fault(void)
{
	struct td_fault f[TD_FAULTS_KEPT];
	uint32_t n = td_get_faults(fs, before.faults, f, TD_FAULTS_KEPT);

	return n ? f[n - 1].kind : 0;
}

static uint64_t now_ms(void)
{
	return td__port_monotonic() / 1000000;
}

static int move_to(const char *knobs)
{
	char text[128], why[256];

	snprintf(text, sizeof(text), "%s,restart=1000/1s%s%s", name, knobs[0] ? "," : "", knobs);
	if (td_level_parse(text, &level, why, sizeof(why)) || td_set_level(fs, &level, 0, why, sizeof(why))) {
		snprintf(said, sizeof(said), "%s: %s", text, why);
		return 1;
	}
	td_get_status(fs, &before);
	return 0;
}

/* ---- Mistakes */

static int leave_bufs(void)
{
	WANT(!act(USE_LEAVE_BUFS, 3, 0));
	WANT(more(TD_MISTAKE_BUF) == 3 && !fault());
	return 0;
}

static int leave_lock(void)
{
	int err = act(USE_LEAVE_LOCK, 0, 0);

	WANT(deep() ? err == -EIO && fault() == TD_FAULT_LOCK : !err && !fault() && more(TD_MISTAKE_LOCK) == 1);
	return 0;
}

static int twice(void)
{
	WANT(!act(USE_RELEASE_TWICE, 0, 0) && more(TD_MISTAKE_HANDLE) == 1 && !fault());
	return 0;
}

/* Where a write is posted, the module is not there any more to hear of it. */
static int stale(void)
{
	int err = act(USE_STALE, 0, 0);

	WANT(more(TD_MISTAKE_HANDLE) >= 1);
	WANT(level.wall == TD_WALL_PROCESS ? err == -EIO && fault() == TD_FAULT_SERVICE : !err && !fault());
	return 0;
}

static int unlock(void)
{
	WANT(!act(USE_UNLOCK, 0, 0) && more(TD_MISTAKE_OPERATION) == 1 && !fault());
	return 0;
}

static int beyond(void)
{
	WANT(!act(USE_BEYOND, 0, 0) && more(TD_MISTAKE_ARGUMENT) == 1 && !fault());
	return 0;
}

/* What waits outside of the time limit waits for a server, and there is none: else a module could keep its caller for ever. */
static int asleep(void)
{
	uint64_t found = 0;

	WANT(!act(USE_SLEEP, 3600000, &found) && found == TD_EINVAL && more(TD_MISTAKE_ARGUMENT) == 1 && !fault());
	return 0;
}

static int foreign(void)
{
	act(USE_FOREIGN, 0x7777777777ull, 0);
	WANT(more(TD_MISTAKE_HANDLE) >= 1);
	return 0;
}

static int shared_record(void)
{
	WANT(!act(USE_SHARED_RECORD, 0, 0) && !fault());
	WANT(more(TD_MISTAKE_SHARED) == (deep() ? 1 : 0));
	WANT(fs->root->rec.size == 0);
	return 0;
}

static int free_twice(void)
{
	WANT(act(USE_FREE_TWICE, 0, 0) == -EIO && fault() == TD_FAULT_ILLEGAL);
	return 0;
}

/* ---- Limits, and what is left */

static int references(void)
{
	uint64_t found = 0;

	WANT(!move_to("handles=4,mistakes=1000"));
	act(USE_KEEP, 3, &found);
	WANT(found == 3);
	td_get_status(fs, &after);
	WANT(after.kept == 3 && !fault());
	WANT(!act(USE_GIVE_BACK, 2, 0));
	act(USE_KEEP, 5, 0); /* the fourth one too many; where it was posted, the call is undone */
	WANT(more(TD_MISTAKE_LIMIT) >= 1 && after.kept <= 4);
	act(USE_GIVE_BACK, 6, 0);
	WANT(more(TD_MISTAKE_HANDLE) >= 1);
	WANT(!after.kept);
	return 0;
}

static int memory(void)
{
	uint64_t found = 0;

	WANT(!move_to("memory=256K"));
	WANT(!act(USE_ALLOCATE, 512, &found) && found > 100 && found <= 256);
	td_get_status(fs, &after);
	WANT(after.heap_used == found * 1024);
	WANT(!act(USE_FREE, 0, 0));
	td_get_status(fs, &after);
	WANT(after.heap_used == 0 && !fault());
	return 0;
}

static int left_at_unload(void)
{
	struct td_status first = before;

	WANT(!act(USE_ALLOCATE, 5, 0) && !act(USE_KEEP, 2, 0) && !fault());
	for (int i = 0; i < 2; i++) {
		WANT(!move_to(""));
		WANT(before.left_memory - first.left_memory == 5 * 1024 && before.left_references - first.left_references == 2);
		WANT(!before.kept && !before.heap_used);
	}
	return 0;
}

static int undo(void)
{
	uint8_t *block = td__device_at(fs->device, 8);

	WANT(!move_to("undo=64K"));
	memset(block, 0xee, fs->device->bsize);
	WANT(!act(USE_WRITE_MUCH, 10, 0) && block[100] == 0);
	memset(block, 0xee, fs->device->bsize);
	WANT(act(USE_WRITE_MUCH, 20, 0) == -EIO && fault() == TD_FAULT_LIMIT && block[100] == 0xee);
	td_get_status(fs, &after);
	WANT(after.undo_most > 40000 && after.undo_most <= 64 << 10);
	return 0;
}

/* ---- Time */

/* How often slower than it should be is this machine, such as an emulated one? 1 and more. */
static unsigned slowness(void)
{
	const uint64_t begin = now_ms();

	act(USE_SPIN, 20, 0);
	return 1 + (unsigned)(now_ms() - begin) / 30;
}

/* For limits of so many milliseconds on a machine that is not slow. */
static int limit_to(unsigned ms)
{
	char knobs[64];

	snprintf(knobs, sizeof(knobs), "time=%ums/60s", ms * slowness());
	return move_to(knobs);
}

static int slow(void)
{
	uint64_t begin;

	WANT(!limit_to(150)); /* a busy machine may stop any step for a while */
	begin = now_ms();
	WANT(!act(USE_SLOW, 500, 0) && !fault());
	WANT(now_ms() - begin > 200); /* else it was not slow */
	return 0;
}

/* While everything is stopped, no call can get on. */
static int stopped(void)
{
	const struct timespec first = { .tv_nsec = 20000000 };
	pid_t self = getpid(), helper;
	struct timespec rest;
	int err, ended;

	WANT(!limit_to(150));
	rest.tv_sec = level.time_ms * 3 / 1000;
	rest.tv_nsec = level.time_ms * 3 % 1000 * 1000000;
	helper = fork();
	WANT(helper >= 0);
	if (!helper) {
		nanosleep(&first, NULL);
		kill(self, SIGSTOP);
		nanosleep(&rest, NULL);
		kill(self, SIGCONT);
		_exit(0);
	}
	err = act(USE_SPIN, 60, 0);
	waitpid(helper, &ended, 0);
	WANT(!err && !fault());
	return 0;
}

static int round_and_round(void)
{
	uint64_t begin;

	WANT(!move_to("time=60ms/60s"));
	begin = now_ms();
	WANT(act(USE_ROUND, 0, 0) == -EIO && fault() == TD_FAULT_TIME);
	WANT(now_ms() - begin < 5000);
	return 0;
}

static int wander(void)
{
	WANT(!move_to("time=60ms/300ms"));
	WANT(act(USE_WANDER, 0, 0) == -EIO && fault() == TD_FAULT_TIME);
	return 0;
}

struct other {
	pthread_t thread;
	enum use_act what;
	uint64_t off;
	int err;
};

static void *call(void *arg)
{
	struct other *o = arg;

	o->err = act(o->what, o->off, 0);
	return NULL;
}

static int together(struct other *a, struct other *b)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	pthread_create(&a->thread, NULL, call, a);
	nanosleep(&pause, NULL);
	pthread_create(&b->thread, NULL, call, b);
	pthread_join(a->thread, NULL);
	pthread_join(b->thread, NULL);
	return 0;
}

/* Who waits for the lock of another that is slow waits for longer than it might be inside. */
static int waits(void)
{
	struct other a = { .what = USE_HOLD, .off = 500 }, b = { .what = USE_HOLD, .off = 1 };

	WANT(!limit_to(150));
	together(&a, &b);
	WANT(!a.err && !b.err && !fault());
	return 0;
}

static int no_lock(void)
{
	struct other a = { .what = USE_HOLD_NONE, .off = 9 }, b = { .what = USE_HOLD_NONE, .off = 10 };

	WANT(!move_to("time=60s/60s")); /* both compute for a while, on a machine that may be busy */
	together(&a, &b);
	WANT(!a.err && !b.err && !fault());
	b.off = 9;
	together(&a, &b);
	WANT(fault() == (deep() ? TD_FAULT_LOCK : 0));
	return 0;
}

static int share(void)
{
	uint64_t begin, used, took;

	WANT(!move_to("cpu=20%"));
	begin = now_ms();
	for (int i = 0; i < 60 && now_ms() - begin < 3000; i++)
		WANT(!act(USE_SPIN, 10, 0));
	td_get_status(fs, &after);
	used = (after.cpu_ns - before.cpu_ns) / 1000000;
	took = now_ms() - begin;
	WANT(!fault() && after.throttled_ns > before.throttled_ns);
	WANT(used < took / 2); /* what is let pass at first is part of it */
	return 0;
}

/* ---- */

static const struct {
	const char *name;
	int (*run)(void);
} cases[] = {
	{ "bufs left open", leave_bufs },
	{ "a lock left", leave_lock },
	{ "a buf closed twice", twice },
	{ "a closed buf written", stale },
	{ "a lock given back that is not held", unlock },
	{ "a block beyond the device", beyond },
	{ "a sleep without a server", asleep },
	{ "a foreign handle", foreign },
	{ "a shared record changed", shared_record },
	{ "memory freed twice", free_twice },
	{ "references", references },
	{ "memory", memory },
	{ "left at the unload", left_at_unload },
	{ "undo", undo },
	{ "slow, but honest", slow },
	{ "stopped for a while", stopped },
	{ "round and round", round_and_round },
	{ "wandering", wander },
	{ "waiting for a lock", waits },
	{ "writes without a lock", no_lock },
	{ "share of the processor", share },
};

static int clean(void)
{
	WANT(!act(USE_NOTHING, 0, 0));
	for (int i = 0; i < TD_LOCK_MAX; i++)
		WANT(!fs->locks.word[i]);
	td_get_status(fs, &after);
	WANT(!after.inside && after.state == TD_STATE_RUNNING);
	return 0;
}

static int start(void)
{
	char path[4096], text[128], why[512] = "";
	struct td_volume_params params = { .module = path, .level = text, .size = 1 << 20 };

	snprintf(path, sizeof(path), "%s/use_acts.so", folder);
	snprintf(text, sizeof(text), "%s,restart=1000/1s", name);
	if (td_level_parse(text, &level, why, sizeof(why)) || !td__walls[level.wall] || td__walls[level.wall]->available(why, sizeof(why))) {
		printf("skipped: %s: %s\n0 passed, 0 failed, 1 skipped\n", name, why);
		exit(77);
	}
	if (td_volume_open(&params, &volume, why, sizeof(why))) {
		fprintf(stderr, "kernel_use: %s\n", why);
		return 1;
	}
	fs = td_volume_fs(volume);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = 0, passed = 0;

	if (argc < 3) {
		fprintf(stderr, "usage: kernel_use FOLDER LEVEL [CASE]\n");
		return 2;
	}
	folder = argv[1];
	name = argv[2];
	if (start())
		return 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc > 3 && strcmp(argv[3], cases[i].name))
			continue;
		said[0] = 0;
		if (move_to("") || cases[i].run() || clean()) {
			printf("FAILED: %s at %s: %s; again: kernel_use %s %s \"%s\"\n", cases[i].name, name, said, folder, name,
			       cases[i].name);
			failed++;
		} else {
			passed++;
		}
	}
	td_volume_close(volume);
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
