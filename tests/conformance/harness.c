/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conformance: one test body for a file system, whatever the way to it.
 *
 *	conformance --posix DIR | --inproc MODULE [--level L [--also L]] [--on-image]
 *		[--server URL [--options TEXT]] [--differs FILE] [--filter NAME] [--list] [--seed N] [--seconds N]
 *
 * --seconds: how long a test may take; slow machines need more than the usual two minutes.
 * One line for each test: "ok", "FAIL" or "skip", its name, and what there is to say. Then
 * `N passed, N failed, N skipped`; the exit status is 0 if none failed, 1 if one did, 2 if the tests
 * could not be started, and 77 if this machine cannot have what was asked for.
 */
#include "harness.h"

#include <fnmatch.h>
#include <getopt.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>

#include "util.h"

enum { TIME_LIMIT = 120, THREADS_LIMIT = 64 };

const struct fsapi *fs;

static struct test *tests, **tests_end = &tests;
static struct options options = { .level = "trusted", .seed = 1, .seconds = TIME_LIMIT };
static jmp_buf test_over;
static bool skipped;
static char said[1024]; /* why the test failed or was skipped; the first to say it wins */
static pthread_mutex_t said_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_t main_thread;
static uid_t first_uid;
static gid_t first_gid;

void test_add(struct test *t)
{
	*tests_end = t;
	tests_end = &t->next;
}

/* ---- Checks */

static void say(const char *prefix, const char *fmt, va_list args)
{
	size_t used;

	pthread_mutex_lock(&said_mutex);
	if (!*said) {
		used = (size_t)snprintf(said, sizeof(said), "%s", prefix);
		vsnprintf(said + used, sizeof(said) - used, fmt, args);
	}
	pthread_mutex_unlock(&said_mutex);
}

static _Noreturn void leave(void)
{
	if (pthread_equal(pthread_self(), main_thread))
		longjmp(test_over, 1);
	pthread_exit(NULL);
}

void fail_at(struct place p, const char *fmt, ...)
{
	const char *slash = strrchr(p.file, '/');
	char prefix[128];
	va_list args;

	snprintf(prefix, sizeof(prefix), "%s:%d: ", slash ? slash + 1 : p.file, p.line);
	va_start(args, fmt);
	say(prefix, fmt, args);
	va_end(args);
	leave();
}

void skip_test(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say("", fmt, args);
	va_end(args);
	skipped = true;
	leave();
}

const char *error_name(int error)
{
	const char *name = error ? strerrorname_np(error) : "success";

	return name ? name : "an unknown error";
}

int64_t ok_at(struct place p, const char *what, int64_t result)
{
	if (result < 0)
		fail_at(p, "%s: got %s", what, error_name((int)-result));
	return result;
}

void fails_at(struct place p, const char *what, int error, int64_t result)
{
	if (result != -error)
		fail_at(p, "%s: expected %s, got %s", what, error_name(error),
			result < 0 ? error_name((int)-result) : "success");
}

void equal_at(struct place p, const char *what, int64_t want, int64_t got)
{
	if (want != got)
		fail_at(p, "%s: expected %lld (%#llo), got %lld (%#llo)", what, (long long)want,
			(unsigned long long)want, (long long)got, (unsigned long long)got);
}

/* ---- Who calls */

void as(uid_t uid, gid_t gid)
{
	int err = fs->as(uid, gid, 0, NULL);

	if (err)
		fail_at(HERE, "cannot become user %u: %s", uid, error_name(-err));
}

void as_member(uid_t uid, gid_t gid, gid_t group)
{
	int err = fs->as(uid, gid, 1, &group);

	if (err)
		fail_at(HERE, "cannot become user %u: %s", uid, error_name(-err));
}

void as_first(void)
{
	fs->as(first_uid, first_gid, 0, NULL);
}

/* ---- Threads */

struct worker {
	void (*work)(void *arg, int index);
	void *arg;
	int index;
	pthread_t thread;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	as_first();
	w->work(w->arg, w->index);
	return NULL;
}

void run_threads(int n, void (*work)(void *arg, int index), void *arg)
{
	struct worker workers[THREADS_LIMIT];
	int started;

	for (started = 0; started < n && started < THREADS_LIMIT; started++) {
		struct worker *w = &workers[started];

		*w = (struct worker){ .work = work, .arg = arg, .index = started };
		if (pthread_create(&w->thread, NULL, worker_main, w))
			break;
	}
	for (int i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	check(started == n);
	if (*said)
		longjmp(test_over, 1);
}

/* ---- Chance: splitmix64 */

uint64_t test_seed(uint64_t stream)
{
	uint64_t state = options.seed * 0x100000001b3 + stream;

	return chance(&state);
}

uint64_t chance(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* ---- Running */

static void replay(const struct test *t)
{
	printf("     replay: conformance %s %s", fs->mounted ? "--posix" : "--inproc",
	       fs->mounted ? options.dir : options.module);
	if (!fs->mounted)
		printf(" --level %s%s%s%s", options.level, options.also ? " --also " : "",
		       options.also ? options.also : "", options.on_image ? " --on-image" : "");
	printf(" --seed %llu --filter %s.%s\n", (unsigned long long)options.seed, t->subject,
	       t->name);
}

static const struct test *running;

static void too_long(int sig)
{
	(void)sig;
	printf("FAIL %s.%s: not over after %d s\n", running->subject, running->name, options.seconds);
	replay(running);
	fflush(stdout);
	_exit(1);
}

/* Why this file system is not asked for this, by the list of --differs. */
static const char *difference(const struct test *t)
{
	static char line[512];
	char name[128];
	FILE *f = options.differs ? fopen(options.differs, "r") : NULL;
	bool found = false;

	snprintf(name, sizeof(name), "%s.%s ", t->subject, t->name);
	while (f && !found && fgets(line, sizeof(line), f)) {
		if (fs->mounted && !strncmp(line, "mounted:", 8))
			memmove(line, line + 8, strlen(line + 8) + 1);
		found = !strncmp(line, name, strlen(name));
	}
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = 0;
	return found ? line + strlen(name) : NULL;
}

static const char *missing(const struct test *t)
{
	if (t->flags & AS_OTHERS && !fs->is_root())
		return "only root can call as another user";
	if (t->flags & MOUNTED && !fs->mounted)
		return "needs a mount";
	if (t->flags & OWN && !fs->own())
		return "needs a mount of at most 512 MiB of its own";
	return difference(t);
}

enum outcome { PASSED, FAILED, SKIPPED, OUTCOMES };

static enum outcome run_in(const struct test *t, const char *dir)
{
	int err = fs->mkdir(dir, 0777);

	if (!err)
		err = fs->enter(dir);
	if (err) {
		snprintf(said, sizeof(said), "its directory cannot be made: %s", error_name(-err));
		return FAILED;
	}
	if (!setjmp(test_over))
		t->run();
	as_first();
	if (*said)
		fs->close_all();
	fs->umask(0);
	fs->enter(NULL);
	if (!*said && fs->sound)
		fs->sound(said, sizeof(said));
	err = remove_all(dir);
	if (err && !*said)
		snprintf(said, sizeof(said), "what it left cannot be removed: %s",
			 error_name(-err));
	if (!*said)
		return PASSED;
	return skipped ? SKIPPED : FAILED;
}

static enum outcome run(const struct test *t)
{
	static const char *const words[] = { "ok  ", "FAIL", "skip" };
	const char *lack = missing(t);
	enum outcome outcome = SKIPPED;
	struct timespec from, to;
	char dir[64];

	snprintf(dir, sizeof(dir), "conformance.%d", (int)getpid());
	*said = 0;
	skipped = false;
	running = t;
	clock_gettime(CLOCK_MONOTONIC, &from);
	alarm((unsigned)options.seconds);
	if (lack)
		snprintf(said, sizeof(said), "%s", lack);
	else
		outcome = run_in(t, dir);
	alarm(0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%s %s.%s", words[outcome], t->subject, t->name);
	if (*said)
		printf(": %s", said);
	printf(" (%ld ms)\n",
	       (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
	if (outcome == FAILED)
		replay(t);
	fflush(stdout);
	return outcome;
}

static bool wanted(const struct test *t)
{
	char name[128];

	if (!options.filter)
		return true;
	snprintf(name, sizeof(name), "%s.%s", t->subject, t->name);
	return strstr(name, options.filter) || !fnmatch(options.filter, name, 0);
}

static void list(void)
{
	for (const struct test *t = tests; t; t = t->next)
		if (wanted(t))
			printf("%s.%s\n", t->subject, t->name);
}

static int summary(const int count[OUTCOMES])
{
	printf("%d passed, %d failed, %d skipped\n", count[PASSED], count[FAILED], count[SKIPPED]);
	return count[FAILED] ? 1 : 0;
}

static int run_all(void)
{
	int count[OUTCOMES] = { 0 };

	for (const struct test *t = tests; t; t = t->next)
		if (wanted(t))
			count[run(t)]++;
	if (!count[PASSED] && !count[FAILED] && !count[SKIPPED]) {
		fprintf(stderr, "conformance: no test matches \"%s\"; --list shows them\n",
			options.filter ? options.filter : "");
		return 2;
	}
	return summary(count);
}

static int usage(FILE *out)
{
	fprintf(out, "usage: conformance --posix DIR | --inproc MODULE [--level L [--also L]] "
		     "[--on-image] [--server URL [--options TEXT]] [--differs FILE] "
		     "[--filter NAME] [--list] [--seed N] [--seconds N]\n");
	return 2;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv)
{
	static const struct option words[] = {
		{ "posix", required_argument, NULL, 'p' },
		{ "inproc", required_argument, NULL, 'i' },
		{ "level", required_argument, NULL, 'l' },
		{ "filter", required_argument, NULL, 'f' },
		{ "list", no_argument, NULL, 'L' },
		{ "seed", required_argument, NULL, 's' },
		{ "also", required_argument, NULL, 'a' },
		{ "on-image", no_argument, NULL, 'I' },
		{ "server", required_argument, NULL, 'S' },
		{ "options", required_argument, NULL, 'O' },
		{ "differs", required_argument, NULL, 'd' },
		{ "seconds", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool only_list = false;
	int c;

	while ((c = getopt_long(argc, argv, "", words, NULL)) != -1) {
		switch (c) {
		case 'p': options.dir = optarg; break;
		case 'i': options.module = optarg; break;
		case 'l': options.level = optarg; break;
		case 'a': options.also = optarg; break;
		case 'I': options.on_image = true; break;
		case 'S': options.server = optarg; break;
		case 'O': options.mount_options = optarg; break;
		case 'd': options.differs = optarg; break;
		case 'f': options.filter = optarg; break;
		case 's': options.seed = strtoull(optarg, NULL, 0); break;
		case 't': options.seconds = atoi(optarg); break;
		case 'L': only_list = true; break;
		case 'h': usage(stdout); return 0;
		default: return usage(stderr);
		}
	}
	if (only_list) {
		list();
		return 0;
	}
	if (optind != argc || !options.dir == !options.module)
		return usage(stderr);
	return -1;
}

int main(int argc, char **argv)
{
	char why[512] = "";
	int err = parse(argc, argv);

	if (err >= 0)
		return err;
	main_thread = pthread_self();
	signal(SIGALRM, too_long);
	fs = options.dir ? &posix_api : &inproc_api;
	err = fs->start(&options, why, sizeof(why));
	if (err == -EOPNOTSUPP) {
		printf("skip: %s\n0 passed, 0 failed, 1 skipped\n", why);
		return 77;
	}
	if (err) {
		fprintf(stderr, "conformance: %s (%s)\n", why, error_name(-err));
		return 2;
	}
	first_uid = options.dir ? geteuid() : 0;
	first_gid = options.dir ? getegid() : 0;
	printf("%s %s%s%s, seed %llu\n", options.dir ? "posix" : "inproc",
	       options.dir ? options.dir : options.module, options.dir ? "" : " ",
	       options.dir ? "" : options.level, (unsigned long long)options.seed);
	err = run_all();
	fs->stop();
	return err;
}
