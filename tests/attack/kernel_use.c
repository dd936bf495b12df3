/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules that use the kernel wrongly, leave things behind, take too much, or are only slow: what is found and counted, what is a
 * fault, and what is let be, at each level. After each case a call must work, and nothing must be held or open.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "modules/use_acts.h"
#include "uses.h"

static int act(enum use_act what, uint64_t off, uint64_t *found)
{
	uint64_t ignored = 0;

	return td__fs_seek(uses.fs, uses.fs->root, off, what, found ? found : &ignored);
}

static uint64_t now_ms(void)
{
	return td__port_monotonic() / 1000000;
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

	WANT(checks_deeply() ? err == -EIO && fault() == TD_FAULT_LOCK : !err && !fault() && more(TD_MISTAKE_LOCK) == 1);
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
	WANT(in_process() ? err == -EIO && fault() == TD_FAULT_SERVICE : !err && !fault());
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
	WANT(more(TD_MISTAKE_SHARED) == (checks_deeply() ? 1 : 0));
	WANT(uses.fs->root->rec.size == 0);
	return 0;
}

static int free_twice(void)
{
	WANT(act(USE_FREE_TWICE, 0, 0) == -EIO && fault() == (uses.level.heap == TD_HEAP_PAGES ? TD_FAULT_SERVICE : TD_FAULT_ILLEGAL));
	return 0;
}

/* ---- Limits, and what is left */

static int references(void)
{
	uint64_t found = 0;

	WANT(!move_to("handles=4,mistakes=1000"));
	act(USE_KEEP, 3, &found);
	WANT(found == 3);
	td_get_status(uses.fs, &uses.after);
	WANT(uses.after.kept == 3 && !fault());
	WANT(!act(USE_GIVE_BACK, 2, 0));
	act(USE_KEEP, 5, 0); /* the fourth one too many; where it was posted, the call is undone */
	WANT(more(TD_MISTAKE_LIMIT) >= 1 && uses.after.kept <= 4);
	act(USE_GIVE_BACK, 6, 0);
	WANT(more(TD_MISTAKE_HANDLE) >= 1);
	WANT(!uses.after.kept);
	return 0;
}

static int memory(void)
{
	uint64_t found = 0;

	WANT(!move_to("memory=256K"));
	WANT(!act(USE_ALLOCATE, 512, &found) && found > 100 && found <= 256);
	td_get_status(uses.fs, &uses.after);
	WANT(uses.after.heap_used == found * 1024);
	WANT(!act(USE_FREE, 0, 0));
	td_get_status(uses.fs, &uses.after);
	WANT(uses.after.heap_used == 0 && !fault());
	return 0;
}

static int left_at_unload(void)
{
	struct td_status first = uses.before;

	WANT(!act(USE_ALLOCATE, 5, 0) && !act(USE_KEEP, 2, 0) && !fault());
	for (int i = 0; i < 2; i++) {
		WANT(!move_to(""));
		WANT(uses.before.left_memory - first.left_memory == 5 * 1024 && uses.before.left_references - first.left_references == 2);
		WANT(!uses.before.kept && !uses.before.heap_used);
	}
	return 0;
}

static int undo(void)
{
	uint8_t *block = td__device_at(uses.fs->device, 8);

	WANT(!move_to("undo=64K"));
	memset(block, 0xee, uses.fs->device->bsize);
	WANT(!act(USE_WRITE_MUCH, 10, 0) && block[100] == 0);
	memset(block, 0xee, uses.fs->device->bsize);
	WANT(act(USE_WRITE_MUCH, 20, 0) == -EIO && fault() == TD_FAULT_LIMIT && block[100] == 0xee);
	td_get_status(uses.fs, &uses.after);
	WANT(uses.after.undo_most > 40000 && uses.after.undo_most <= 64 << 10);
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
	rest.tv_sec = uses.level.time_ms * 3 / 1000;
	rest.tv_nsec = uses.level.time_ms * 3 % 1000 * 1000000;
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
	WANT(fault() == (checks_deeply() ? TD_FAULT_LOCK : 0));
	return 0;
}

static int share(void)
{
	uint64_t begin, used, took;

	WANT(!move_to("cpu=20%"));
	begin = now_ms();
	for (int i = 0; i < 60 && now_ms() - begin < 3000; i++)
		WANT(!act(USE_SPIN, 10, 0));
	td_get_status(uses.fs, &uses.after);
	used = (uses.after.cpu_ns - uses.before.cpu_ns) / 1000000;
	took = now_ms() - begin;
	WANT(!fault() && uses.after.throttled_ns > uses.before.throttled_ns);
	WANT(used < took / 2); /* what is let pass at first is part of it */
	return 0;
}

/* ---- */

static const struct use_case cases[] = {
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
		WANT(!uses.fs->locks.word[i]);
	td_get_status(uses.fs, &uses.after);
	WANT(!uses.after.inside && uses.after.state == TD_STATE_RUNNING);
	return 0;
}

int main(int argc, char **argv)
{
	uses_read(argc, argv);
	uses_open("use_acts", 0);
	return uses_run(argv, cases, sizeof(cases) / sizeof(cases[0]), clean);
}
