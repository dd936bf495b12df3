/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Image files as disks: see disk.h. What Linux can do at once (RWF_NOWAIT: its page cache has it, or takes it) is done by the caller.
 * What may have to wait for a device is a request of lanes.h; where there is no limit, the caller waits himself. So he does where the
 * file system is in memory: there is no device to wait for.
 */
#include "disk.h"
#include "lanes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { DEFAULT_MS = 30000, PIECES = 64 };

struct td__disk {
	int fd;
	int in_memory;
	int never_read, never_write; /* at once: this file system cannot */
	struct td__lanes *lanes;
};

static int refuse(char *why, size_t whylen, const char *path, const char *text, int err)
{
	snprintf(why, whylen, "%s: %s", path, text);
	return -err;
}

/* A lock of the open file, so that a second mount in the same process is refused, too. */
static int lock(int fd, const char *path, char *why, size_t whylen)
{
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK)
		return refuse(why, whylen, path, strerror(errno), errno);
	return refuse(why, whylen, path, "the image is in use by another mount; unmount it first", EBUSY);
}

static int size_up(int fd, const char *path, uint64_t size, uint64_t *bytes, char *why, size_t whylen)
{
	struct stat st;

	if (fstat(fd, &st))
		return refuse(why, whylen, path, strerror(errno), errno);
	if (!S_ISREG(st.st_mode))
		return refuse(why, whylen, path, "an image must be a regular file", EINVAL);
	*bytes = (uint64_t)st.st_size;
	if (!size && !*bytes)
		return refuse(why, whylen, path, "the image is empty; give --size to make it", EINVAL);
	if (size > *bytes) {
		if (ftruncate(fd, (off_t)size))
			return refuse(why, whylen, path, strerror(errno), errno);
		*bytes = size;
	}
	return 0;
}

static int look_blank(int fd)
{
	static const char zeroes[4096];
	char block[4096];

	for (off_t off = 0; off < 1 << 20; off += sizeof(block)) {
		ssize_t n = pread(fd, block, sizeof(block), off);

		if (n <= 0)
			return n == 0;
		if (memcmp(block, zeroes, (size_t)n))
			return 0;
	}
	return 1;
}

void td__port_disk_limit(struct td__disk *disk, uint32_t ms)
{
	td__lanes_limit(disk->lanes, disk->in_memory ? 0 : ms);
}

static int make(int fd, const char *path, struct td__disk **out)
{
	struct td__disk *disk = calloc(1, sizeof(*disk));
	struct statfs fs;

	if (!disk)
		return -ENOMEM;
	disk->fd = fd;
	disk->in_memory = !fstatfs(fd, &fs) && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
	disk->lanes = td__lanes_create(fd, path);
	if (!disk->lanes) {
		free(disk);
		return -ENOMEM;
	}
	td__port_disk_limit(disk, DEFAULT_MS);
	*out = disk;
	return 0;
}

int td__port_disk_open(const char *path, uint64_t size, int readonly, struct td__disk **out, uint64_t *bytes,
		       int *blank, char *why, size_t whylen)
{
	int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC), made = 0, err;

	if (fd < 0 && errno == ENOENT && size) {
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		made = fd >= 0;
	}
	if (fd < 0)
		return refuse(why, whylen, path, errno == ENOENT ? "no such image; give --size to make it" : strerror(errno),
			      errno);
	err = lock(fd, path, why, whylen);
	if (!err)
		err = size_up(fd, path, size, bytes, why, whylen);
	if (!err)
		err = make(fd, path, out);
	if (err) {
		close(fd);
		if (made)
			unlink(path);
		return err;
	}
	*blank = look_blank(fd);
	return 0;
}

/* ---- To the end, however long it takes */

static int read_all(int fd, uint64_t off, void *data, size_t len)
{
	while (len) {
		ssize_t n = pread(fd, data, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data = (char *)data + n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_all(int fd, uint64_t off, void *data, size_t len)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data = (char *)data + n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* A signal may cut it short where it gives the file room. */
static int allocate(int fd, int mode, uint64_t off, uint64_t len)
{
	int err;

	do
		err = fallocate(fd, mode, (off_t)off, (off_t)len) ? -errno : 0;
	while (err == -EINTR);
	return err;
}

static int punch(int fd, uint64_t off, void *unused, size_t len)
{
	(void)unused;
	return allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
}

static int reserve(int fd, uint64_t off, void *unused, size_t len)
{
	(void)unused;
	return allocate(fd, FALLOC_FL_KEEP_SIZE, off, len);
}

static int resize(int fd, uint64_t bytes, void *unused, size_t none)
{
	int err;

	(void)unused;
	(void)none;
	do
		err = ftruncate(fd, (off_t)bytes) ? -errno : 0;
	while (err == -EINTR);
	return err;
}

static int flush(int fd, uint64_t none, void *unused, size_t nothing)
{
	(void)none;
	(void)unused;
	(void)nothing;
	return fdatasync(fd) ? -errno : 0;
}

/* ---- At once */

typedef ssize_t move(int fd, const struct iovec *iov, int n, off_t off, int flags);

/* How much could be moved; what stands in the way of more is found out by who waits. */
static size_t move_now(const struct td__disk *disk, move *some, int *never, uint64_t off, void *data, size_t len)
{
	size_t done = 0;

	while (done < len && !__atomic_load_n(never, __ATOMIC_RELAXED)) {
		struct iovec iov = { (char *)data + done, len - done };
		ssize_t n = some(disk->fd, &iov, 1, (off_t)(off + done), RWF_NOWAIT);

		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno == EOPNOTSUPP)
			__atomic_store_n(never, 1, __ATOMIC_RELAXED);
		else if (!n || errno != EINTR)
			break;
	}
	return done;
}

/* ---- With a limit */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int change(struct td__disk *disk, td__lane_work *work, uint64_t off, const void *data, size_t len)
{
	struct td__lane *lane;
	int err = td__lanes_are_limited(disk->lanes) ? td__lane_begin(disk->lanes, 1, &lane) : -EAGAIN;

	if (err == -EAGAIN)
		return work(disk->fd, off, (void *)data, len);
	if (err)
		return err;
	if (data)
		memcpy(td__lane_buffer(lane), data, len);
	err = td__lane_run(lane, work, off, len);
	if (err != -ETIMEDOUT)
		td__lane_end(lane);
	return err;
}

/* Without a thread that waits in his place the caller reads into memory of his own. */
static int read_without(struct td__disk *disk, uint64_t off, size_t len,
			void (*take)(void *arg, uint64_t off, const void *data, size_t len), void *arg)
{
	void *data = malloc(len);
	int err = data ? read_all(disk->fd, off, data, len) : -ENOMEM;

	if (!err)
		take(arg, off, data, len);
	free(data);
	return err;
}

int td__port_disk_read_to(struct td__disk *disk, uint64_t off, size_t len,
			  void (*take)(void *arg, uint64_t off, const void *data, size_t len), void *arg)
{
	int err = 0;

	for (size_t n; len && !err; off += n, len -= n) {
		struct td__lane *lane;

		n = least(len, TD__LANE_BYTES);
		err = td__lanes_are_limited(disk->lanes) ? td__lane_begin(disk->lanes, 0, &lane) : -EAGAIN;
		if (err == -EAGAIN) {
			err = read_without(disk, off, n, take, arg);
			continue;
		}
		if (!err)
			err = td__lane_run(lane, read_all, off, n);
		if (!err)
			take(arg, off, td__lane_buffer(lane), n);
		if (err != -ETIMEDOUT)
			td__lane_end(lane);
	}
	return err;
}

/* ---- The disk */

int64_t td__port_disk_read_now(struct td__disk *disk, uint64_t off, void *data, size_t len)
{
	if (td__lanes_are_limited(disk->lanes))
		return (int64_t)move_now(disk, preadv2, &disk->never_read, off, data, len);
	return read_all(disk->fd, off, data, len) ? 0 : (int64_t)len;
}

struct place {
	uint64_t off;
	char *data;
};

static void put(void *arg, uint64_t off, const void *data, size_t len)
{
	const struct place *to = arg;

	memcpy(to->data + (off - to->off), data, len);
}

int td__port_disk_read(struct td__disk *disk, uint64_t off, void *data, size_t len)
{
	size_t done = (size_t)td__port_disk_read_now(disk, off, data, len);
	struct place to = { off, data };

	return td__port_disk_read_to(disk, off + done, len - done, put, &to);
}

int td__port_disk_write(struct td__disk *disk, uint64_t off, const void *data, size_t len)
{
	const char *from = data;
	size_t done;
	int err;

	if (!td__lanes_are_limited(disk->lanes))
		return write_all(disk->fd, off, (void *)data, len);
	err = td__lanes_check(disk->lanes);
	done = err ? 0 : move_now(disk, pwritev2, &disk->never_write, off, (void *)data, len);
	for (size_t n; done < len && !err; done += n) {
		n = least(len - done, TD__LANE_BYTES);
		err = change(disk, write_all, off + done, from + done, n);
	}
	return err;
}

/* A request's buffer: how many there are, which, and their bytes. */
struct packed {
	uint64_t n;
	struct {
		uint64_t off, len;
	} piece[PIECES];
	char bytes[TD__LANE_BYTES - 8 - PIECES * 16];
};
_Static_assert(sizeof(struct packed) == TD__LANE_BYTES, "the buffer of a lane");

static int write_packed(int fd, uint64_t off, void *data, size_t len)
{
	struct packed *p = data;
	char *from = p->bytes;
	int err = 0;

	(void)off;
	(void)len;
	for (uint64_t i = 0; i < p->n && !err; from += p->piece[i++].len)
		err = write_all(fd, p->piece[i].off, from, p->piece[i].len);
	return err;
}

/* As many pieces as go into one request. Returns how many. */
static uint32_t pack(struct packed *p, const struct td__disk_piece *pieces, uint32_t n)
{
	size_t used = 0;

	for (p->n = 0; p->n < n && p->n < PIECES && pieces[p->n].len <= sizeof(p->bytes) - used; p->n++) {
		p->piece[p->n].off = pieces[p->n].off;
		p->piece[p->n].len = pieces[p->n].len;
		memcpy(p->bytes + used, pieces[p->n].data, pieces[p->n].len);
		used += pieces[p->n].len;
	}
	return (uint32_t)p->n;
}

/* The first of them. */
static int write_several(struct td__disk *disk, const struct td__disk_piece *pieces, uint32_t n, uint32_t *done)
{
	struct td__lane *lane;
	int err;

	*done = 1;
	if (n == 1 || pieces->len > TD__LANE_BYTES / 2 || !td__lanes_are_limited(disk->lanes))
		return td__port_disk_write(disk, pieces->off, pieces->data, pieces->len);
	err = td__lane_begin(disk->lanes, 1, &lane);
	if (err == -EAGAIN)
		return td__port_disk_write(disk, pieces->off, pieces->data, pieces->len);
	if (err)
		return err;
	*done = pack(td__lane_buffer(lane), pieces, n);
	err = td__lane_run(lane, write_packed, pieces->off, 0);
	if (err != -ETIMEDOUT)
		td__lane_end(lane);
	return err;
}

int td__port_disk_write_pieces(struct td__disk *disk, const struct td__disk_piece *pieces, uint32_t n)
{
	int err = 0;

	for (uint32_t i = 0, done; i < n && !err; i += done)
		err = write_several(disk, pieces + i, n - i, &done);
	return err;
}

int td__port_disk_zero(struct td__disk *disk, uint64_t off, uint64_t len)
{
	static const char zeroes[65536];
	int err = change(disk, punch, off, NULL, len);

	if (err != -EOPNOTSUPP && err != -ENOSYS)
		return err;
	err = 0;
	for (size_t n; len && !err; off += n, len -= n) {
		n = least(len, sizeof(zeroes));
		err = td__port_disk_write(disk, off, zeroes, n);
	}
	return err;
}

int td__port_disk_reserve(struct td__disk *disk, uint64_t off, uint64_t len)
{
	int err = change(disk, reserve, off, NULL, len);

	return err == -EOPNOTSUPP || err == -ENOSYS ? 0 : err;
}

int td__port_disk_resize(struct td__disk *disk, uint64_t bytes)
{
	return change(disk, resize, bytes, NULL, 0);
}

int td__port_disk_flush(struct td__disk *disk)
{
	return change(disk, flush, 0, NULL, 0);
}

void td__port_disk_state(struct td__disk *disk, struct td__disk_state *out)
{
	td__lanes_state(disk->lanes, out);
}

void td__port_disk_close(struct td__disk *disk)
{
	td__lanes_end(disk->lanes);
	free(disk);
}
