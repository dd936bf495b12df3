/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsbench: rates of create, stat, rename and unlink, over many names in one directory.
 *
 * The phases build on one another, so each workload runs the phases before its own without
 * reporting them; `meta` reports all in one pass. Order is creation order, except that stat and
 * unlink walk in a scattered one, as a list of a hashed directory would.
 *
 * stat      each name after the cached names were dropped: a lookup reaches the file system.
 *           Without the right to drop them, the attributes are asked for past the cache instead,
 *           and the note says so: the two must not be compared.
 * statwarm  the same names again: what the time-outs of the file system let Linux answer.
 */
#include "fsbench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum phase { CREATE, STAT, STATWARM, RENAME, UNLINK, PHASES };
static const char *const names[] = { "create", "stat", "statwarm", "rename", "unlink" };

struct meta {
	const struct bench *b;
	int fd;	      /* the directory */
	unsigned n;   /* names in it */
	unsigned mul; /* shares no factor with n: i * mul % n visits all names, scattered */
	bool force;   /* stat asks past the cache */
};

static void name_of(char *buf, const char *stem, unsigned i)
{
	snprintf(buf, 32, "%s-%07u.dat", stem, i);
}

static unsigned scatter(unsigned n)
{
	const unsigned prime = 7919;

	return n % prime ? prime : 1;
}

static unsigned nth(const struct meta *m, unsigned i)
{
	return (uint64_t)i * m->mul % m->n;
}

static void do_create(const struct meta *m, unsigned i)
{
	char name[32];

	name_of(name, "file", i);
	close_fd(open_in(m->fd, name, O_WRONLY | O_CREAT | O_EXCL, 0644));
}

static void do_stat(const struct meta *m, unsigned i)
{
	struct statx st;
	char name[32];
	int flags = AT_SYMLINK_NOFOLLOW | (m->force ? AT_STATX_FORCE_SYNC : 0);

	name_of(name, "file", nth(m, i));
	if (statx(m->fd, name, flags, STATX_BASIC_STATS, &st) < 0)
		fatal("stat %s", name);
	errno = 0;
	if (!S_ISREG(st.stx_mode) || st.stx_size != 0)
		fatal("stat %s: not the file that was created", name);
}

static void do_rename(const struct meta *m, unsigned i)
{
	char from[32], to[32];

	name_of(from, "file", i);
	name_of(to, "moved", i);
	if (renameat(m->fd, from, m->fd, to) < 0)
		fatal("rename %s", from);
}

static void do_unlink(const struct meta *m, unsigned i)
{
	char name[32];

	name_of(name, "moved", nth(m, i));
	if (unlinkat(m->fd, name, 0) < 0)
		fatal("unlink %s", name);
}

typedef void step(const struct meta *m, unsigned i);
static step *const steps[] = { do_create, do_stat, do_stat, do_rename, do_unlink };

static const char *prepare_stat(struct meta *m)
{
	if (drop_dentries(m->b))
		return "cold lookup";
	m->force = true;
	return "getattr past the cache";
}

static void check_there(const struct meta *m, const char *stem, bool expected)
{
	char name[32];

	name_of(name, stem, m->n - 1);
	errno = 0;
	if ((faccessat(m->fd, name, F_OK, 0) == 0) != expected)
		fatal("%s is %s", name, expected ? "missing" : "still there");
}

/* The directory itself must agree with what was done to its names. */
static void check_phase(const struct meta *m, enum phase p)
{
	if (p == RENAME) {
		check_there(m, "file", false);
		check_there(m, "moved", true);
	} else if (p == UNLINK) {
		check_there(m, "moved", false);
		if (unlinkat(m->b->workfd, "names", AT_REMOVEDIR) < 0)
			fatal("unlink: the directory is not empty");
	}
}

static void run_phases(const struct bench *b, enum phase last, unsigned wanted)
{
	struct meta m = { .b = b, .n = b->count ? b->count : 10000 };

	m.mul = scatter(m.n);
	if (mkdirat(b->workfd, "names", 0755) < 0)
		fatal("mkdir names");
	m.fd = open_in(b->workfd, "names", O_RDONLY | O_DIRECTORY, 0);
	for (enum phase p = CREATE; p <= last; p++) {
		struct result r = { .name = names[p], .n = m.n };

		m.force = false;
		if (p == STAT)
			r.note = prepare_stat(&m);
		lap_start(&r.lap);
		for (unsigned i = 0; i < m.n; i++)
			steps[p](&m, i);
		lap_stop(&r.lap);
		check_phase(&m, p);
		if (wanted & 1u << p)
			report(b, &r);
	}
	close_fd(m.fd);
}

/* A short pass over all phases leaves nothing but a server and slabs that are warm. */
static void run_meta(const struct bench *b, enum phase last, unsigned wanted)
{
	struct bench warm = *b;

	warm.count = 200;
	run_phases(&warm, UNLINK, 0);
	run_phases(b, last, wanted);
}

void bench_create(const struct bench *b)
{
	run_meta(b, CREATE, 1u << CREATE);
}

void bench_stat(const struct bench *b)
{
	run_meta(b, STAT, 1u << STAT);
}

void bench_statwarm(const struct bench *b)
{
	run_meta(b, STATWARM, 1u << STATWARM);
}

void bench_rename(const struct bench *b)
{
	run_meta(b, RENAME, 1u << RENAME);
}

void bench_unlink(const struct bench *b)
{
	run_meta(b, UNLINK, 1u << UNLINK);
}

void bench_meta(const struct bench *b)
{
	run_meta(b, UNLINK, (1u << PHASES) - 1);
}
