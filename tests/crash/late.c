/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume in-process on an image whose disk gives no answer for a while: who needs it gets EIO in time, what is in memory is read, nothing
 * acknowledged is lost, and all of it is written when the disk answers again; closing the volume ends, too.
 *
 *	late MODULE LEVEL
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "../../front/inproc/tadan.h"

enum { LIMIT_MS = 200, TIMELY_MS = 5000, LARGE = 600000, SMALL = 5000 };
enum call { NONE, READ, WRITE, FLUSH };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum call hangs;
static pthread_t mine;
static struct td_task task = { .cwd = TD_CWD_ROOT };
static const char *module, *level;
static char path[64], why[256];
static uint8_t data[LARGE], found[LARGE];
static unsigned passed, failed;

/* ---- The system's calls. The test's own thread never gets into the disk's hands, only into those of the pages in memory. */

static void maybe_hang(enum call call)
{
	pthread_mutex_lock(&mutex);
	while (hangs == call && !pthread_equal(pthread_self(), mine))
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void let_hang(enum call call)
{
	pthread_mutex_lock(&mutex);
	hangs = call;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

ssize_t __real_pread64(int fd, void *to, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *to, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *to, size_t len, off_t off)
{
	maybe_hang(READ);
	return __real_pread64(fd, to, len, off);
}

ssize_t __real_pwrite64(int fd, const void *from, size_t len, off_t off);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t off);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t off)
{
	maybe_hang(WRITE);
	return __real_pwrite64(fd, from, len, off);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	maybe_hang(FLUSH);
	return __real_fdatasync(fd);
}

/* Nothing is there at once, and the file is on a disk. */
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t off, int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	errno = EAGAIN;
	return fd < 0 || !iov || n < 1 || off < 0 || flags ? -1 : 0;
}

ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int n, off_t off, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	return __wrap_preadv64v2(fd, iov, n, off, flags);
}

int __wrap_fstatfs64(int fd, struct statfs64 *fs);
int __wrap_fstatfs64(int fd, struct statfs64 *fs)
{
	memset(fs, 0, sizeof(*fs));
	return fd < 0;
}

/* ---- */

static void expect(int64_t got, int64_t wanted, const char *what)
{
	passed += got == wanted;
	failed += got != wanted;
	if (got != wanted)
		printf("FAIL %s, level %s: %lld, not %lld\n", what, level, (long long)got, (long long)wanted);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void open_volume(void)
{
	const struct td_volume_params p = { .module = module, .level = level, .image = path, .size = 16 << 20, .format = 1, .device_ms = LIMIT_MS };
	int err;

	while ((err = td_volume_open(&p, &task.volume, why, sizeof(why))) == -EBUSY) /* an answer is still owed */
		usleep(10000);
	if (err) {
		printf("%s\n", why);
		exit(1);
	}
}

static int open_file(const char *name)
{
	int fd = td_path_open(&task, name, O_RDWR | O_CREAT, 0644);

	expect(fd >= 0, 1, "open");
	return fd;
}

static void put(int fd, uint8_t byte, size_t len)
{
	memset(data, byte, len);
	expect(td_fd_pwrite(&task, fd, data, len, 0), (int64_t)len, "write");
}

static int64_t look(int fd, uint8_t byte, size_t len)
{
	int64_t n = td_fd_pread(&task, fd, found, len, 0);

	for (int64_t i = 0; i < n; i++)
		if (found[i] != byte)
			return -EILSEQ;
	return n;
}

/* The disk owes something until a sync succeeds. */
static void until_well(void)
{
	double begin = now_ms();

	while (td_volume_sync(task.volume) && now_ms() - begin < TIMELY_MS)
		usleep(5000);
	expect(td_volume_sync(task.volume), 0, "sync when the disk answers again");
}

static void write_late(enum call call, size_t len)
{
	int fd = open_file("/a");
	double begin;

	put(fd, 1, len);
	expect(td_fd_sync(&task, fd), 0, "fsync");
	put(fd, 2, len);
	let_hang(call);
	begin = now_ms();
	expect(td_fd_sync(&task, fd), -EIO, "fsync without an answer");
	expect(td_fd_sync(&task, fd), -EIO, "fsync while an answer is owed");
	expect(now_ms() - begin < TIMELY_MS, 1, "in time");
	expect(look(fd, 2, len), (int64_t)len, "what is in memory");
	put(fd, 3, len);
	let_hang(NONE);
	until_well();
	expect(td_fd_close(&task, fd), 0, "close");
	expect(td_volume_close(task.volume), 0, "the volume's end");
	open_volume();
	fd = open_file("/a");
	expect(look(fd, 3, len), (int64_t)len, "what was written at last");
	td_fd_close(&task, fd);
}

/* The volume has just been opened: the content is not in memory. */
static void read_late(void)
{
	int fd = open_file("/a");
	double begin;

	td_fd_close(&task, fd);
	expect(td_volume_close(task.volume), 0, "the volume's end");
	open_volume();
	fd = open_file("/a");
	let_hang(READ);
	begin = now_ms();
	expect(look(fd, 3, SMALL), -EIO, "read without an answer");
	expect(now_ms() - begin < TIMELY_MS, 1, "in time");
	let_hang(NONE);
	expect(look(fd, 3, SMALL), SMALL, "read when the disk answers again");
	td_fd_close(&task, fd);
}

static void close_late(void)
{
	int fd = open_file("/a");
	double begin = now_ms();

	put(fd, 4, SMALL);
	let_hang(WRITE);
	expect(td_volume_close(task.volume), -EIO, "the volume's end without an answer");
	expect(now_ms() - begin < TIMELY_MS, 1, "in time");
	let_hang(NONE);
	open_volume();
	fd = open_file("/a");
	expect(look(fd, 3, SMALL) == SMALL || look(fd, 4, SMALL) == SMALL, 1, "what was acknowledged, or what came late");
	td_fd_close(&task, fd);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	mine = pthread_self();
	module = argv[1];
	level = argv[2];
	snprintf(path, sizeof(path), "late-%d.img", (int)getpid());
	open_volume();
	for (enum call call = WRITE; call <= FLUSH; call++) {
		write_late(call, LARGE);
		write_late(call, SMALL);
	}
	read_late();
	close_late();
	expect(td_volume_close(task.volume), 0, "the end");
	unlink(path);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
