/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many mounts of one host fail together, again and again.
 *
 *	many SMFS_PLANTED MOUNTS ROUNDS LEVEL...
 *
 * The mounts have the levels in turn. A thread for each makes a file, writes it, renames it over the last one and reads it back: each
 * operation must do exactly what it says, for each fault strikes a call once, and its second try is served. A round strikes all mounts before
 * any may go on; where a module has a process, every third round kills all of these instead. Then each mount is looked at as a whole. At the end
 * one module after the other fails in each of its calls, which its own callers notice, and nobody else.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../front/inproc/tadan.h"
#include "../../walls/walls.h"
#include "../unit/smfs_check.h"
#include "strikes.h"
#include <fcntl.h>

enum { MOUNTS = 48, SIZE = 20000, BLOCKS = 600, BSIZE = 4096 };

static struct mount {
	struct td_task task;
	struct td__fs *fs;
	pthread_t thread;
	const char *level;
	unsigned number, version;
	uint64_t failed; /* calls, while the module fails in each */
	uint8_t data[SIZE], back[SIZE + 1];
} mounts[MOUNTS];
static unsigned nmounts, rounds;
static pthread_barrier_t start, over;

static _Noreturn void fail(const struct mount *m, const char *what, int64_t result)
{
	struct td_fault f[TD_FAULTS_KEPT];
	uint32_t n = td_get_faults(m->fs, 0, f, TD_FAULTS_KEPT);

	fprintf(stderr, "FAILED: mount %u at %s, version %u: %s: %lld\n", m->number, m->level, m->version, what, (long long)result);
	for (uint32_t i = n > 4 ? n - 4 : 0; i < n; i++)
		fprintf(stderr, "  fault %llu: %s, %s, attempt %u, %s\n", (unsigned long long)f[i].number, td_fault_names[f[i].kind], f[i].detail,
			f[i].attempt, f[i].action);
	_exit(1);
}

static void must(const struct mount *m, const char *what, int64_t result, int64_t wanted)
{
	if (result != wanted)
		fail(m, what, result);
}

/* ---- Work */

static uint32_t size_of(const struct mount *m)
{
	return 1 + (m->version * 7919 + m->number * 104729) % SIZE;
}

static void look(struct mount *m)
{
	int fd = td_path_open(&m->task, "file", O_RDONLY, 0);

	if (fd < 0)
		fail(m, "open of the old file", fd);
	must(m, "read", td_fd_read(&m->task, fd, m->back, sizeof(m->back)), size_of(m));
	must(m, "content", memcmp(m->back, m->data, size_of(m)) != 0, 0);
	td_fd_close(&m->task, fd);
}

static void renew(struct mount *m)
{
	int fd = td_path_open(&m->task, "new", O_CREAT | O_EXCL | O_WRONLY, 0644);

	if (fd < 0)
		fail(m, "create", fd);
	m->version++;
	memset(m->data, (int)(m->version * 31 + m->number), SIZE);
	must(m, "write", td_fd_write(&m->task, fd, m->data, size_of(m)), size_of(m));
	must(m, "rename", td_path_rename(&m->task, "new", "file", 0), 0);
	must(m, "link", td_path_link(&m->task, "file", "link", 0), 0);
	must(m, "unlink", td_path_unlink(&m->task, "link"), 0);
	td_fd_close(&m->task, fd);
	look(m);
}

static void *work(void *arg)
{
	struct mount *m = arg;

	for (unsigned round = 0; round < rounds; round++) {
		pthread_barrier_wait(&start);
		renew(m);
		pthread_barrier_wait(&over);
	}
	return NULL;
}

/* ---- What befalls them */

static void strike_all(unsigned round)
{
	for (unsigned i = 0; i < nmounts; i++) {
		struct td_status s;

		td_get_status(mounts[i].fs, &s);
		if (s.process && round % 3 == 2)
			kill((pid_t)s.process, SIGKILL);
		else
			strikes_order(mounts[i].fs, PLANT_ANY, round % 2 ? 1 + (round + i) % 5 : (uint32_t)PLANT_END,
				      round % 2 ? PLANT_NULL : PLANT_RESULT, round % 4 == 1);
	}
}

static void together(void)
{
	for (unsigned round = 0; round < rounds; round++) {
		strike_all(round);
		pthread_barrier_wait(&start);
		pthread_barrier_wait(&over);
	}
	for (unsigned i = 0; i < nmounts; i++) {
		pthread_join(mounts[i].thread, NULL);
		strikes_end(mounts[i].fs);
	}
}

/* Each call of one module faults; its neighbour must not notice. When it has been detached it can be attached again. */
static void one_by_one(void)
{
	char why[300], limited[200];
	td_attr a;

	for (unsigned i = 0; i < nmounts; i++) {
		struct mount *m = &mounts[i], *next = &mounts[(i + 1) % nmounts];
		const struct td_name name = { (const uint8_t *)"nobody", 6 };
		const struct td_cred root = { 0 };

		snprintf(limited, sizeof(limited), "%s,restart=2/60s", m->level);
		must(m, "level", td_volume_level(m->task.volume, limited, NULL, why, sizeof(why)), 0);
		strikes_every(m->fs);
		while (m->fs->state != TD_STATE_DETACHED)
			must(m, "a call that faults", td_make(m->fs, &root, td_fs_root(m->fs), name, TD_REG, 0644, 0, (struct td_in){ 0 }, &a),
			     -TD_EIO);
		renew(next);
		strikes_end(m->fs);
		must(m, "a call of a detached module", td_make(m->fs, &root, td_fs_root(m->fs), name, TD_REG, 0644, 0, (struct td_in){ 0 }, &a),
		     -TD_EIO);
		must(m, "attach again", td_volume_level(m->task.volume, m->level, NULL, why, sizeof(why)), 0);
		look(m);
	}
}

/* ---- Begin and end */

static int available(const char *text)
{
	struct td_level level;
	char why[300] = "";

	if (!td_level_parse(text, &level, why, sizeof(why)) && td__walls[level.wall] && !td__walls[level.wall]->available(why, sizeof(why)))
		return 1;
	printf("without %s: %s\n", text, why);
	return 0;
}

static void begin(const char *module, char **levels, unsigned nlevels)
{
	struct td_volume_params p = { .module = module, .bsize = BSIZE, .size = (uint64_t)BLOCKS * BSIZE };
	char why[300];

	for (unsigned i = 0; i < nmounts; i++) {
		struct mount *m = &mounts[i];

		m->number = i;
		p.level = m->level = levels[i % nlevels];
		if (td_volume_open(&p, &m->task.volume, why, sizeof(why))) {
			fprintf(stderr, "FAILED: mount %u at %s: %s\n", i, p.level, why);
			exit(1);
		}
		m->task.cwd = TD_CWD_ROOT;
		m->fs = td_volume_fs(m->task.volume);
		renew(m);
	}
}

static void end(void)
{
	for (unsigned i = 0; i < nmounts; i++) {
		struct mount *m = &mounts[i];
		struct td__device *dev = m->fs->device;
		const char *wrong;

		look(m);
		td__orphans_retry(m->fs, ~0ull);
		td__graves_empty(m->fs);
		must(m, "sync", td_volume_sync(m->task.volume), 0);
		wrong = smfs_sound_used(td__device_at(dev, 0), dev->blocks - 1, 0, 0);
		if (wrong)
			fail(m, wrong, 0);
		must(m, "close", td_volume_close(m->task.volume), 0);
	}
}

int main(int argc, char **argv)
{
	unsigned nlevels = 0;

	if (argc < 5) {
		fprintf(stderr, "usage: many SMFS_PLANTED MOUNTS ROUNDS LEVEL...\n");
		return 2;
	}
	nmounts = (unsigned)atoi(argv[2]) < MOUNTS ? (unsigned)atoi(argv[2]) : MOUNTS;
	rounds = (unsigned)atoi(argv[3]);
	for (int i = 4; i < argc; i++)
		if (available(argv[i]))
			argv[4 + nlevels++] = argv[i];
	if (!nlevels) {
		printf("0 passed, 0 failed, 1 skipped\n");
		return 77;
	}
	begin(argv[1], argv + 4, nlevels);
	pthread_barrier_init(&start, NULL, nmounts + 1);
	pthread_barrier_init(&over, NULL, nmounts + 1);
	for (unsigned i = 0; i < nmounts; i++)
		pthread_create(&mounts[i].thread, NULL, work, &mounts[i]);
	together();
	if (strikes_noted() < (uint64_t)nmounts * rounds / 2)
		fail(&mounts[0], "too few faults", (int64_t)strikes_noted());
	one_by_one();
	end();
	printf("%u mounts, %u rounds, %llu faults, %llu more in recovery\n%u passed, 0 failed, 0 skipped\n", nmounts, rounds,
	       (unsigned long long)strikes_noted(), (unsigned long long)strikes_in_recovery(), nmounts);
	return 0;
}
