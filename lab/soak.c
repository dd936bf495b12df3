/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Soak: one volume for a given time. Operations by chance, each compared with the model; meanwhile levels change, faulty copies of the module
 * take its place, and its process is killed, once or in storms that also strike while it is being started again or moved. All that
 * was acknowledged must be there, and memory, descriptors and vnodes must stay flat.
 *
 * Planted faults are used, and only at levels with a wall: whatever is then wrong is an error of ours.
 */
#include "lab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { VAGUE_MAX = 6, KILLED_EVERY_US = 7000, STORM_ROUNDS = 60, SLACK_KB = 16 << 10 };

#define KNOBS ",time=100ms,restart=1000000/1s"
static const char *const levels[] = { "guarded" KNOBS, "walled" KNOBS, "isolated" KNOBS, "debug" KNOBS, "sandboxed" KNOBS };

struct soak {
	const struct lab_image *image;
	const char *folder;
	struct lab_random random;
	struct lab_model model;
	struct lab_work work;
	struct td_volume *vol;
	struct td__fs *fs;
	struct td__module *good;
	uint32_t level; /* of levels[] */
	uint64_t moves, faults, storms, wipes, rounds;
	uint32_t storm; /* atomic: the killer is at work */
	char why[300];
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

_Noreturn static void fail(struct soak *s, const char *what)
{
	uint64_t n = s->work.settled, i = n > LAB_LAST ? n - LAB_LAST : 0;

	for (; i < n; i++)
		printf("  %s\n", s->work.last[i % LAB_LAST]);
	printf("FAILED: after %llu operations, the last of them above, at %s: %s\n", (unsigned long long)s->work.operations,
	       levels[s->level], what);
	exit(1);
}

/* ---- What must stay flat */

struct usage {
	uint64_t memory_kb, descriptors, vnodes;
};

static uint64_t resident_kb(void)
{
	unsigned long pages = 0, unused;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%lu %lu", &unused, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * 4;
}

static uint64_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* ---- Cleaning up: what nobody can be sure of is removed, with all the rest. */

static void wipe_dir(struct soak *s, const char *path)
{
	struct td_entry e;
	int fd, err;

	for (;;) {
		char name[1200] = "";
		int is_dir = 0;

		fd = td_path_open(&s->work.task, path[0] ? path : "/", O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0)
			fail(s, "a directory cannot be opened to be emptied");
		while ((err = td_fd_readdir(&s->work.task, fd, &e)) > 0)
			if (strcmp(e.name, ".") && strcmp(e.name, "..")) {
				snprintf(name, sizeof(name), "%s/%s", path, e.name);
				is_dir = e.type == TD_DIR;
				break;
			}
		td_fd_close(&s->work.task, fd);
		if (err < 0)
			fail(s, "a directory cannot be listed to be emptied");
		if (!name[0])
			return;
		if (is_dir)
			wipe_dir(s, name);
		if (is_dir ? td_path_rmdir(&s->work.task, name) : td_path_unlink(&s->work.task, name))
			fail(s, "a name cannot be removed");
	}
}

static uint32_t vague(const struct lab_model *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < LAB_ENTRIES; i++)
		n += m->entries[i].used && (m->entries[i].vague || m->nodes[m->entries[i].node].vague);
	return n;
}

static void wipe(struct soak *s)
{
	int no_xattrs = s->work.no_xattrs;

	lab_work_end(&s->work);
	wipe_dir(s, "");
	for (uint32_t i = 1; i < LAB_NODES; i++)
		s->model.nodes[i].used = 0;
	for (uint32_t i = 0; i < LAB_ENTRIES; i++)
		s->model.entries[i].used = 0;
	s->model.nodes[0].links = 2;
	s->model.nodes[0].vague = 0;
	for (int i = 0; i < LAB_HELD; i++)
		s->work.held[i].fd = -1;
	s->work.no_xattrs = no_xattrs;
	s->wipes++;
}

static void check(struct soak *s)
{
	char what[LAB_TEXT] = "";

	if (s->work.wrong)
		fail(s, s->work.first_wrong);
	if (lab_model_verify(&s->model, s->vol, what, sizeof(what)))
		fail(s, what);
	if (vague(&s->model) > VAGUE_MAX)
		wipe(s);
}

/* ---- Events */

static int go_to(struct soak *s, uint32_t level)
{
	int err = td_volume_level(s->vol, levels[level], 0, s->why, sizeof(s->why));

	if (!err)
		s->level = level;
	return err;
}

/* With no file and no process of the module; what ends in the background gets a second for it. */
static struct usage usage(struct soak *s)
{
	struct usage u = { 0 };
	struct td_status status;

	wipe(s);
	if (go_to(s, 0))
		fail(s, s->why);
	for (int i = 0; i < 10; i++) {
		uint64_t open = open_descriptors();

		if (!i || open < u.descriptors)
			u.descriptors = open;
		usleep(100000);
	}
	td_get_status(s->fs, &status);
	u.memory_kb = resident_kb();
	u.vnodes = status.vnodes;
	return u;
}

/* To another level that this machine has. */
static void move(struct soak *s)
{
	uint32_t to = lab_below(&s->random, sizeof(levels) / sizeof(levels[0]));

	if (go_to(s, to) == 0)
		s->moves++;
}

static void work(struct soak *s, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		lab_work_once(&s->work);
}

static void kill_process(struct soak *s)
{
	td__mutex_lock(&s->fs->tick_mutex);
	if (s->fs->domain && s->fs->domain->process)
		kill((pid_t)s->fs->domain->process, SIGKILL);
	td__mutex_unlock(&s->fs->tick_mutex);
}

static void *killer(void *arg)
{
	struct soak *s = arg;

	while (__atomic_load_n(&s->storm, __ATOMIC_ACQUIRE)) {
		kill_process(s);
		usleep(KILLED_EVERY_US);
	}
	return 0;
}

/* Kills as fast as the module comes back, and faster, while work and changes of level go on. */
static void storm(struct soak *s)
{
	pthread_t thread;

	if (go_to(s, 2) || !(s->storm = 1) || pthread_create(&thread, 0, killer, s))
		return;
	for (int i = 0; i < STORM_ROUNDS; i++) {
		work(s, 1);
		if (i % 16 == 8)
			go_to(s, 2 + lab_below(&s->random, 2));
	}
	__atomic_store_n(&s->storm, 0, __ATOMIC_RELEASE);
	pthread_join(thread, 0);
	s->storms++;
	/* It may have been given up; its owner brings it back. */
	if (go_to(s, 2))
		fail(s, s->why);
}

static const uint32_t acts[] = { LAB_WRITE_NULL, LAB_WRITE_UNMAPPED, LAB_STACK, LAB_ILLEGAL, LAB_LOOP, LAB_RECORD_SIZE, LAB_RESULT_POSITIVE,
				 LAB_STALE_HANDLE, LAB_WRITE_SHARED, LAB_JUMP_NULL, LAB_BYTES_LENGTH, LAB_LOCK_KEPT };

/* A faulty copy for one domain's life. */
static void plant(struct soak *s)
{
	const struct lab_image *im = s->image;
	uint32_t act = acts[lab_below(&s->random, sizeof(acts) / sizeof(acts[0]))];
	struct lab_kind kind = { .class = LAB_PLANTED, .number = act };
	struct lab_act_params p = { .bsize = s->fs->device->bsize, .blocks = s->fs->device->blocks };
	uint8_t *bytes = malloc(im->elf->size);
	struct td__module *bad = 0;
	char path[300];

	if (!bytes || !lab_possible(im, &kind) || go_to(s, 2)) {
		free(bytes);
		return;
	}
	memcpy(bytes, im->elf->file, im->elf->size);
	snprintf(path, sizeof(path), "%s/soak.so", s->folder);
	if (lab_plant(im, act, &p, bytes) || lab_write_file(path, bytes, im->elf->size) || td__module_open(path, &bad, s->why, sizeof(s->why)))
		fail(s, "the faulty copy cannot be made");
	unlink(path);
	free(bytes);
	s->fs->module = bad;
	if (go_to(s, 2))
		fail(s, s->why);
	s->fs->module = s->good;
	work(s, 20);
	if (go_to(s, 2)) /* the bad copy is gone, if it has not been found */
		fail(s, s->why);
	td__module_close(bad);
	s->faults++;
}

static void round_of(struct soak *s)
{
	work(s, 20 + lab_below(&s->random, 60));
	switch (lab_below(&s->random, 6)) {
	case 0: storm(s); break;
	case 1: kill_process(s); break;
	case 2: plant(s); break;
	default: move(s); break;
	}
	work(s, 10);
	check(s);
	s->rounds++;
}

/* ---- */

static void tell(const char *what, const struct usage *u)
{
	printf("%s: %llu KiB, %llu descriptors, %llu vnodes\n", what, (unsigned long long)u->memory_kb, (unsigned long long)u->descriptors,
	       (unsigned long long)u->vnodes);
}

int lab_soak(const struct lab_image *im, const char *folder, uint64_t seed, uint64_t seconds)
{
	static struct soak s;
	struct td_volume_params p = { .module = im->path, .size = 8 << 20, .level = levels[2] };
	uint64_t start = now_ms(), middle = start + seconds * 300, end = start + seconds * 1000;
	struct usage first = { 0 }, last;

	s.image = im;
	s.folder = folder;
	s.random.state = seed;
	s.level = 2;
	if (td__module_open(im->path, &s.good, s.why, sizeof(s.why)) || td_volume_open(&p, &s.vol, s.why, sizeof(s.why)))
		fail(&s, s.why);
	s.fs = td_volume_fs(s.vol);
	if (lab_model_load(&s.model, s.vol))
		fail(&s, "the file system cannot be read");
	lab_work_init(&s.work, &s.model, s.vol, &s.random);
	lab_work_probe(&s.work);
	while (now_ms() < end) {
		round_of(&s);
		if (!first.memory_kb && now_ms() > middle)
			first = usage(&s);
	}
	last = usage(&s);
	tell("at a third", &first);
	tell("at the end", &last);
	printf("%llu operations, %llu rounds, %llu changes of level, %llu faulty copies, %llu storms, %llu faults, %llu restarts\n", (unsigned long long)s.work.operations, (unsigned long long)s.rounds,
	       (unsigned long long)s.moves, (unsigned long long)s.faults, (unsigned long long)s.storms, (unsigned long long)s.fs->nfaults,
	       (unsigned long long)s.fs->restarts);
	if (last.descriptors > first.descriptors)
		fail(&s, "descriptors are left open");
	if (last.vnodes > first.vnodes + LAB_NODES)
		fail(&s, "vnodes pile up");
	if (last.memory_kb > first.memory_kb + SLACK_KB)
		fail(&s, "memory grows");
	lab_work_end(&s.work);
	if (td_volume_close(s.vol))
		fail(&s, "the unmount has failed");
	td__module_close(s.good);
	printf("1 passed, 0 failed, 0 skipped\n");
	return 0;
}
