/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kill -9 under load. A child works on an image with several threads: each makes files, writes, overwrites, renames and removes them, and notes
 * in shared memory what an fsync has acknowledged. It is killed at a random moment; then the image is opened, and everything that was
 * acknowledged must be there, whole, and the file system sound. The next round goes on with the same image.
 *
 *	kill MODULE LEVEL ROUNDS SEED [recovery]
 *
 * recovery: the module is smfs_planted, which faults again and again. The host stops itself (SIGSTOP) at a place in the recovery that the parent
 * has chosen, some times; each time the parent lets it go on, and the last time it kills it there.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../front/inproc/tadan.h"
#include "../unit/smfs_check.h"
#include "../stress/strikes.h"
#include <fs_gateway.h>

enum { THREADS = 4, FILES = 16, MOST = 200000, LONGEST_MS = 700 };

/* Version v of file f is `size_of` bytes made from both. 0: there was none. */
static struct {
	atomic_uint known[THREADS][FILES]; /* the last version that an fsync has acknowledged */
	atomic_uint begun[THREADS][FILES]; /* the last one that was begun */
	atomic_uint renewed[THREADS]; /* since the child began */
	atomic_ulong syncs;
	atomic_int stop_at; /* enum place */
} *shared;

/* In a recovery: the gate is closed; the new domain is to mount; it has mounted; calls go on. */
enum place { NOWHERE, CLOSED, MOUNTS, MOUNTED, OPENED, PLACES };

static char image[64], why[256];
static const char *module, *level;
static int in_recovery, striking; /* striking: in the child, from when on faults are ordered */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static size_t size_of(unsigned version, int file)
{
	uint64_t r = mix(version * 131 + (unsigned)file);

	return 1 + r % (r % 8 ? 9000 : MOST);
}

static void fill(uint8_t *to, int thread, int file, unsigned version)
{
	uint64_t tag = mix(((uint64_t)version << 16) + (unsigned)(thread * FILES + file));

	for (size_t i = 0, n = size_of(version, file); i < n; i += 8) {
		uint64_t w = mix(tag + i);

		memcpy(to + i, &w, n - i < 8 ? n - i : 8);
	}
}

static struct td_volume *open_volume(int format)
{
	struct td_volume_params p = { .module = module, .image = image, .size = 64 << 20, .level = level, .format = format };
	struct td_volume *vol;

	if (td_volume_open(&p, &vol, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		return NULL;
	}
	return vol;
}

/* ---- The child */

static struct td_volume *volume;

/* A new version under another name, made to last, then put in the old one's place; or written over it. */
static void renew(const struct td_task *t, int thread, int file, uint8_t *data)
{
	unsigned version = atomic_load(&shared->begun[thread][file]) + 1;
	char name[32], temp[32];
	int fd;

	snprintf(name, sizeof(name), "/f%d.%d", thread, file);
	snprintf(temp, sizeof(temp), "/t%d.%d", thread, file);
	fill(data, thread, file, version);
	atomic_store(&shared->begun[thread][file], version);
	fd = td_path_open(t, temp, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	if (fd < 0 || td_fd_write(t, fd, data, size_of(version, file)) != (int64_t)size_of(version, file) ||
	    td_path_rename(t, temp, name, 0) || td_fd_sync(t, fd))
		_exit(3);
	atomic_store(&shared->known[thread][file], version);
	atomic_fetch_add(&shared->renewed[thread], 1);
	atomic_fetch_add(&shared->syncs, 1);
	td_fd_close(t, fd);
}

static void *work(void *arg)
{
	int thread = (int)(intptr_t)arg;
	struct td_task task = { .volume = volume, .cwd = TD_CWD_ROOT };
	uint8_t *data = malloc(MOST + 8);
	uint64_t r = (uint64_t)getpid() * 64 + (unsigned)thread;

	for (;;) {
		r = mix(r + 1);
		renew(&task, thread, (int)(r % FILES), data);
	}
	return NULL;
}

/* In the kernel's place (--wrap): where a recovery passes. */
static void pass(enum place place)
{
	int here = (int)place;

	if (striking && atomic_compare_exchange_strong(&shared->stop_at, &here, NOWHERE))
		raise(SIGSTOP);
}

void __real_td__vnodes_unkeep_all(struct td__fs *fs);
void __wrap_td__vnodes_unkeep_all(struct td__fs *fs);
void __wrap_td__vnodes_unkeep_all(struct td__fs *fs)
{
	pass(CLOSED);
	__real_td__vnodes_unkeep_all(fs);
}

int __real_td__cross_mount(struct td__fs *fs, const struct td_device *dev, uint32_t format, struct td_fsinfo *info);
int __wrap_td__cross_mount(struct td__fs *fs, const struct td_device *dev, uint32_t format, struct td_fsinfo *info);
int __wrap_td__cross_mount(struct td__fs *fs, const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	int err;

	pass(MOUNTS);
	err = __real_td__cross_mount(fs, dev, format, info);
	pass(MOUNTED);
	return err;
}

void __real_td__domain_retire(struct td__fs *fs, struct td__domain *d);
void __wrap_td__domain_retire(struct td__fs *fs, struct td__domain *d);
void __wrap_td__domain_retire(struct td__fs *fs, struct td__domain *d)
{
	pass(OPENED);
	__real_td__domain_retire(fs, d);
}

/* Each thread has renewed a file since: no call is the second try of one that has been struck. */
static int all_renewed(unsigned then[THREADS])
{
	for (int i = 0; i < THREADS; i++)
		if (atomic_load(&shared->renewed[i]) == then[i])
			return 0;
	return 1;
}

static void strike_on(void)
{
	struct td__fs *fs = td_volume_fs(volume);

	for (unsigned i = 0;; i++) {
		unsigned then[THREADS];

		strikes_order(fs, PLANT_ANY, 1 + i % 5, i % 2 ? PLANT_NULL : PLANT_TRAP, i % 4 == 3);
		striking = 1;
		while (strikes_pending(fs))
			usleep(500);
		for (int k = 0; k < THREADS; k++)
			then[k] = atomic_load(&shared->renewed[k]);
		while (!all_renewed(then))
			usleep(500);
	}
}

static void child(void)
{
	pthread_t threads[THREADS];

	volume = open_volume(1);
	if (!volume)
		_exit(2);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i);
	if (in_recovery)
		strike_on();
	pause();
}

/* ---- The parent */

/* It stops where it is told to, is left there for a while, and at last killed there. */
static void kill_in_recovery(pid_t pid, unsigned seed)
{
	const unsigned stops = 1 + seed % 4;
	siginfo_t info;

	for (unsigned i = 1;; i++) {
		atomic_store(&shared->stop_at, CLOSED + (int)(mix(seed * 100 + i) % (PLACES - CLOSED)));
		if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT) || info.si_code != CLD_STOPPED)
			return;
		waitid(P_PID, (id_t)pid, &info, WSTOPPED);
		if (i == stops)
			break;
		usleep(1000 * (unsigned)(mix(seed * 200 + i) % 60));
		kill(pid, SIGCONT);
	}
	kill(pid, SIGKILL);
}

static const char *check_file(const struct td_task *t, int thread, int file, uint8_t *data, uint8_t *wanted)
{
	static char wrong[200];
	unsigned known = atomic_load(&shared->known[thread][file]), begun = atomic_load(&shared->begun[thread][file]);
	char name[32];
	int64_t n;
	int fd;

	snprintf(name, sizeof(name), "/f%d.%d", thread, file);
	fd = td_path_open(t, name, O_RDONLY, 0);
	if (fd < 0 && !known)
		return NULL;
	snprintf(wrong, sizeof(wrong), "%s, of which version %u was acknowledged and %u begun: ", name, known, begun);
	if (fd < 0) {
		strcat(wrong, "is not there");
		return wrong;
	}
	n = td_fd_read(t, fd, data, MOST + 8);
	td_fd_close(t, fd);
	for (unsigned v = known; v <= begun; v++) {
		fill(wanted, thread, file, v);
		if (v && n == (int64_t)size_of(v, file) && !memcmp(data, wanted, (size_t)n))
			return NULL;
	}
	snprintf(wrong + strlen(wrong), 60, "%lld bytes of something else", (long long)n);
	return wrong;
}

static const char *check(void)
{
	/* Before the first fsync there need not be a file system. */
	struct td_volume *vol = open_volume(!atomic_load(&shared->syncs));
	struct td_task task = { .volume = vol, .cwd = TD_CWD_ROOT };
	uint8_t *data = malloc(MOST + 8), *wanted = malloc(MOST + 8);
	const char *wrong = vol ? NULL : why;

	for (int i = 0; i < THREADS * FILES && !wrong; i++)
		wrong = check_file(&task, i / FILES, i % FILES, data, wanted);
	if (vol && !wrong) {
		struct td__device *dev = td_volume_fs(vol)->device;

		td__graves_empty(td_volume_fs(vol));
		if (td_volume_sync(vol) || td__device_load(dev, 0, dev->blocks))
			wrong = "cannot be read or written";
		else
			wrong = smfs_sound_used(td__device_at(dev, 0), dev->blocks - (in_recovery != 0), 0, 0);
	}
	if (vol && td_volume_close(vol) && !wrong)
		wrong = "cannot be written back";
	free(data);
	free(wanted);
	return wrong;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 3 ? (unsigned)atoi(argv[3]) : 0, seed = argc > 4 ? (unsigned)atoi(argv[4]) : 1, failed = 0;

	if (!rounds)
		return 2;
	module = argv[1];
	level = argv[2];
	in_recovery = argc > 5;
	snprintf(image, sizeof(image), "%s/kill.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	close(mkstemp(image));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (unsigned i = 0; i < rounds && !failed; i++) {
		unsigned ms = 50 + (unsigned)(mix(seed * 1000 + i) % LONGEST_MS);
		const char *wrong;
		int status;
		pid_t pid = fork();

		if (!pid)
			child();
		if (in_recovery) {
			kill_in_recovery(pid, seed + i);
		} else {
			usleep(ms * 1000);
			kill(pid, SIGKILL);
		}
		waitpid(pid, &status, 0);
		wrong = WIFSIGNALED(status) ? check() : "the child failed by itself";
		printf("%s round %u of seed %u, killed ", wrong ? "FAIL" : "ok  ", i, seed);
		printf(in_recovery ? "in recovery" : "after %u ms", ms);
		printf(", %lu fsyncs so far%s%s\n", atomic_load(&shared->syncs), wrong ? ": " : "", wrong ? wrong : "");
		failed += wrong != NULL;
	}
	if (!failed)
		unlink(image);
	printf("%u passed, %u failed, 0 skipped\n", rounds - failed, failed);
	return failed != 0;
}
