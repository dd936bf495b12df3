/* SPDX-License-Identifier: BSD-2-Clause */
/* SMFS's operations as functions: each fills a frame, makes the call and takes the answer over. */
#ifndef SMFS_CALLS_H
#define SMFS_CALLS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fakekernel.h"

static __attribute__((unused)) struct td_vnode root;
static uint64_t s_maxfiles;
static uint8_t s_frame[4096 + 2 * TD_WINDOW] __attribute__((aligned(16)));
static uint32_t s_out_size = TD_WINDOW; /* room for answers */

#define FRAME(name)                                  \
	struct td_frame_##name *f = (void *)s_frame; \
	memset(f, 0, sizeof(*f))
#define AT(field) ((char *)&f->field - (char *)f)
#define DATA	  (s_frame + 4096)

static void s_fail(const char *why)
{
	fprintf(stderr, "careless: %s\n", why);
	abort();
}

/* Make the call; a careless module is a failure of the test, whatever the test was about. */
static __attribute__((unused)) int s_go(uint32_t op)
{
	int err = fk_call(op, s_frame);

	if (fk.careless && !(fk.failed && err))
		s_fail(fk_why);
	return err;
}

static void s_name(uint8_t *to, uint32_t *len, const char *name)
{
	*len = (uint32_t)strlen(name);
	memcpy(to, name, *len);
}

static __attribute__((unused)) int s_mount(uint64_t blocks, uint32_t format, struct td_fsinfo *info)
{
	FRAME(mount);
	f->dev = (struct td_device){ .blocks = blocks ? blocks : fk.blocks,
				     .bsize = 4096,
				     .maxfiles = s_maxfiles };
	f->format = format;
	int err = s_go(TD_OP_mount);
	*info = f->info;
	return err;
}

static __attribute__((unused)) int s_statfs(struct td_fsinfo *info)
{
	FRAME(statfs);
	int err = s_go(TD_OP_statfs);
	*info = f->info;
	return err;
}

static __attribute__((unused)) int s_getvnode(uint64_t fid, struct td_vnode *v)
{
	FRAME(getvnode);
	f->fid = fid;
	f->v_at = AT(v);
	int err = s_go(TD_OP_getvnode);
	*v = f->v;
	return err;
}

#define S_VNODE_OP(op)                                                \
	static __attribute__((unused)) int s_##op(struct td_vnode *v) \
	{                                                             \
		FRAME(op);                                            \
		f->v_at = AT(v);                                      \
		f->v = *v;                                            \
		int err = s_go(TD_OP_##op);                           \
		if (!err)                                             \
			*v = f->v;                                    \
		return err;                                           \
	}
S_VNODE_OP(update)
S_VNODE_OP(inactive)

static __attribute__((unused)) int s_lookup(struct td_vnode *dir, const char *name, uint64_t *fid)
{
	FRAME(lookup);
	f->dir_at = AT(dir);
	f->dir = *dir;
	s_name(f->name, &f->name_len, name);
	int err = s_go(TD_OP_lookup);
	*fid = f->fid;
	return err;
}

static struct td_vnode s_new(uint32_t type)
{
	struct td_vnode v = { .type = type, .mode = 0644, .uid = 5, .gid = 6 };

	v.atime.sec = v.mtime.sec = v.ctime.sec = v.btime.sec = fk.now;
	if (type == TD_CHR)
		v.rdev = 0x501;
	return v;
}

/* Takes mkdir, mknod and create for one: their frames are laid out alike. */
static __attribute__((unused)) int s_create(struct td_vnode *dir, const char *name, uint32_t type,
					    struct td_vnode *v)
{
	_Static_assert(sizeof(struct td_frame_create) == sizeof(struct td_frame_mkdir), "frames");
	_Static_assert(sizeof(struct td_frame_create) == sizeof(struct td_frame_mknod), "frames");
	FRAME(create);
	f->dir_at = AT(dir);
	f->v_at = AT(v);
	f->dir = *dir;
	f->v = s_new(type);
	s_name(f->name, &f->name_len, name);
	int err = s_go(type == TD_REG ? TD_OP_create : type == TD_DIR ? TD_OP_mkdir : TD_OP_mknod);
	if (!err) {
		*dir = f->dir;
		*v = f->v;
	}
	return err;
}

static __attribute__((unused)) int s_symlink(struct td_vnode *dir, const char *name,
					     const char *target, struct td_vnode *v)
{
	FRAME(symlink);
	f->dir_at = AT(dir);
	f->v_at = AT(v);
	f->dir = *dir;
	f->v = s_new(TD_LNK);
	s_name(f->name, &f->name_len, name);
	f->target_at = DATA - s_frame;
	f->target_len = f->target_size = (uint32_t)strlen(target);
	memcpy(DATA, target, f->target_len);
	int err = s_go(TD_OP_symlink);
	if (!err) {
		*dir = f->dir;
		*v = f->v;
	}
	return err;
}

static __attribute__((unused)) int s_readlink(struct td_vnode *v, char *target)
{
	FRAME(readlink);
	f->v_at = AT(v);
	f->v = *v;
	f->target_at = DATA - s_frame;
	f->target_size = TD_PATH_MAX;
	int err = s_go(TD_OP_readlink);
	memcpy(target, DATA, f->target_len);
	target[f->target_len] = 0;
	return err;
}

#define S_NAME_OP(op)                                                                     \
	static __attribute__((unused)) int s_##op(struct td_vnode *dir, const char *name, \
						  struct td_vnode *v)                     \
	{                                                                                 \
		FRAME(op);                                                                \
		f->dir_at = AT(dir);                                                      \
		f->v_at = AT(v);                                                          \
		f->dir = *dir;                                                            \
		f->v = *v;                                                                \
		s_name(f->name, &f->name_len, name);                                      \
		int err = s_go(TD_OP_##op);                                               \
		if (!err) {                                                               \
			*dir = f->dir;                                                    \
			*v = f->v;                                                        \
		}                                                                         \
		return err;                                                               \
	}
S_NAME_OP(link)
S_NAME_OP(unlink)
S_NAME_OP(rmdir)

static __attribute__((unused)) int s_rename(struct td_vnode *from, const char *old,
					    struct td_vnode *to, const char *new,
					    struct td_vnode *v, struct td_vnode *target,
					    uint32_t flags)
{
	FRAME(rename);
	f->from_at = AT(from);
	f->to_at = from == to ? f->from_at : AT(to);
	f->v_at = AT(v);
	f->target_at = target ? AT(target) : 0;
	f->from = *from;
	f->to = *to;
	f->v = *v;
	if (target)
		f->target = *target;
	f->flags = flags;
	s_name(f->old, &f->old_len, old);
	s_name(f->new, &f->new_len, new);
	int err = s_go(TD_OP_rename);
	if (!err) {
		if (from != to)
			*to = f->to;
		*from = f->from;
		*v = f->v;
		if (target)
			*target = f->target;
	}
	return err;
}

/* The entries are at DATA afterwards, *len bytes. */
static __attribute__((unused)) int s_readdir(struct td_vnode *dir, uint64_t cookie, uint32_t *len)
{
	FRAME(readdir);
	f->dir_at = AT(dir);
	f->dir = *dir;
	f->cookie = cookie;
	f->entries_at = DATA - s_frame;
	f->entries_size = s_out_size;
	int err = s_go(TD_OP_readdir);
	*len = f->entries_len;
	return err;
}

#define S_MAP_OP(op)                                                                   \
	static __attribute__((unused)) int s_##op(struct td_vnode *v, uint64_t lblk,   \
						  uint64_t count, struct td_extent *e, \
						  uint32_t *n)                         \
	{                                                                              \
		FRAME(op);                                                             \
		f->v_at = AT(v);                                                       \
		f->v = *v;                                                             \
		f->lblk = lblk;                                                        \
		f->count = count;                                                      \
		int err = s_go(TD_OP_##op);                                            \
		*n = f->nextents;                                                      \
		memcpy(e, f->extents, sizeof(f->extents));                             \
		if (!err)                                                              \
			*v = f->v;                                                     \
		return err;                                                            \
	}
S_MAP_OP(bmap)
S_MAP_OP(balloc)

static __attribute__((unused)) int s_bunmap(struct td_vnode *v, uint64_t lblk, uint64_t count)
{
	FRAME(bunmap);
	f->v_at = AT(v);
	f->v = *v;
	f->lblk = lblk;
	f->count = count;
	int err = s_go(TD_OP_bunmap);
	if (!err)
		*v = f->v;
	return err;
}

static __attribute__((unused)) int s_setxattr(struct td_vnode *v, const char *name,
					      const void *value, uint32_t len, uint32_t flags)
{
	FRAME(setxattr);
	f->v_at = AT(v);
	f->v = *v;
	f->flags = flags;
	s_name(f->name, &f->name_len, name);
	f->value_at = DATA - s_frame;
	f->value_len = f->value_size = len;
	memcpy(DATA, value, len);
	int err = s_go(TD_OP_setxattr);
	if (!err)
		*v = f->v;
	return err;
}

static __attribute__((unused)) int s_getxattr(struct td_vnode *v, const char *name, void *value,
					      uint32_t *len)
{
	FRAME(getxattr);
	f->v_at = AT(v);
	f->v = *v;
	s_name(f->name, &f->name_len, name);
	f->value_at = DATA - s_frame;
	f->value_size = *len;
	int err = s_go(TD_OP_getxattr);
	*len = f->value_len;
	memcpy(value, DATA, *len);
	return err;
}

static __attribute__((unused)) int s_listxattr(struct td_vnode *v, char *names, uint32_t *len)
{
	FRAME(listxattr);
	f->v_at = AT(v);
	f->v = *v;
	f->names_at = DATA - s_frame;
	f->names_size = *len;
	int err = s_go(TD_OP_listxattr);
	*len = f->names_len;
	memcpy(names, DATA, *len);
	return err;
}

static __attribute__((unused)) int s_removexattr(struct td_vnode *v, const char *name)
{
	FRAME(removexattr);
	f->v_at = AT(v);
	f->v = *v;
	s_name(f->name, &f->name_len, name);
	int err = s_go(TD_OP_removexattr);
	if (!err)
		*v = f->v;
	return err;
}

#endif
