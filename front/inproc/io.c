/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls on descriptors: content, positions, listing.
 */
#include "inproc.h"
#include <tadan/fs.h>

enum {
	ENTRIES_ROOM = 32768,  /* bytes of directory entries that are read at once */
	IO_LIMIT = 0x7ffff000, /* bytes of one transfer, as Linux has it */
	PART = 16 << 20,       /* of a large one: so much must fit in memory at a time */
};

/* The file, if it is open for this (O_RDONLY or O_WRONLY). */
static int get_for(const struct td_task *t, int fd, int way, struct td__file **out)
{
	struct td__file *f = td__file_get(t->volume, fd);
	int mode;

	if (!f)
		return -EBADF;
	mode = f->flags & O_ACCMODE;
	if (mode == O_RDWR || mode == way) {
		*out = f;
		return 0;
	}
	td__file_put(t->volume, f);
	return -EBADF;
}

/* ---- Content */

int64_t td_fd_pread(const struct td_task *t, int fd, void *data, size_t len, int64_t off)
{
	struct td__file *f;
	int64_t n;

	if (off < 0)
		return -EINVAL;
	n = get_for(t, fd, O_RDONLY, &f);
	if (n)
		return n;
	if (f->type == TD_DIR)
		n = -EISDIR;
	else
		n = td_read(td__fs_of(t), f->handle, (uint64_t)off, data,
			    len < IO_LIMIT ? len : IO_LIMIT);
	td__file_put(t->volume, f);
	return n;
}

int64_t td_fd_read(const struct td_task *t, int fd, void *data, size_t len)
{
	struct td__file *f;
	int64_t n = get_for(t, fd, O_RDONLY, &f);

	if (n)
		return n;
	if (f->type == TD_DIR) {
		n = -EISDIR;
	} else {
		pthread_mutex_lock(&f->pos);
		n = td_read(td__fs_of(t), f->handle, (uint64_t)f->off, data,
			    len < IO_LIMIT ? len : IO_LIMIT);
		if (n > 0)
			f->off += n;
		pthread_mutex_unlock(&f->pos);
	}
	td__file_put(t->volume, f);
	return n;
}

static int64_t write_at(const struct td_task *t, struct td__file *f, const void *data, size_t len,
			uint64_t off)
{
	struct td_cred cred = td__cred_of(t, false);
	size_t done = 0, part;

	len = len < IO_LIMIT ? len : IO_LIMIT;
	if (f->flags & O_APPEND)
		return len ? td_write(td__fs_of(t), &cred, f->handle, TD_APPEND, data, len) : 0;
	do {
		part = len - done < PART ? len - done : PART;
		int64_t n = part ? td_write(td__fs_of(t), &cred, f->handle, off + done, (const char *)data + done, part) : 0;

		if (n < 0)
			return done ? (int64_t)done : n;
		done += (size_t)n;
		part -= (size_t)n;
	} while (!part && done < len);
	return (int64_t)done;
}

int64_t td_fd_pwrite(const struct td_task *t, int fd, const void *data, size_t len, int64_t off)
{
	struct td__file *f;
	int64_t n;

	if (off < 0)
		return -EINVAL;
	n = get_for(t, fd, O_WRONLY, &f);
	if (n)
		return n;
	n = write_at(t, f, data, len, (uint64_t)off);
	td__file_put(t->volume, f);
	return n;
}

/* The position behind what was just appended; others may have appended since. */
static int64_t end_of(const struct td_task *t, struct td__file *f)
{
	td_attr v;

	return td_getattr(td__fs_of(t), f->handle, &v) ? f->off : (int64_t)v.size;
}

int64_t td_fd_write(const struct td_task *t, int fd, const void *data, size_t len)
{
	struct td__file *f;
	int64_t n = get_for(t, fd, O_WRONLY, &f);

	if (n)
		return n;
	pthread_mutex_lock(&f->pos);
	n = write_at(t, f, data, len, (uint64_t)f->off);
	if (n > 0)
		f->off = f->flags & O_APPEND ? end_of(t, f) : f->off + n;
	pthread_mutex_unlock(&f->pos);
	td__file_put(t->volume, f);
	return n;
}

int td_fd_truncate(const struct td_task *t, int fd, int64_t size)
{
	struct td__file *f;
	int err;

	if (size < 0)
		return -EINVAL;
	f = td__file_get(t->volume, fd);
	if (!f)
		return -EBADF;
	if ((f->flags & O_ACCMODE) == O_RDONLY)
		err = -EINVAL;
	else
		err = td__truncate(t, f->handle, size);
	td__file_put(t->volume, f);
	return err;
}

/* 0 if the combination of flags means something. */
static int check_fallocate(uint32_t mode, int64_t off, int64_t len)
{
	uint32_t known = TD_FALLOC_KEEP_SIZE | TD_FALLOC_PUNCH_HOLE | TD_FALLOC_ZERO_RANGE;

	if (off < 0 || len <= 0)
		return -EINVAL;
	if (mode & ~known)
		return -EOPNOTSUPP;
	if (mode & TD_FALLOC_PUNCH_HOLE && mode & TD_FALLOC_ZERO_RANGE)
		return -EOPNOTSUPP;
	if (mode & TD_FALLOC_PUNCH_HOLE && !(mode & TD_FALLOC_KEEP_SIZE))
		return -EOPNOTSUPP;
	return off > INT64_MAX - len ? -EFBIG : 0;
}

int td_fd_fallocate(const struct td_task *t, int fd, uint32_t mode, int64_t off, int64_t len)
{
	struct td_cred cred = td__cred_of(t, false);
	struct td__file *f;
	int err = get_for(t, fd, O_WRONLY, &f);

	if (err)
		return err;
	err = check_fallocate(mode, off, len);
	if (!err)
		err = td_fallocate(td__fs_of(t), &cred, f->handle, (uint64_t)off, (uint64_t)len, mode);
	td__file_put(t->volume, f);
	return err;
}

int td_fd_sync(const struct td_task *t, int fd)
{
	struct td__file *f = td__file_get(t->volume, fd);
	int err, earlier;

	if (!f)
		return -EBADF;
	err = td_fsync(td__fs_of(t), f->handle);
	earlier = td_unwritten_since(td__fs_of(t), f->handle, &f->seen);
	td__file_put(t->volume, f);
	return err ? err : earlier;
}

/* ---- Positions */

/* base + off, which must not be negative. */
static int64_t add(int64_t base, int64_t off)
{
	int64_t sum;

	if (__builtin_add_overflow(base, off, &sum))
		return -EOVERFLOW;
	return sum < 0 ? -EINVAL : sum;
}

/* Where a seek leads; `pos` is held. */
static int64_t seek_to(const struct td_task *t, struct td__file *f, int64_t off, int whence)
{
	td_attr v;
	int err;

	switch (whence) {
	case SEEK_SET: return add(0, off);
	case SEEK_CUR: return add(f->off, off);
	case SEEK_END:
		if (f->type == TD_DIR)
			return -EINVAL;
		err = td_getattr(td__fs_of(t), f->handle, &v);
		return err ? err : add((int64_t)v.size, off);
	case SEEK_DATA:
	case SEEK_HOLE:
		if (f->type == TD_DIR)
			return -EINVAL;
		if (off < 0)
			return -ENXIO;
		return td_seek(td__fs_of(t), f->handle, (uint64_t)off,
			       whence == SEEK_DATA ? TD_SEEK_DATA : TD_SEEK_HOLE);
	default: return -EINVAL;
	}
}

int64_t td_fd_lseek(const struct td_task *t, int fd, int64_t off, int whence)
{
	struct td__file *f = td__file_get(t->volume, fd);
	int64_t to;

	if (!f)
		return -EBADF;
	pthread_mutex_lock(&f->pos);
	to = seek_to(t, f, off, whence);
	if (to >= 0) {
		f->off = to;
		f->filled = f->used = 0;
	}
	pthread_mutex_unlock(&f->pos);
	td__file_put(t->volume, f);
	return to;
}

/* ---- Listing */

/* Read entries ahead; `pos` is held. Permission was checked when the directory was opened. */
static int fill(const struct td_task *t, struct td__file *f)
{
	struct td_cred cred = td__cred_of(t, true);
	int n;

	if (!f->entries)
		f->entries = malloc(ENTRIES_ROOM);
	if (!f->entries)
		return -ENOMEM;
	n = td_readdir(td__fs_of(t), &cred, f->handle, (uint64_t)f->off, f->entries, ENTRIES_ROOM,
		       NULL, NULL);
	f->used = 0;
	f->filled = n > 0 ? (uint32_t)n : 0;
	return n;
}

static int next_entry(const struct td_task *t, struct td__file *f, struct td_entry *out)
{
	struct td_dirent d;
	int n;

	if (f->used == f->filled) {
		n = fill(t, f);
		if (n <= 0)
			return n;
	}
	memcpy(&d, f->entries + f->used, sizeof(d));
	out->fid = d.fid;
	out->cookie = d.cookie;
	out->type = d.type;
	out->len = d.len;
	memcpy(out->name, f->entries + f->used + sizeof(d), d.len);
	out->name[d.len] = 0;
	f->used += (uint32_t)((sizeof(d) + d.len + 7) & ~(size_t)7);
	f->off = (int64_t)d.cookie;
	return 1;
}

int td_fd_readdir(const struct td_task *t, int fd, struct td_entry *out)
{
	struct td__file *f = td__file_get(t->volume, fd);
	int n = -ENOTDIR;

	if (!f)
		return -EBADF;
	if (f->type == TD_DIR) {
		pthread_mutex_lock(&f->pos);
		n = next_entry(t, f, out);
		pthread_mutex_unlock(&f->pos);
	}
	td__file_put(t->volume, f);
	return n;
}

/* ---- Attributes */

int td_fd_stat(const struct td_task *t, int fd, struct td_vnode *out)
{
	struct td__file *f = td__file_get(t->volume, fd);
	int err;

	if (!f)
		return -EBADF;
	err = td_getattr(td__fs_of(t), f->handle, out);
	td__file_put(t->volume, f);
	return err;
}

int td_fd_chmod(const struct td_task *t, int fd, uint32_t mode)
{
	struct td__file *f = td__file_get(t->volume, fd);
	int err;

	if (!f)
		return -EBADF;
	err = td__chmod(t, f->handle, mode);
	td__file_put(t->volume, f);
	return err;
}

int td_fd_chown(const struct td_task *t, int fd, uint32_t uid, uint32_t gid)
{
	struct td__file *f = td__file_get(t->volume, fd);
	int err;

	if (!f)
		return -EBADF;
	err = td__chown(t, f->handle, uid, gid);
	td__file_put(t->volume, f);
	return err;
}

int td_fd_utimens(const struct td_task *t, int fd, const struct timespec times[2])
{
	struct td__file *f = td__file_get(t->volume, fd);
	int err;

	if (!f)
		return -EBADF;
	err = td__utimens(t, f->handle, times);
	td__file_put(t->volume, f);
	return err;
}
