/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mechanism alone, without FUSE: what calls, services and operations cost in this process.
 *
 * A worker for `tadan bench`: it reads commands, a line each, and answers each with one JSON object. So who measures can
 * take turns among modules, levels and programs, batch by batch, and a machine that drifts moves all of them.
 *
 *   open N MODULE LEVEL [URL] volume number N, on a server for modules of that kind; {"skip": reason} where this machine cannot have it
 *   run N WHAT COUNT [T]      do it COUNT times, on T threads with a directory each: {"ns": of one, for one thread}
 *   sample N WHAT COUNT       the same one by one: {"quantiles": [[share, ns], ...]}
 *   close N
 *
 *   null      the gate: into the module and back, nothing else         (nullfs)
 *   bare      the same call of translated code, without the gate       (nullfs, at wall sfi)
 *   service   a service that does nothing, called by the module        (nullfs)
 *   call      the whole gateway around such a call                     (nullfs)
 *   deadlock  one check of the wait-for graph, with nobody waiting     (any)
 *   hash, checksum, search    loops that do real work                  (work)
 *   release                   a path with a hook that SMFS leaves out  (any)
 *   nothing_shared            a loop over memory of the thread's own: what two threads can do at most  (a file system that can be written)
 *   lookup, create_unlink, warm_read, warm_write, copy64k              (a file system that can be written)
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../core/straight.h"
#include "../front/inproc/tadan.h"
#include "../walls/sfi/sfi.h"

enum { VOLUMES = 64, THREADS = 16, SIZE = 1 << 28, FILE_SIZE = 65536, CALL = 8192, SAMPLES = 20000 };

/* One thread's place: a directory and a file in it. */
struct place {
	char name[48];
	uint64_t dir, file;
	uint8_t buf[FILE_SIZE];
};

struct volume {
	struct td_volume *vol;
	struct td__fs *fs;
	struct place *places[THREADS];
};

/* One thread's part of a run. */
struct job {
	struct volume *v;
	struct place *p;
	uint64_t n;
	void (*run)(struct job *j, uint64_t n);
	pthread_barrier_t *start;
	uint64_t ns;
};

static const struct td_cred root = { .checked = 1 };
static const struct td_in nothing;
static struct volume volumes[VOLUMES];
static jmp_buf next_command;
static int alone; /* no other thread of ours runs: an operation that fails ends its command only */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct td_name name_of(const char *text)
{
	return (struct td_name){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

static void must(int64_t result, const char *what)
{
	if (result >= 0)
		return;
	if (!alone) {
		fprintf(stderr, "inproc: %s failed: %s\n", what, strerror((int)-result));
		exit(1);
	}
	printf("{\"error\": \"%s failed: %s\"}\n", what, strerror((int)-result));
	longjmp(next_command, 1);
}

/* ---- What can be done; each does `n` of them. */

/* What stands for a gate where the level wants none. */
static void straight_calls(struct td__call *c, uint64_t n)
{
	struct td_vnode *rec = td__straight_vnode(c, c->fs->root, TD_SHARED);
	const struct td_straight *volatile *straight = (const struct td_straight *volatile *)&c->straight;

	td__straight_begin(c);
	for (uint64_t i = 0; i < n; i++)
		(*straight)->ops->open(rec, 0);
	td__straight_end(c, 0);
}

/* The gate is crossed again and again with a call that is packed once. */
static void null_gate(struct job *j, uint64_t n)
{
	struct td__fs *fs = j->v->fs;
	td__attempts tries = { 0 };
	struct td__call *c;
	int err = 0;

	must(td__call_begin(fs, TD_OP_open, &tries, &c), "begin");
	struct td_frame_open *f = (void *)c->frame;
	td__put_vnode(c, &f->v_at, &f->v, fs->root, TD_SHARED, 0);
	f->flags = 0;
	must(td__call_enter(c), "enter");
	if (c->straight)
		straight_calls(c, n);
	else
		for (uint64_t i = 0; i < n; i++)
			c->domain->wall->enter(c);
	td__call_end(c, &tries, &err);
}

/* The same call of translated code with nothing around it but the way back: what the gate of the wall sfi adds to. */
static void bare_sandbox(struct job *j, uint64_t n)
{
	struct td__fs *fs = j->v->fs;
	td__attempts tries = { 0 };
	struct td__sfi_slot *slot;
	struct td__call *c;
	sigjmp_buf back;
	int err = 0;

	if (fs->domain->wall->kind != TD_WALL_SFI)
		must(-EOPNOTSUPP, "bare: only at wall sfi");
	must(td__call_begin(fs, TD_OP_open, &tries, &c), "begin");
	struct td_frame_open *f = (void *)c->frame;
	td__put_vnode(c, &f->v_at, &f->v, fs->root, TD_SHARED, 0);
	f->flags = 0;
	must(td__call_enter(c), "enter");
	slot = c->behind;
	for (uint64_t i = 0; i < n; i++)
		if (!sigsetjmp(back, 0))
			slot->enter(&slot->env, 0);
	td__call_end(c, &tries, &err);
}

static void whole_call(struct job *j, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must(td__fs_open(j->v->fs, j->v->fs->root, 0), "open");
}

static void loop(struct job *j, uint64_t n, uint32_t which)
{
	uint64_t found;

	must(td__fs_seek(j->v->fs, j->v->fs->root, n, which, &found), "seek");
}

static void services(struct job *j, uint64_t n)
{
	loop(j, n, TD_SEEK_DATA);
}

static void hash(struct job *j, uint64_t n)
{
	loop(j, n, 0);
}

static void checksum(struct job *j, uint64_t n)
{
	loop(j, n, 1);
}

static void search(struct job *j, uint64_t n)
{
	loop(j, n, 2);
}

static void deadlock(struct job *j, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		td__locks_check(j->v->fs, TD_RESOLVE_ABORT);
}

static void nothing_shared(struct job *j, uint64_t n)
{
	volatile uint8_t *sum = &j->p->buf[0];

	for (uint64_t i = 0; i < n; i++)
		for (uint32_t at = 1; at < CALL; at += 8)
			*sum ^= j->p->buf[at];
}

static void lookup(struct job *j, uint64_t n)
{
	uint64_t fid;

	for (uint64_t i = 0; i < n; i++)
		must(td__fs_lookup(j->v->fs, j->v->fs->root, name_of(j->p->name), &fid), "lookup");
}

static uint64_t make(struct td__fs *fs, uint64_t dir, const char *name, uint32_t type)
{
	td_attr a;

	must(td_make(fs, &root, dir, name_of(name), type, 0700, 0, nothing, &a), "create");
	return a.handle;
}

static void discard(struct td__fs *fs, uint64_t dir, const char *name, uint64_t handle)
{
	must(td_unlink(fs, &root, dir, name_of(name)), "unlink");
	td_forget(fs, handle, 1);
}

static void release(struct job *j, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must(td_release(j->v->fs, td_fs_root(j->v->fs)), "release");
}

static void create_unlink(struct job *j, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		discard(j->v->fs, j->p->dir, "other", make(j->v->fs, j->p->dir, "other", TD_REG));
}

static void warm_read(struct job *j, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must(td_read(j->v->fs, j->p->file, i * CALL % FILE_SIZE, j->p->buf, CALL), "read");
}

static void warm_write(struct job *j, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must(td_write(j->v->fs, &root, j->p->file, i * CALL % FILE_SIZE, j->p->buf, CALL), "write");
}

/* The papers' case: a 64 KiB file copied to a new one by 8 KiB calls. */
static void copy64k(struct job *j, uint64_t n)
{
	struct td__fs *fs = j->v->fs;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t copy = make(fs, j->p->dir, "copy", TD_REG);

		for (uint64_t off = 0; off < FILE_SIZE; off += CALL) {
			must(td_read(fs, j->p->file, off, j->p->buf, CALL), "read");
			must(td_write(fs, &root, copy, off, j->p->buf, CALL), "write");
		}
		discard(fs, j->p->dir, "copy", copy);
	}
}

static const struct what {
	const char *name;
	void (*run)(struct job *j, uint64_t n);
	int writes; /* it needs a place */
} all[] = {
	{ "null", null_gate, 0 },	{ "bare", bare_sandbox, 0 },	{ "service", services, 0 },	{ "call", whole_call, 0 },
	{ "deadlock", deadlock, 0 },	{ "hash", hash, 0 },		{ "checksum", checksum, 0 },
	{ "search", search, 0 },	{ "nothing_shared", nothing_shared, 1 },
	{ "lookup", lookup, 1 },	{ "create_unlink", create_unlink, 1 },
	{ "release", release, 0 },	{ "warm_read", warm_read, 1 },	{ "warm_write", warm_write, 1 }, { "copy64k", copy64k, 1 },
};

/* ---- Volumes */

static void answer(const char *key, const char *text)
{
	printf("{\"%s\": \"", key);
	for (; *text; text++)
		printf(*text == '"' || *text == '\\' ? "\\%c" : *text < ' ' ? " " : "%c", *text);
	printf("\"}\n");
}

static void open_volume(struct volume *v, const char *module, const char *level, const char *url)
{
	struct td_volume_params p = { .module = module, .level = level, .size = *url ? 0 : SIZE, .server = *url ? url : NULL };
	char why[600];

	if (td_volume_open(&p, &v->vol, why, sizeof(why))) {
		v->vol = NULL;
		answer("skip", why);
		return;
	}
	v->fs = td_volume_fs(v->vol);
	answer("ok", level);
}

/* On a server it would stay. */
static void give_place(struct volume *v, struct place *p)
{
	discard(v->fs, p->dir, "file", p->file);
	td_rmdir(v->fs, &root, td_fs_root(v->fs), name_of(p->name));
	td_forget(v->fs, p->dir, 1);
	free(p);
}

static void close_volume(struct volume *v)
{
	for (int i = 0; i < THREADS; i++)
		if (v->places[i])
			give_place(v, v->places[i]);
	td_volume_close(v->vol);
	memset(v, 0, sizeof(*v));
}

static struct place *place_of(struct volume *v, unsigned thread)
{
	struct place *p = v->places[thread];

	if (p)
		return p;
	p = v->places[thread] = calloc(1, sizeof(*p));
	if (!p)
		exit(1);
	snprintf(p->name, sizeof(p->name), "bench-%d-%d-%u", (int)getpid(), (int)(v - volumes), thread);
	p->dir = make(v->fs, td_fs_root(v->fs), p->name, TD_DIR);
	p->file = make(v->fs, p->dir, "file", TD_REG);
	must(td_write(v->fs, &root, p->file, 0, p->buf, FILE_SIZE), "write");
	return p;
}

/* ---- Timing */

static void *work(void *arg)
{
	struct job *j = arg;
	uint64_t begin;

	if (j->start) {
		j->run(j, 1 + j->n / 8); /* a new thread's first calls get it a slot and fill its core's caches: that happens once */
		pthread_barrier_wait(j->start);
	}
	begin = now_ns();
	j->run(j, j->n);
	j->ns = now_ns() - begin;
	return NULL;
}

static double on_threads(struct job *jobs, unsigned threads)
{
	pthread_barrier_t start;
	pthread_t ids[THREADS];
	uint64_t most = 0;

	pthread_barrier_init(&start, NULL, threads);
	for (unsigned i = 0; i < threads; i++) {
		jobs[i].start = &start;
		must(-pthread_create(&ids[i], NULL, work, &jobs[i]), "pthread_create");
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		most = jobs[i].ns > most ? jobs[i].ns : most;
	}
	pthread_barrier_destroy(&start);
	return (double)most;
}

static void run(struct volume *v, const struct what *w, uint64_t n, unsigned threads)
{
	struct job jobs[THREADS];
	double ns;

	for (unsigned i = 0; i < threads; i++)
		jobs[i] = (struct job){ .v = v, .p = w->writes ? place_of(v, i) : NULL, .n = n, .run = w->run };
	if (threads > 1) {
		alone = 0;
		ns = on_threads(jobs, threads);
	} else {
		work(&jobs[0]);
		ns = (double)jobs[0].ns;
	}
	printf("{\"ns\": %.3f}\n", ns / (double)n);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void sample(struct volume *v, const struct what *w, uint64_t n)
{
	static const double shares[] = { 0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1 };
	struct job j = { .v = v, .p = w->writes ? place_of(v, 0) : NULL };
	static uint64_t ns[SAMPLES];

	n = n < SAMPLES ? n : SAMPLES;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();

		w->run(&j, 1);
		ns[i] = now_ns() - begin;
	}
	qsort(ns, n, sizeof(ns[0]), by_size);
	printf("{\"quantiles\": [");
	for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		printf("%s[%g, %llu]", i ? ", " : "", shares[i],
		       (unsigned long long)ns[(uint64_t)(shares[i] * (double)(n - 1))]);
	printf("]}\n");
}

/* ---- Commands */

static const struct what *find(const char *name)
{
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i].name, name))
			return &all[i];
	return NULL;
}

static int obey(const char *line)
{
	char verb[16], first[512], second[256] = "", third[512] = "";
	unsigned number, threads = 1;
	const struct what *w;
	unsigned long long n;

	if (sscanf(line, "%15s %u %511s %255s %511s", verb, &number, first, second, third) < 2 || number >= VOLUMES)
		return -1;
	if (!strcmp(verb, "open") && !volumes[number].vol && second[0]) {
		open_volume(&volumes[number], first, second, third);
		return 0;
	}
	if (!volumes[number].vol)
		return -1;
	if (!strcmp(verb, "close")) {
		close_volume(&volumes[number]);
		answer("ok", verb);
		return 0;
	}
	if (third[0])
		threads = (unsigned)strtoul(third, NULL, 10);
	w = find(first);
	n = strtoull(second, NULL, 10);
	if (!w || !n || !threads || threads > THREADS)
		return -1;
	if (!strcmp(verb, "run"))
		run(&volumes[number], w, n, threads);
	else if (!strcmp(verb, "sample"))
		sample(&volumes[number], w, n);
	else
		return -1;
	return 0;
}

int main(void)
{
	static unsigned at; /* outlives a jump */
	static char line[1024];

	while (fgets(line, sizeof(line), stdin)) {
		alone = 1;
		if (!setjmp(next_command) && obey(line)) {
			fprintf(stderr, "inproc: cannot do '%s'\n", strtok(line, "\n") ? line : "");
			return 2;
		}
		fflush(stdout);
	}
	for (at = 0; at < VOLUMES; at++)
		if (volumes[at].vol && !setjmp(next_command))
			close_volume(&volumes[at]);
	return 0;
}
