/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operations as front ends call them: each is a whole, for the log of an image (commit.h). On a device in memory there is nothing
 * to be kept whole, and nothing is done for it.
 */
#include "operations.h"
#include "commit.h"
#include "fs.h"

/* `call` between begin and end. What frees goes on where nothing can be written: it may be what makes room. */
enum { LOOKS, ADDS, FREES };

#define RUN(type, kind, call)                                              \
	do {                                                               \
		type result;                                               \
                                                                           \
		if (!fs->device->gate)                                     \
			return call;                                       \
		result = td__operation_begin(fs, kind == ADDS);            \
		if (result)                                                \
			return result;                                     \
		result = call;                                             \
		td__operation_end(fs);                                     \
		return result;                                             \
	} while (0)

int td_lookup(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name, td_attr *out)
{
	td__begin_for(fs, cred);
	RUN(int, LOOKS, td__op_lookup(fs, cred, dir, name, out));
}

int td_make(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name, uint32_t type, uint32_t
	mode, uint32_t rdev, struct td_in target, td_attr *out)
{
	td__begin_for(fs, cred);
	RUN(int, ADDS, td__op_make(fs, cred, dir, name, type, mode, rdev, target, out));
}

int td_create(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name, uint32_t mode, uint32_t flags, td_attr *out)
{
	td__begin_for(fs, cred);
	RUN(int, ADDS, td__op_create(fs, cred, dir, name, mode, flags, out));
}

int td_tmpfile(struct td__fs *fs, const struct td_cred *cred, td_handle dir, uint32_t mode, td_attr *out)
{
	td__begin_for(fs, cred);
	RUN(int, ADDS, td__op_tmpfile(fs, cred, dir, mode, out));
}

int td_link(struct td__fs *fs, const struct td_cred *cred, td_handle v, td_handle dir, struct td_name name, td_attr
	*out)
{
	td__begin_for(fs, cred);
	RUN(int, ADDS, td__op_link(fs, cred, v, dir, name, out));
}

int td_unlink(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name)
{
	td__begin_for(fs, cred);
	RUN(int, FREES, td__op_unlink(fs, cred, dir, name));
}

int td_rmdir(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name)
{
	td__begin_for(fs, cred);
	RUN(int, FREES, td__op_rmdir(fs, cred, dir, name));
}

int td_rename(struct td__fs *fs, const struct td_cred *cred, td_handle from, struct td_name old, td_handle to, struct
	td_name new, uint32_t flags)
{
	td__begin_for(fs, cred);
	RUN(int, ADDS, td__op_rename(fs, cred, from, old, to, new, flags));
}

int td_readlink(struct td__fs *fs, td_handle v, void *target, uint32_t size)
{
	RUN(int, LOOKS, td__op_readlink(fs, v, target, size));
}

int td_readdir(struct td__fs *fs, const struct td_cred *cred, td_handle dir, uint64_t cookie, void *entries, uint32_t size, td_attr *attrs, uint32_t
	*nattrs)
{
	td__begin_for(fs, cred);
	RUN(int, LOOKS, td__op_readdir(fs, cred, dir, cookie, entries, size, attrs, nattrs));
}

int td_getattr(struct td__fs *fs, td_handle v, td_attr *out)
{
	RUN(int, LOOKS, td__op_getattr(fs, v, out));
}

int td_setattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint32_t want, const td_attr *set, td_attr
	*out)
{
	td__begin_for(fs, cred);
	RUN(int, FREES, td__op_setattr(fs, cred, v, want, set, out));
}

int td_access(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint32_t mask)
{
	RUN(int, LOOKS, td__op_access(fs, cred, v, mask));
}

int td_open(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint32_t flags)
{
	td__begin_for(fs, cred);
	RUN(int, LOOKS, td__op_open(fs, cred, v, flags));
}

int td_release(struct td__fs *fs, td_handle v)
{
	RUN(int, FREES, td__op_release(fs, v));
}

int td_flush(struct td__fs *fs, td_handle v)
{
	RUN(int, FREES, td__op_flush(fs, v));
}

int64_t td_read_spans(struct td__fs *fs, td_handle v, uint64_t off, uint64_t len, int (*emit)(void *arg, const struct
	td_span *spans, uint32_t n), void *arg)
{
	RUN(int64_t, LOOKS, td__op_read_spans(fs, v, off, len, emit, arg));
}

int64_t td_write(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint64_t off, const void *data, uint64_t
	len)
{
	RUN(int64_t, ADDS, td__op_write(fs, cred, v, off, data, len));
}

int td_fallocate(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint64_t off, uint64_t len, uint32_t mode)
{
	RUN(int, FREES, td__op_fallocate(fs, cred, v, off, len, mode));
}

int64_t td_seek(struct td__fs *fs, td_handle v, uint64_t off, uint32_t whence)
{
	RUN(int64_t, LOOKS, td__op_seek(fs, v, off, whence));
}

int td_statfs(struct td__fs *fs, struct td_fsinfo *out)
{
	RUN(int, LOOKS, td__op_statfs(fs, out));
}

int td_getxattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, struct td_name name, void *value, uint32_t
	size)
{
	RUN(int, LOOKS, td__op_getxattr(fs, cred, v, name, value, size));
}

int td_setxattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, struct td_name name, struct td_in value,
	uint32_t flags)
{
	RUN(int, ADDS, td__op_setxattr(fs, cred, v, name, value, flags));
}

int td_listxattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, void *names, uint32_t size)
{
	RUN(int, LOOKS, td__op_listxattr(fs, cred, v, names, size));
}

int td_removexattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, struct td_name name)
{
	RUN(int, FREES, td__op_removexattr(fs, cred, v, name));
}

void td_forget(struct td__fs *fs, td_handle v, uint64_t n)
{
	td__operation_begin(fs, 0);
	td__op_forget(fs, v, n);
	td__operation_end(fs);
}

int td_fsync(struct td__fs *fs, td_handle v)
{
	struct td__runs data = { 0 };
	int err, err2;

	td__operation_begin(fs, 0);
	err = td__op_fsync(fs, v, &data);
	td__operation_end(fs);
	err2 = err ? 0 : td__commit_data(fs, data.run, data.n);
	td__runs_free(&data);
	if (!err && !err2)
		td__unwritten_over(fs, v);
	return err ? err : err2;
}

int td_sync(struct td__fs *fs)
{
	struct td__run all = { 0, fs->device->blocks };
	int err, err2;

	td__operation_begin(fs, 0);
	if (fs->device->disk)
		td__ahead_trim_all(fs);
	err = td__vnodes_update(fs);
	td__operation_end(fs);
	err2 = td__commit_data(fs, &all, 1);
	if (!err && !err2)
		td__unwritten_over(fs, 0);
	return err ? err : err2;
}
