/* SPDX-License-Identifier: BSD-2-Clause */
/* The operations of vfs.h, each without what vfs.c puts around it: a place in a transaction of the image. */
#ifndef TADAN_OPERATIONS_H
#define TADAN_OPERATIONS_H

#include "device.h"
#include "vfs.h"

int td__op_lookup(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name, td_attr *out);
int td__op_make(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name, uint32_t type,
	uint32_t mode, uint32_t rdev, struct td_in target, td_attr *out);
int td__op_create(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name, uint32_t mode, uint32_t flags, td_attr *out);
int td__op_tmpfile(struct td__fs *fs, const struct td_cred *cred, td_handle dir, uint32_t mode, td_attr *out);
int td__op_link(struct td__fs *fs, const struct td_cred *cred, td_handle v, td_handle dir, struct td_name name, td_attr
	*out);
int td__op_unlink(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name);
int td__op_rmdir(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name);
int td__op_rename(struct td__fs *fs, const struct td_cred *cred, td_handle from, struct td_name old, td_handle to,
	struct td_name new, uint32_t flags);
int td__op_readlink(struct td__fs *fs, td_handle v, void *target, uint32_t size);
int td__op_readdir(struct td__fs *fs, const struct td_cred *cred, td_handle dir, uint64_t cookie, void *entries, uint32_t size, td_attr *attrs,
	uint32_t *nattrs);
int td__op_getattr(struct td__fs *fs, td_handle v, td_attr *out);
int td__op_setattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint32_t want, const td_attr *set,
	td_attr *out);
int td__op_access(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint32_t mask);
/* With TD_OPEN_NEW: for who has just made it. */
int td__op_open(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint32_t flags);
int td__op_release(struct td__fs *fs, td_handle v);
int td__op_flush(struct td__fs *fs, td_handle v);
int64_t td__op_read_spans(struct td__fs *fs, td_handle v, uint64_t off, uint64_t len, int (*emit)(void *arg, const
	struct td_span *spans, uint32_t n), void *arg);
int64_t td__op_write(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint64_t off, const void *data,
	uint64_t len);
int td__op_fallocate(struct td__fs *fs, const struct td_cred *cred, td_handle v, uint64_t off, uint64_t len, uint32_t mode);
int64_t td__op_seek(struct td__fs *fs, td_handle v, uint64_t off, uint32_t whence);
int td__op_statfs(struct td__fs *fs, struct td_fsinfo *out);
int td__op_getxattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, struct td_name name, void *value,
	uint32_t size);
int td__op_setxattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, struct td_name name, struct td_in value,
	uint32_t flags);
int td__op_listxattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, void *names, uint32_t size);
int td__op_removexattr(struct td__fs *fs, const struct td_cred *cred, td_handle v, struct td_name name);
void td__op_forget(struct td__fs *fs, td_handle v, uint64_t n);
/* As far as it is not about the disk. What is to be written of the file goes to `data`. */
int td__op_fsync(struct td__fs *fs, td_handle v, struct td__runs *data);

#endif
