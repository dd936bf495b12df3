/* SPDX-License-Identifier: BSD-2-Clause */
/* Writers that remember what was acknowledged. The content of a file is made from a seed, so that is all they keep. */
#include "inproc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LARGEST = 24000, LINE = 64 };

uint64_t chance(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* What a file with this seed holds; returns its length. */
static size_t content(uint64_t seed, uint8_t data[LARGEST + 8])
{
	size_t len = 1 + chance(&seed) % LARGEST;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t x = chance(&seed);

		memcpy(data + i, &x, 8);
	}
	return len;
}

static void line(const struct writer *w, uint64_t number, char text[LINE + 1])
{
	snprintf(text, LINE + 1, "%055llu %.7s\n", (unsigned long long)number, w->dir);
}

static void path_of(const struct writer *w, uint64_t number, char path[64])
{
	snprintf(path, 64, "%s/f%llu", w->dir, (unsigned long long)number);
}

static int note(struct writer *w, const char *what, int64_t result)
{
	if (result >= 0) {
		__atomic_add_fetch(&w->ops, 1, __ATOMIC_RELAXED);
		return 0;
	}
	if (!__atomic_fetch_add(&w->failed, 1, __ATOMIC_RELAXED))
		snprintf(w->error, sizeof(w->error), "%s: %s", what, strerror((int)-result));
	return -1;
}

static int make_file(struct writer *w, const char *path, uint64_t seed)
{
	uint8_t data[LARGEST + 8];
	size_t len = content(seed, data);
	int fd = td_path_open(&w->task, path, O_RDWR | O_CREAT | O_TRUNC, 0644), bad = note(w, "open", fd);

	if (bad)
		return -1;
	for (size_t at = 0; at < len && !bad; at += 8192) {
		size_t n = len - at < 8192 ? len - at : 8192;
		int64_t done = td_fd_write(&w->task, fd, data + at, n);

		bad = note(w, "write", done >= 0 && done != (int64_t)n ? -EIO : done);
	}
	if (!bad && !(seed % 8))
		bad = note(w, "fsync", td_fd_sync(&w->task, fd));
	return note(w, "close", td_fd_close(&w->task, fd)) || bad ? -1 : 0;
}

/* 0 if the file holds what belongs to the seed. */
static int compare(struct writer *w, const char *path, uint64_t seed)
{
	uint8_t data[LARGEST + 8], want[LARGEST + 8];
	size_t len = content(seed, want);
	int fd = td_path_open(&w->task, path, O_RDONLY, 0);
	int64_t n = fd;

	if (fd >= 0) {
		n = td_fd_read(&w->task, fd, data, sizeof(data));
		td_fd_close(&w->task, fd);
	}
	if (note(w, "read", n))
		return -1;
	return n == (int64_t)len && !memcmp(data, want, len) ? 0 : -1;
}

static void round_of(struct writer *w)
{
	uint64_t n = ++w->number, seed = n << 8 | (uint8_t)w->dir[6], *old = &w->seeds[n % KEPT];
	char temporary[64], path[64], text[LINE + 1];

	if (*old) {
		path_of(w, n - KEPT, path);
		if (!note(w, "unlink", td_path_unlink(&w->task, path)))
			*old = 0;
	}
	snprintf(temporary, sizeof(temporary), "%s/new", w->dir);
	path_of(w, n, path);
	if (!make_file(w, temporary, seed) && !note(w, "rename", td_path_rename(&w->task, temporary, path, 0)))
		*old = seed;
	if (*old && compare(w, path, seed))
		note(w, "compare", -EIO);
	line(w, n, text);
	if (!note(w, "append", td_fd_write(&w->task, w->log, text, LINE)))
		w->log_bytes += LINE;
}

static void *work(void *arg)
{
	struct writer *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED))
		round_of(w);
	return NULL;
}

void writers_start(struct writers *all, struct td_volume *vol)
{
	static unsigned number;

	memset(all, 0, sizeof(*all));
	for (int i = 0; i < WRITERS; i++) {
		struct writer *w = &all->w[i];
		char path[64];

		w->task = (struct td_task){ .volume = vol, .cwd = TD_CWD_ROOT };
		snprintf(w->dir, sizeof(w->dir), "w%06u", ++number);
		must("mkdir", td_path_mkdir(&w->task, w->dir, 0755));
		snprintf(path, sizeof(path), "%s/log", w->dir);
		w->log = (int)must("open", td_path_open(&w->task, path, O_RDWR | O_CREAT | O_APPEND, 0644));
		must("thread", -pthread_create(&w->thread, NULL, work, w));
	}
}

uint64_t writers_ops(struct writers *all)
{
	uint64_t n = 0;

	for (int i = 0; i < WRITERS; i++)
		n += __atomic_load_n(&all->w[i].ops, __ATOMIC_RELAXED);
	return n;
}

void writers_wait(struct writers *all, uint64_t more)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	uint64_t goal = writers_ops(all) + more;
	double end = seconds() + 15;

	while (writers_ops(all) < goal) {
		if (seconds() > end)
			proof(false, "the writers go on");
		nanosleep(&pause, NULL);
	}
}

/* Files that do not hold what was acknowledged. */
static unsigned verify(struct writer *w, unsigned *files)
{
	char path[64], text[LINE + 1], have[LINE];
	unsigned wrong = 0;

	for (uint64_t i = 0; i < KEPT && i < w->number; i++) {
		uint64_t n = w->number - i;

		if (!w->seeds[n % KEPT])
			continue;
		path_of(w, n, path);
		wrong += compare(w, path, w->seeds[n % KEPT]) != 0;
		wrong += td_path_unlink(&w->task, path) != 0;
		++*files;
	}
	for (uint64_t n = 1; n <= w->number; n++) {
		line(w, n, text);
		if (td_fd_pread(&w->task, w->log, have, LINE, (int64_t)(n - 1) * LINE) != LINE || memcmp(have, text, LINE)) {
			wrong++;
			break;
		}
	}
	++*files;
	return wrong;
}

void writers_verify(struct writers *all)
{
	unsigned files = 0, wrong = 0;
	uint64_t ops = writers_ops(all), failed = 0;
	char path[64];

	for (int i = 0; i < WRITERS; i++) {
		struct writer *w = &all->w[i];

		__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
		pthread_join(w->thread, NULL);
		failed += w->failed;
		if (w->failed)
			proof(false, "no operation fails: %s", w->error);
		wrong += verify(w, &files);
		must("close", td_fd_close(&w->task, w->log));
		snprintf(path, sizeof(path), "%s/log", w->dir);
		must("unlink", td_path_unlink(&w->task, path));
		must("rmdir", td_path_rmdir(&w->task, w->dir));
	}
	proof(!failed, "%llu operations, none failed", (unsigned long long)ops);
	proof(!wrong, "the %u files that the writers left held what was acknowledged", files);
}
