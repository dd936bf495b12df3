/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mechanism alone, without FUSE: what calls, services and operations cost in this process at each level.
 *
 *   inproc NULLFS.so SMFS.so [LEVEL...]
 *
 * One JSON object a line: {"name": WHAT/LEVEL, "ns": median for one operation, "n": operations in all}.
 * A level that this machine cannot have gives {"name": ..., "skip": reason}.
 *
 *   null      the gate: into the module and back, nothing else
 *   service   a service that does nothing, called by the module
 *   call      the whole gateway around such a call: slot, records, checks, commit
 *   lookup, create_unlink, warm_read, warm_write, copy64k   operations on SMFS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/fs.h"
#include "../front/inproc/tadan.h"

enum { BATCHES = 41, MAX_LEVELS = 8 };

struct bench {
	struct td__fs *fs;
	struct td_cred cred;
	td_attr file;
	struct td__call *call;
	uint8_t buf[65536];
};

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
	fprintf(stderr, "inproc: %s failed: %s\n", what, strerror((int)-result));
	exit(1);
}

/* ---- The operations; each does `n` of them. */

static void null_gate(struct bench *b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		b->call->domain->wall->enter(b->call);
}

static void whole_call(struct bench *b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must(td__fs_open(b->fs, b->fs->root, 0), "open");
}

static void services(struct bench *b, uint64_t n)
{
	uint64_t found;

	must(td__fs_seek(b->fs, b->fs->root, n, TD_SEEK_DATA, &found), "seek");
}

static void lookup(struct bench *b, uint64_t n)
{
	uint64_t fid;

	for (uint64_t i = 0; i < n; i++)
		must(td__fs_lookup(b->fs, b->fs->root, name_of("file"), &fid), "lookup");
}

static void create_unlink(struct bench *b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		td_attr a;

		must(td_make(b->fs, &b->cred, td_fs_root(b->fs), name_of("other"), TD_REG, 0600, 0,
			     (struct td_in){ 0, 0 }, &a),
		     "create");
		must(td_unlink(b->fs, &b->cred, td_fs_root(b->fs), name_of("other")), "unlink");
		td_forget(b->fs, a.handle, 1);
	}
}

static void warm_read(struct bench *b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must(td_read(b->fs, b->file.handle, (i & 7) * 8192, b->buf, 8192), "read");
}

static void warm_write(struct bench *b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must(td_write(b->fs, &b->cred, b->file.handle, (i & 7) * 8192, b->buf, 8192), "write");
}

/* The papers' case: a 64 KiB file copied to a new one by 8 KiB calls. */
static void copy64k(struct bench *b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		td_attr a;

		must(td_make(b->fs, &b->cred, td_fs_root(b->fs), name_of("copy"), TD_REG, 0600, 0,
			     (struct td_in){ 0, 0 }, &a),
		     "create");
		for (uint64_t off = 0; off < 65536; off += 8192) {
			must(td_read(b->fs, b->file.handle, off, b->buf, 8192), "read");
			must(td_write(b->fs, &b->cred, a.handle, off, b->buf, 8192), "write");
		}
		must(td_unlink(b->fs, &b->cred, td_fs_root(b->fs), name_of("copy")), "unlink");
		td_forget(b->fs, a.handle, 1);
	}
}

/* ---- Timing */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure(struct bench *b, const char *what, const char *level, uint64_t n, void (*run)(struct bench *, uint64_t))
{
	double ns[BATCHES];

	run(b, n);
	for (int i = 0; i < BATCHES; i++) {
		uint64_t begin = now_ns();

		run(b, n);
		ns[i] = (double)(now_ns() - begin) / (double)n;
	}
	qsort(ns, BATCHES, sizeof(ns[0]), by_size);
	printf("{\"name\": \"%s/%s\", \"ns\": %.2f, \"n\": %llu}\n", what, level, ns[BATCHES / 2],
	       (unsigned long long)n * BATCHES);
	fflush(stdout);
}

static struct td_volume *open_at(struct bench *b, const char *module, const char *level)
{
	struct td_volume_params p = { .module = module, .level = level, .size = 1 << 28 };
	struct td_volume *vol;
	char why[300];

	memset(b, 0, sizeof(*b));
	b->cred.checked = 1;
	if (td_volume_open(&p, &vol, why, sizeof(why))) {
		printf("{\"name\": \"null/%s\", \"skip\": \"%s\"}\n", level, why);
		return NULL;
	}
	b->fs = td_volume_fs(vol);
	return vol;
}

/* The gate is measured with a call that is packed once and carried across again and again. */
static void measure_gate(struct bench *b, const char *level, uint64_t n)
{
	td__attempts tries = { 0 };
	int err = 0;

	must(td__call_begin(b->fs, TD_OP_open, &tries, &b->call), "begin");
	struct td_frame_open *f = (void *)b->call->frame;
	td__put_vnode(b->call, &f->v_at, &f->v, b->fs->root, TD_SHARED);
	f->flags = 0;
	must(td__call_enter(b->call), "enter");
	td__port_set_call(b->call);
	measure(b, "null", level, n, null_gate);
	td__port_set_call(NULL);
	td__call_end(b->call, &tries, &err);
}

static void bench_level(const char *nullfs, const char *smfs, const char *level)
{
	static struct bench b;
	struct td_volume *vol = open_at(&b, nullfs, level);
	uint64_t few = b.fs && b.fs->domain->level.wall == TD_WALL_PROCESS ? 2000 : 50000;

	if (!vol)
		return;
	measure_gate(&b, level, few);
	measure(&b, "service", level, few, services);
	measure(&b, "call", level, few, whole_call);
	td_volume_close(vol);
	vol = open_at(&b, smfs, level);
	if (!vol)
		return;
	must(td_make(b.fs, &b.cred, td_fs_root(b.fs), name_of("file"), TD_REG, 0600, 0, (struct td_in){ 0, 0 }, &b.file),
	     "create");
	must(td_write(b.fs, &b.cred, b.file.handle, 0, b.buf, sizeof(b.buf)), "write");
	measure(&b, "lookup", level, few, lookup);
	measure(&b, "create_unlink", level, few / 20, create_unlink);
	measure(&b, "warm_read", level, 5000, warm_read);
	measure(&b, "warm_write", level, 5000, warm_write);
	measure(&b, "copy64k", level, few / 100, copy64k);
	td_forget(b.fs, b.file.handle, 1);
	td_volume_close(vol);
}

int main(int argc, char **argv)
{
	static char *all[] = { "trusted", "guarded", "walled", "sandboxed", "isolated", NULL };
	char **levels = argc > 3 ? argv + 3 : all;

	if (argc < 3) {
		fprintf(stderr, "usage: inproc NULLFS.so SMFS.so [LEVEL...]\n");
		return 2;
	}
	for (int i = 0; levels[i]; i++)
		bench_level(argv[1], argv[2], levels[i]);
	return 0;
}
