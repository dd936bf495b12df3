/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pause: for how long a change of level keeps calls out, under full load, with a thousand open files.
 *
 *   pause SMFS.so SECONDS LEVEL LEVEL...
 *
 * Threads work on files of their own, which they keep open: they append numbered records, make a name, move it and take it away. The level
 * goes round all that are given and that the machine has. Nothing may fail because of it, and nothing may be done twice or not at
 * all: a record that is missing or comes twice, a name that is there already or not any more ends the program with status 1.
 * Prints one JSON object a line: {"name": "pause/FROM>TO", "ns": median, "max": ns, "n": changes}.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../core/mount.h"
#include "../front/inproc/tadan.h"
#include "../walls/walls.h"

enum { THREADS = 4, FILES = 250, LEVELS = 8, CHANGES = 4096 };

static struct td_task task;
static const char *levels[LEVELS];
static uint32_t nlevels;
static atomic_int stop;

struct worker {
	pthread_t thread;
	int id;
	int fds[FILES];
	uint64_t records[FILES], steps;
};
static struct worker workers[THREADS];

static struct {
	uint64_t ns[CHANGES];
	uint32_t n;
} pauses[LEVELS];

static _Noreturn void fail(const struct worker *w, const char *what, int64_t result)
{
	fprintf(stderr, "pause: thread %d, step %llu: %s: %lld (%s)\n", w ? w->id : -1, w ? (unsigned long long)w->steps : 0, what,
		(long long)result, result < 0 ? strerror((int)-result) : "not what it should be");
	_exit(1);
}

static void must(const struct worker *w, const char *what, int64_t result, int64_t wanted)
{
	if (result != wanted)
		fail(w, what, result);
}

/* ---- Work */

static void append(struct worker *w, uint32_t i)
{
	const uint64_t record = w->records[i]++;

	must(w, "append", td_fd_write(&task, w->fds[i], &record, sizeof(record)), sizeof(record));
}

/* Each of these works once only. */
static void names(struct worker *w)
{
	char a[32], b[32];
	struct td_vnode v;

	snprintf(a, sizeof(a), "a%d-%llu", w->id, (unsigned long long)w->steps);
	snprintf(b, sizeof(b), "b%d", w->id);
	must(w, "mkdir", td_path_mkdir(&task, a, 0755), 0);
	must(w, "rename", td_path_rename(&task, a, b, TD_RENAME_NOREPLACE), 0);
	must(w, "stat of the old name", td_path_stat(&task, a, 0, &v), -TD_ENOENT);
	must(w, "rmdir", td_path_rmdir(&task, b), 0);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (; !atomic_load(&stop); w->steps++) {
		append(w, (uint32_t)(w->steps * 7 % FILES));
		if (w->steps % 8 == 0)
			names(w);
	}
	return NULL;
}

static void open_files(struct worker *w)
{
	char name[32];

	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%d-%d", w->id, i);
		w->fds[i] = td_path_open(&task, name, O_RDWR | O_CREAT | O_EXCL | O_APPEND, 0644);
		if (w->fds[i] < 0)
			fail(w, "open", w->fds[i]);
	}
}

static void check_files(struct worker *w)
{
	uint64_t all[512];

	for (int i = 0; i < FILES; i++) {
		uint64_t at = 0;
		int64_t n;

		while ((n = td_fd_pread(&task, w->fds[i], all, sizeof(all), (int64_t)(at * 8))) > 0)
			for (int64_t k = 0; k < n / 8; k++, at++)
				must(w, "record", (int64_t)all[k], (int64_t)at);
		must(w, "records in all", (int64_t)at, (int64_t)w->records[i]);
	}
}

/* ---- Changes */

static void change(uint32_t to)
{
	uint64_t ns = 0;
	char why[300];
	int err = td_volume_level(task.volume, levels[to], &ns, why, sizeof(why));

	if (err) {
		fprintf(stderr, "pause: %s: %s\n", levels[to], why);
		_exit(1);
	}
	if (pauses[to].n < CHANGES)
		pauses[to].ns[pauses[to].n++] = ns;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void report(uint32_t to)
{
	uint32_t n = pauses[to].n;

	if (!n)
		return;
	qsort(pauses[to].ns, n, sizeof(uint64_t), by_size);
	printf("{\"name\": \"pause/%s>%s\", \"ns\": %llu, \"max\": %llu, \"n\": %u}\n", levels[(to + nlevels - 1) % nlevels], levels[to],
	       (unsigned long long)pauses[to].ns[n / 2], (unsigned long long)pauses[to].ns[n - 1], n);
}

static void choose(const char *name)
{
	struct td_level level;
	char why[300];

	if (td_level_parse(name, &level, why, sizeof(why)) || !td__walls[level.wall] || td__walls[level.wall]->available(why, sizeof(why)))
		fprintf(stderr, "pause: without %s: %s\n", name, why);
	else if (nlevels < LEVELS)
		levels[nlevels++] = name;
}

int main(int argc, char **argv)
{
	struct td_volume_params p = { .size = 1 << 28 };
	const struct timespec between = { .tv_nsec = 30000000 };
	time_t end;
	char why[300];

	if (argc < 5) {
		fprintf(stderr, "usage: pause SMFS.so SECONDS LEVEL LEVEL...\n");
		return 2;
	}
	for (int i = 3; i < argc; i++)
		choose(argv[i]);
	if (nlevels < 2) {
		printf("skipped: fewer than two levels on this machine\n0 passed, 0 failed, 1 skipped\n");
		return 77;
	}
	p.module = argv[1];
	p.level = levels[0];
	if (td_volume_open(&p, &task.volume, why, sizeof(why))) {
		fprintf(stderr, "pause: %s\n", why);
		return 1;
	}
	task.cwd = TD_CWD_ROOT;
	for (int i = 0; i < THREADS; i++) {
		workers[i].id = i;
		open_files(&workers[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	end = time(NULL) + atoi(argv[2]);
	for (uint32_t i = 1; time(NULL) < end; i++) {
		nanosleep(&between, NULL);
		change(i % nlevels);
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		check_files(&workers[i]);
	}
	for (uint32_t i = 0; i < nlevels; i++)
		report(i);
	if (td_volume_close(task.volume))
		return 1;
	printf("%d passed, 0 failed, 0 skipped\n", THREADS * FILES);
	return 0;
}
