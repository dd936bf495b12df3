/* SPDX-License-Identifier: BSD-2-Clause */
/* Image files as disks: see disk.h. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct td__disk {
	int fd;
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
	if (!err) {
		*out = malloc(sizeof(**out));
		err = *out ? 0 : -ENOMEM;
	}
	if (err) {
		close(fd);
		if (made)
			unlink(path);
		return err;
	}
	*blank = look_blank(fd);
	(*out)->fd = fd;
	return 0;
}

int td__port_disk_read(struct td__disk *disk, uint64_t off, void *data, size_t len)
{
	while (len) {
		ssize_t n = pread(disk->fd, data, len, (off_t)off);

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

int td__port_disk_write(struct td__disk *disk, uint64_t off, const void *data, size_t len)
{
	while (len) {
		ssize_t n = pwrite(disk->fd, data, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data = (const char *)data + n;
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

int td__port_disk_zero(struct td__disk *disk, uint64_t off, uint64_t len)
{
	static const char zeroes[65536];
	int err = allocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);

	if (err != -EOPNOTSUPP && err != -ENOSYS)
		return err;
	err = 0;
	while (len && !err) {
		size_t n = len < sizeof(zeroes) ? (size_t)len : sizeof(zeroes);

		err = td__port_disk_write(disk, off, zeroes, n);
		off += n;
		len -= n;
	}
	return err;
}

int td__port_disk_reserve(struct td__disk *disk, uint64_t off, uint64_t len)
{
	int err = allocate(disk->fd, FALLOC_FL_KEEP_SIZE, off, len);

	return err == -EOPNOTSUPP || err == -ENOSYS ? 0 : err;
}

int td__port_disk_resize(struct td__disk *disk, uint64_t bytes)
{
	int err;

	do
		err = ftruncate(disk->fd, (off_t)bytes) ? -errno : 0;
	while (err == -EINTR);
	return err;
}

int td__port_disk_flush(struct td__disk *disk)
{
	return fdatasync(disk->fd) ? -errno : 0;
}

void td__port_disk_close(struct td__disk *disk)
{
	close(disk->fd);
	free(disk);
}
