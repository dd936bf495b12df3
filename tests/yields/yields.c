/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules that yield: an endless loop of each kind ends at each wall, where no signal could end it; calls that were
 * only in the domain go on with every register as it was, and none of them ends with the heap's lock held.
 *
 *   yields YIELDING.so PLAIN.so [LEVEL]      without a level: all of them
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../core/mount.h"
#include "../../front/inproc/tadan.h"
#include "../../walls/walls.h"

enum { HANG_S = 20, ROUNDS = 3, LATE_MOST = 4 };

static unsigned passed, failed, skipped;
static unsigned late; /* loops that were ended by force, since the machine was too busy to ask them in time */

static int expect(int ok, const char *level, const char *loop, const char *what)
{
	if (ok) {
		passed++;
		return 1;
	}
	failed++;
	printf("FAIL %s: loop '%s': %s\n", level, loop, what);
	return 0;
}

/* ---- A call on a thread that hears no signal */

struct caller {
	struct td_task task;
	char path[32];
	int result;
};

static void *call(void *arg)
{
	struct caller *c = arg;
	struct td_vnode v;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, 0);
	c->result = td_path_stat(&c->task, c->path, 0, &v);
	return 0;
}

/* What does not come back cannot be given up in this process: it ends here, failed. */
static void wait_for(pthread_t thread, const char *level, const char *loop)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += HANG_S;
	if (!pthread_timedjoin_np(thread, 0, &until))
		return;
	printf("FAIL %s: loop '%s' does not end\n%u passed, %u failed, %u skipped\n", level, loop, passed, failed + 1, skipped);
	fflush(stdout);
	_exit(1);
}

static int run(struct td_volume *vol, const char *level, const char *loop)
{
	struct caller c = { .task = { .volume = vol, .cwd = TD_CWD_ROOT } };
	pthread_t thread;

	snprintf(c.path, sizeof(c.path), "/%s", loop);
	if (pthread_create(&thread, 0, call, &c))
		return -EAGAIN;
	wait_for(thread, level, loop);
	return c.result;
}

static struct td_volume *open_at(const char *module, const char *level)
{
	struct td_volume_params p = { .module = module, .size = 1 << 20, .level = level };
	struct td_volume *vol = 0;
	char why[512];
	int err = td_volume_open(&p, &vol, why, sizeof(why));

	if (err == -EOPNOTSUPP) {
		skipped++;
		printf("skip %s: %s\n", level, why);
	} else {
		expect(!err, level, "mount", why);
	}
	return vol;
}

/* ---- Every loop, at every level */

static void check_fault(struct td_volume *vol, const struct td__module *m, const char *level, const char *loop)
{
	struct td_fault f[TD_FAULTS_KEPT], *last;
	uint32_t n = td_get_faults(td_volume_fs(vol), 0, f, TD_FAULTS_KEPT);
	char line[256] = "";

	if (!expect(n > 0, level, loop, "no fault was noted"))
		return;
	last = &f[n - 1];
	expect(last->kind == TD_FAULT_TIME, level, loop, "the fault is another one than 'over its time'");
	/* Where a loop asks for services, one of these may be what ends it. */
	late += !last->detail[0];
	expect(!strcmp(last->detail, "over its time, stopped at a yield") || !strcmp(loop, "services") || !last->detail[0], level, loop,
	       last->detail);
	td__module_line(m, last->wall, last->pc, line, sizeof(line));
	expect(last->pc && (strstr(line, "loops.c") || !strcmp(loop, "heap")), level, loop,
	       line[0] ? line : "the report names no place");
}

static void all_loops(const char *module, const char *level)
{
	static const char *const loops[] = { "empty", "inlined", "recursion", "mutual",	 "indirect", "jumps",
					     "irreducible", "computed", "machine", "vectors", "services", "heap" };
	struct td_volume *vol = open_at(module, level);
	struct td__module *m = 0;
	char why[256] = "";

	if (!vol)
		return;
	late = 0;
	if (expect(!td__module_open(module, &m, why, sizeof(why)), level, "none", why))
		for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
			expect(run(vol, level, loops[i]) == -EIO, level, loops[i], "the call did not fail with EIO");
			check_fault(vol, m, level, loops[i]);
		}
	expect(late <= LATE_MOST, level, "all", "ended by force, not at yields");
	td__module_close(m);
	expect(!td_volume_close(vol), level, "none", "unmount");
}

/* ---- Others in the same domain */

struct worker {
	struct caller caller;
	int stop;
	unsigned calls, wrong;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		snprintf(w->caller.path, sizeof(w->caller.path), "/work%u", w->calls++);
		call(&w->caller);
		w->wrong += w->caller.result != -ENOENT;
	}
	return 0;
}

/* Honest calls beside endless ones that take and give memory: they all end well, and only the others are faults. */
static void beside(const char *module, const char *level)
{
	struct td_volume *vol = open_at(module, level);
	struct worker w = { .caller.task = { .volume = vol, .cwd = TD_CWD_ROOT } };
	struct td_fault f[TD_FAULTS_KEPT];
	uint32_t n, endless = 0;
	pthread_t thread;

	if (!vol || !expect(!pthread_create(&thread, 0, work, &w), level, "work", "no thread"))
		return;
	for (int i = 0; i < ROUNDS; i++)
		expect(run(vol, level, i & 1 ? "heap" : "vectors") == -EIO, level, "heap", "the call did not fail with EIO");
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELEASE);
	wait_for(thread, level, "work");
	n = td_get_faults(td_volume_fs(vol), 0, f, TD_FAULTS_KEPT);
	for (uint32_t i = 0; i < n; i++)
		endless += f[i].kind == TD_FAULT_TIME;
	expect(w.calls > ROUNDS, level, "work", "hardly any call was made");
	expect(!w.wrong, level, "work", "an honest call failed, or came to another sum");
	expect(endless == 2 * ROUNDS, level, "work", "an honest call was taken for an endless one");
	expect(!td_volume_close(vol), level, "work", "unmount");
}

/* ---- What it is for: without yields the same call would not end */

static void without(const char *module, const char *level)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		struct td_volume *vol = open_at(module, level);

		_exit(vol && run(vol, level, "empty") == -EIO ? 1 : 2);
	}
	for (int i = 0; i < 10 && !status; i++) {
		usleep(50000);
		status = waitpid(pid, 0, WNOHANG);
	}
	expect(!status, level, "empty, built without yields", "ended, so this test shows nothing");
	kill(pid, SIGKILL);
	waitpid(pid, 0, 0);
}

int main(int argc, char **argv)
{
	static const char *const levels[] = { "guarded", "walled", "sandboxed", "isolated" };
	char level[64], longer[64], why[256];
	struct td_level unused;

	if (argc < 3)
		return 2;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (argc > 3 && strcmp(argv[3], levels[i]))
			continue;
		snprintf(level, sizeof(level), "%s,time=30ms,restart=1000000/1s", levels[i]);
		snprintf(longer, sizeof(longer), "%s,time=1s,restart=1000000/1s", levels[i]);
		if (td_level_parse(level, &unused, why, sizeof(why)))
			continue; /* this build has no such level */
		all_loops(argv[1], level);
		beside(argv[1], longer);
	}
	without(argv[2], "guarded,time=30ms");
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
